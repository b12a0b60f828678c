"""Texts in, answers out: the same that evaluation scores, whichever way a stack is opened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, XLMRobertaModel, pipeline

import xadapt
from xadapt import Backbone, Module, Results, Store, Study, UserError
from xadapt.data.reading import sampled
from xadapt.kinds import kind_of
from xadapt.kinds.answers import Choice, Found, Labelled, TaggedWords
from xadapt.kinds.words import split
from xadapt.tasks.examples import Chosen, Classified, Example, Extracted, Paired, Tagged

TASKS = ["xnli", "mnli > xnli", "panx", "xquad", "squad_v2 > xquad", "xcopa", "tatoeba"]
LANGUAGES = ("en", "ru")
ITEMS = 64  # a language; whole test sets are in test_apply.py


@pytest.fixture(scope="module")
def study(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    backbone = Backbone.from_pretrained(str(checkpoint), device="cpu", dtype="float32")
    store = tmp_path_factory.mktemp("predictor") / "store"
    return Study(
        TASKS, backbone, languages=LANGUAGES, max_steps=2, looks=1, dev_examples=40, items=ITEMS, store=store
    )


@pytest.fixture(scope="module")
def results(study: Study) -> Results:
    return study.run(baselines=False)


def columns_of(rows: Sequence[Example]) -> dict[str, list[Any]]:
    """Examples as a user would give them."""
    first = rows[0]
    if isinstance(first, Classified):
        return {"premise": [r.text for r in rows], "hypothesis": [r.pair for r in rows]}  # type: ignore[union-attr]
    if isinstance(first, Tagged):
        return {"words": [r.words for r in rows]}  # type: ignore[union-attr]
    if isinstance(first, Extracted):
        return {"question": [r.question for r in rows], "context": [r.context for r in rows]}  # type: ignore[union-attr]
    assert isinstance(first, Chosen)
    names = ("context", "question", "options")
    return {name: [getattr(r, name) for r in rows] for name in names}


def said(answer: object) -> object:
    """What a kind would have predicted."""
    match answer:
        case Labelled():
            return answer.label
        case TaggedWords():
            return answer.tags
        case Found():
            return answer.answer
        case Choice():
            return answer.choice
    raise TypeError(answer)


@pytest.mark.parametrize("expr", [t for t in TASKS if t != "tatoeba"])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_answers_are_what_is_scored(study: Study, results: Results, expr: str, lang: str) -> None:
    (evaluation,) = (e for e in study.plan.evaluations if e.expr == expr)
    if lang not in evaluation.languages:
        pytest.skip(f"{expr} is evaluated in English only")
    rows = sampled(study.plan.source.load(evaluation.asks.name, lang, evaluation.split), ITEMS)
    answers = study.predictor(expr)(**columns_of(rows))
    scores = kind_of(evaluation.task).score(rows, [said(a) for a in answers], language=lang)
    cells = {c.metric: c.score for c in results.cells if (c.expr, c.lang) == (expr, lang)}
    assert scores == cells


def test_probabilities_are_of_all_labels(study: Study, results: Results) -> None:
    predictor = study.predictor("mnli > xnli")
    (answer,) = predictor("a man eats", "he eats")
    assert list(answer.probabilities) == list(predictor.labels) == ["entailment", "neutral", "contradiction"]
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.label == max(answer.probabilities, key=lambda label: answer.probabilities[label])
    (choice,) = study.predictor("xcopa")(context="it rains", question="cause", options=["a cloud", "the sun"])
    assert choice.option == ("a cloud", "the sun")[choice.choice]
    assert sum(choice.probabilities) == pytest.approx(1)
    assert study.predictor("xnli")([], []) == []


def test_tags_of_a_sentence_have_places(study: Study, results: Results) -> None:
    sentence = "Anna Ivanova, lebt in 北京."
    (answer,) = study.predictor("panx")(sentence)
    assert [sentence[a:b] for a, b in answer.offsets] == list(answer.words)
    assert answer.words == ("Anna", "Ivanova", ",", "lebt", "in", "北", "京", ".")
    assert len(answer.tags) == len(answer.words)
    for entity in answer.entities:
        assert sentence[entity.start : entity.end] == entity.text
    assert split("  ") == []
    (given,) = study.predictor("panx")([list(answer.words)])
    assert (given.tags, given.offsets) == (answer.tags, None)


def test_answers_lie_where_they_say_and_no_answer_says_so(study: Study, results: Results) -> None:
    context = "the man eats a red apple in the park " * 40  # several windows
    found = study.predictor("xquad")(question=["who eats?"], context=[context])[0]
    assert found.answer
    assert context[found.start : found.end] == found.answer
    lower = study.addresses("squad_v2 > xquad")[0]  # may find none, which xquad may not
    predictor = Module.from_store(Store(study.store), lower).predictor(study.plan.backbone)  # type: ignore[arg-type]
    rows = study.plan.source.load("squad_v2", "en", "dev")[:200]
    answers = predictor(**columns_of(rows))
    assert {a.answer == "" for a in answers} == {a.score < 0 for a in answers}
    assert all((a.start is None) == (a.answer == "") for a in answers)


def test_a_retrieval_task_is_opened_from_the_store_for_its_vectors(study: Study, results: Results) -> None:
    backbone, store, texts = study.plan.backbone, study.store, ["a man eats", "he sleeps"]
    bare = xadapt.load("tatoeba", store=store, backbone=backbone).embed(texts)
    assert bare == pytest.approx(study.predictor("tatoeba").embed(texts), abs=1e-5)
    on_mnli = xadapt.load("mnli > tatoeba", store=store, backbone=backbone).embed(texts)
    assert on_mnli == pytest.approx(
        xadapt.load("mnli", store=store, backbone=backbone).embed(texts), abs=1e-5
    )
    assert abs(on_mnli - bare).max() > 1e-4


def test_sentence_vectors_find_what_tatoeba_finds(study: Study, results: Results) -> None:
    predictor = study.predictor("tatoeba")
    loaded = sampled(study.plan.source.load("tatoeba", "ru", "test"), ITEMS)
    rows = [r for r in loaded if isinstance(r, Paired)]
    english, others = [r.target for r in rows], [r.source for r in rows]
    assert len(set(others)) == len(others)
    vectors = predictor.embed(english)
    assert vectors.shape == (len(rows), study.plan.backbone.config.hidden_size)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    _, found = predictor.nearest(english, others)
    score = 100 * float(np.mean(found[:, 0] == np.arange(len(rows))))
    (cell,) = (c for c in results.cells if (c.task, c.lang) == ("tatoeba", "ru"))
    assert score == pytest.approx(cell.score, abs=100 / len(rows))  # batches differ: rounding moves a tie
    with pytest.raises(UserError, match="embed"):
        predictor("a text")
    assert predictor.embed([]).shape == (0, vectors.shape[1])


@pytest.mark.parametrize(
    ("expr", "given", "named", "message"),
    [
        ("xnli", (["a"], ["b", "c"]), {}, "1 text, 2 pair"),
        ("xnli", (), {"premiss": ["a"]}, "did you mean 'premise'"),
        ("xnli", (["a"],), {"premise": ["b"]}, "given twice"),
        ("xnli", (["a"], ["b"], ["c"]), {}, "3 columns"),
        ("xquad", (["who?"],), {}, "no context for 'xquad'"),
        ("xnli", ([None],), {}, r"text\[0\] is NoneType"),
        ("xcopa", (), {"context": ["a"], "options": ["b"]}, r"options\[0\]"),
        ("xcopa", (), {"context": ["a"], "options": [[]]}, r"options\[0\]"),
        ("panx", ([["a", 3]],), {}, r"text\[0\]\[1\] is int"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    study: Study, results: Results, expr: str, given: tuple[Any, ...], named: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        study.predictor(expr)(*given, **named)


def test_a_stack_is_opened_by_expression_address_name_and_folder(
    study: Study, results: Results, tmp_path: Path
) -> None:
    store, backbone = Store(study.store), study.plan.backbone  # type: ignore[arg-type]
    address = study.addresses("mnli > xnli")[-1]
    pairs = (["a man eats", "a woman"], ["he eats", "an apple"])
    expected = study.predictor("mnli > xnli")(*pairs)
    folder = Module.from_store(store, address).save_pretrained(tmp_path / "module")
    store.records.name("mine", address)
    for what in ("mnli > xnli", "mnli>xnli", address, address[:8], "mine", folder, str(folder)):
        predictor = xadapt.load(what, store=study.store, backbone=backbone)  # type: ignore[arg-type]
        assert predictor.labels == ("entailment", "neutral", "contradiction")
        assert predictor(*pairs) == expected
    by_name = Module.from_pretrained(folder).predictor()  # its own backbone, by its name
    assert by_name(*pairs) == expected
    with backbone.mount(Module.from_pretrained(folder)) as mounted:  # as before
        assert mounted is not None


@pytest.mark.parametrize(
    ("what", "more", "message"),
    [
        ("qqp > xnli", {}, "is not in"),
        ("xnli", {"seed": 7}, "a seed of 0"),
        ("deadbeef", {}, "means no modules"),
        ("mnli >", {}, "mnli >"),
    ],
)
def test_what_is_not_there_is_said(
    study: Study, results: Results, what: str, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        xadapt.load(what, store=study.store, **more)  # type: ignore[arg-type]


def test_several_modules_of_one_expression_are_told_apart(study: Study, checkpoint: Path) -> None:
    for steps in (1, 3):
        Study(
            ["xcopa"],
            study.backbone,
            languages=("en",),
            max_steps=steps,
            looks=1,
            dev_examples=40,
            seeds=(3,),
            store=study.store,
        ).run(baselines=False)
    with pytest.raises(UserError, match="means 2 modules"):
        xadapt.load("xcopa", store=study.store, seed=3)  # type: ignore[arg-type]


def test_a_fresh_interpreter_answers(study: Study, results: Results, tmp_path: Path) -> None:
    program = (
        "import xadapt\n"
        f"predictor = xadapt.load('mnli > xnli', store={str(study.store)!r})\n"
        "print(predictor(['a man eats'], ['he eats'])[0].label)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == study.predictor("mnli > xnli")(["a man eats"], ["he eats"])[0].label


def test_a_stack_goes_into_pipelines_and_peft(study: Study, results: Results) -> None:
    model, tokenizer = study.model("mnli > xnli"), study.plan.backbone.tokenizer
    assert list(model.config.id2label.values()) == ["entailment", "neutral", "contradiction"]
    texts = ["a man eats", "the red apple"]
    ours = study.predictor("mnli > xnli")(texts)
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    for answer, found in zip(ours, pipe(texts), strict=True):
        assert {one["label"]: one["score"] for one in found} == pytest.approx(answer.probabilities, abs=1e-5)
    both = study.peft_model("mnli > xnli")
    assert isinstance(both, PeftModel)
    pipe = pipeline("text-classification", model=both, tokenizer=tokenizer)
    assert [one["label"] for one in pipe(texts)] == [answer.label for answer in ours]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(both(**batch).logits, model(**batch).logits, atol=1e-5, rtol=0)
        tagged = study.model("panx")(**batch).logits.argmax(-1)
    assert tagged.shape == batch["input_ids"].shape
    encoder = XLMRobertaModel.from_pretrained(study.plan.backbone.name, add_pooling_layer=False)
    assert type(study.model("xquad")).__name__ == "XLMRobertaForQuestionAnswering"
    query = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(study.model("xcopa").roberta.state_dict()[query], encoder.state_dict()[query])
    with pytest.raises(UserError, match="the backbone alone"):
        study.model("tatoeba")


@pytest.mark.parametrize("how", ["model", "peft_model"])
def test_a_stack_goes_into_hf_s_trainer(study: Study, results: Results, tmp_path: Path, how: str) -> None:
    """What may learn there learns: everything, or the LoRA and the head."""
    model, tokenizer = getattr(study, how)("mnli > xnli"), study.plan.backbone.tokenizer
    rows = [{**tokenizer(text), "labels": i} for i, text in enumerate(("a man eats", "the apple", "he eats"))]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = Trainer(
        model,
        TrainingArguments(str(tmp_path), max_steps=2, report_to=[], save_strategy="no", use_cpu=True),
        train_dataset=rows,  # type: ignore[arg-type]  # any list does
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    assert trainer.train().training_loss > 0
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert any("classifier" in name for name in moved)
    if how == "peft_model":
        assert any("lora_A" in name for name in moved)
        assert all("lora_" in name or "modules_to_save" in name for name in moved)
    else:
        assert any("encoder.layer.0.attention" in name for name in moved)
    study.plan.backbone.verify()
