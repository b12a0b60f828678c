"""``lang(mlm) > mnli > xnli``: language modules (MAD-X) below a stack, exchanged by language."""

from __future__ import annotations

import copy
import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import AutoAdapterModel, SeqBnConfig, SeqBnInvConfig
from adapters.composition import Stack as AdapterStack
from expressions import terms
from hypothesis import given
from hypothesis import strategies as st
from mount_common import BATCH, module, outputs
from safetensors.torch import load_file
from torch import Tensor, nn

from xadapt import Backbone, Store, Study, load
from xadapt.cli.main import main
from xadapt.common.errors import UserError
from xadapt.common.randomness import seeded
from xadapt.interop.import_module import import_module
from xadapt.kinds import kind_of
from xadapt.kinds.word_head import WordHead
from xadapt.mount import Merged, Part, encode_many, mount
from xadapt.record.methods_text import bibliography, methods_text
from xadapt.record.standard import manifests_of
from xadapt.stacks.methods import Bottleneck, LoRA, Method
from xadapt.stacks.parser import Stack, Term, parse
from xadapt.stacks.places import needs
from xadapt.stacks.term import MISSING
from xadapt.store.maintenance import gc
from xadapt.study.imported import Imported, filled
from xadapt.study.kept import kept_scores
from xadapt.study.module_loader import new_head
from xadapt.tasks import CATALOGUE

MADX = Bottleneck(reduction=2, inv="nice")
METHODS: list[Method] = [MADX, Bottleneck(), LoRA(r=4)]


# -- the grammar ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "lang(mlm) > xnli",
        "lang(mlm, mean) > mnli > xnli",
        "lang(mlm[500], none) > fuse(mnli, qqp) > xnli",
        "lang(mlm[500, de]@bottleneck(reduction=2, inv=nice)) > xnli[de]",
    ],
)
def test_a_language_module_prints_as_it_is_written(text: str) -> None:
    stack = parse(text)
    assert str(stack) == text
    assert parse(str(stack)) == stack
    assert stack.exchanged is not None
    assert "lang" not in str(stack.plain)


@st.composite
def on_language_modules(draw: st.DrawFn) -> Stack:
    """A language module, and modules above it that are trained in its language."""
    languages = draw(st.sampled_from([(), ("de",)]))
    family = draw(st.sampled_from(["lora", "bottleneck"]))
    several = draw(st.lists(terms(family), min_size=2, max_size=4))
    lowest, *above = (replace(term, languages=languages) for term in several)
    return Stack((replace(lowest, missing=draw(st.sampled_from(MISSING))), *above))


@given(on_language_modules())
def test_every_stack_on_a_language_module_reads_as_it_prints(stack: Stack) -> None:
    assert parse(str(stack)) == stack
    assert parse(str(stack.plain)) == stack.plain
    assert [need.stack.plain for need in needs(stack)] == [need.stack for need in needs(stack.plain)]


def test_what_it_means_in_a_language() -> None:
    term = parse("lang(mlm[500]@lora, mean) > xnli").exchanged
    assert term is not None
    assert str(term.of("de")) == "mlm[500, de]@lora"
    assert str(term.plain) == "mlm[500]@lora"
    assert parse("mlm > xnli").exchanged is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mnli > lang(mlm) > xnli", "first in a stack"),
        ("mean(lang(mlm), mnli) > xnli", "first in a stack"),
        ("joint(lang(mlm), mnli) > xnli", "first in a stack"),
        ("drop(lang(mlm), 0) > xnli", "drop of a language module"),
        ("lang(mlm@full) > xnli", "cannot be exchanged"),
        ("lang(mlm[de+en]) > xnli", "one language"),
        ("lang(mlm, median) > xnli", "mean or none"),
        ("lang(mlm) > xnli[de]", "trained on de"),
        ("lang(mlm) > mnli[de+en] > xnli", "trained on de+en"),
        ("lang(mlm)", "a language module is on top"),
        ("lang > xnli", "word of the grammar"),
        ("fuse(mlm@bottleneck(inv=nice), mnli@bottleneck) > xnli", "on the embeddings"),
        ("mnli@bottleneck > mlm@bottleneck(inv=nice) > xnli", "stands on a bottleneck"),
    ],
)
def test_what_cannot_be_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("+", r"\+")):
        parse(text)


def test_a_term_by_hand_is_held_to_the_same() -> None:
    with pytest.raises(UserError, match="one language"):
        Term("mlm", languages=("de", "ru"), missing="refuse")
    with pytest.raises(UserError, match="put lang"):
        Stack((Term("mnli"), Term("mlm", missing="mean"), Term("xnli")))
    with pytest.raises(UserError, match="cannot be evaluated"):
        _ = Stack((Term("mlm", missing="mean"),)).target


# -- mounted ----------------------------------------------------------------------------------------


def library(backbone: Backbone, *parts: Part, head: bool = False) -> Any:
    """The same modules as a stack of the library ``adapters``."""
    with seeded("theirs"):
        model: Any = AutoAdapterModel.from_config(copy.deepcopy(backbone.config))  # it writes into it
    model.roberta.load_state_dict(backbone.model.state_dict(), strict=False)
    names = []
    for number, part in enumerate(parts):
        assert isinstance(part.method, Bottleneck)
        assert part.weights is not None
        shape = SeqBnInvConfig if part.method.inv == "nice" else SeqBnConfig
        names.append(f"part{number}")
        model.add_adapter(names[-1], config=shape(reduction_factor=part.method.reduction))
        own = dict(model.roberta.named_parameters())
        for key, weight in part.weights.items():
            own[key.replace(".module.", f".{names[-1]}.")].data.copy_(weight)
    if head:
        with seeded("head"):
            model.add_masked_lm_head("words")
    model.active_adapters = AdapterStack(*names)
    return model.eval()


def test_a_stack_with_invertible_adapters_gives_the_library_s_own_outputs(backbone: Backbone) -> None:
    language, task = module(backbone, MADX, 1), module(backbone, Bottleneck(reduction=4), 2)
    model = library(backbone, language, task)
    ours = outputs(backbone, language, task)
    with torch.no_grad():
        for i, (start, length) in enumerate(zip(BATCH.starts, BATCH.lengths, strict=True)):
            ids = BATCH.input_ids[start : start + length]
            theirs = model.roberta(ids[None], attention_mask=torch.ones_like(ids)[None])[0][0]
            torch.testing.assert_close(ours[start : start + length], theirs, atol=1e-5, rtol=1e-5), i
    alone = outputs(backbone, task)
    assert (ours - alone).abs().max() > 1e-2


def test_a_head_that_names_words_undoes_the_invertible_adapter_as_the_library_does(
    backbone: Backbone,
) -> None:
    language = module(backbone, MADX, 1)
    model = library(backbone, language, head=True)
    theirs = model.heads["words"]
    mounted = mount(backbone, [language])
    head = WordHead(backbone.config)
    head.dense.load_state_dict(theirs[0].state_dict())
    head.layer_norm.load_state_dict(theirs[2].state_dict())
    head.bias.data.copy_(theirs[3].bias.data)
    head.tie(mounted.model.embeddings.word_embeddings.weight, None, mounted.inverse)
    start, length = int(BATCH.starts[0]), int(BATCH.lengths[0])
    ids = BATCH.input_ids[start : start + length]
    with torch.no_grad():
        mine = head.logits(head(mounted.encode(BATCH)[start : start + length]))
        given = model(ids[None], attention_mask=torch.ones_like(ids)[None]).logits[0]
        torch.testing.assert_close(mine, given, atol=2e-5, rtol=1e-5)
        head.tie(mounted.model.embeddings.word_embeddings.weight, None, None)
        assert (head.logits(head(mounted.encode(BATCH)[start : start + length])) - given).abs().max() > 1e-3


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_mean_of_one_language_module_is_itself(backbone: Backbone, method: Method) -> None:
    one, other = module(backbone, method, 1), module(backbone, method, 2)
    alone = outputs(backbone, one)
    torch.testing.assert_close(outputs(backbone, Merged("m", "mean", ((1.0, one),))), alone)
    assert (outputs(backbone, Merged("m", "mean", ((1.0, one), (1.0, other)))) - alone).abs().max() > 1e-3


def test_a_mean_of_invertible_adapters_is_the_mean_of_what_they_make_of_the_embeddings(
    backbone: Backbone,
) -> None:
    parts = [module(backbone, MADX, n) for n in (1, 2)]
    alike = Bottleneck(reduction=2)
    parts.append(module(backbone, alike, 3))
    with torch.no_grad():
        embedded = [mount(backbone, [part]).encode(BATCH, 0) for part in parts]
        mean = mount(backbone, [Merged("m", "mean", tuple((1.0, part) for part in parts))])
        torch.testing.assert_close(mean.encode(BATCH, 0), torch.stack(embedded).mean(dim=0))
    assert mean.inverse is not None
    with pytest.raises(UserError, match="no inverse"):
        mean.inverse(torch.zeros(1, 2, backbone.config.hidden_size), rev=True)


def test_an_invertible_adapter_stands_below_all_bottlenecks_or_is_refused(backbone: Backbone) -> None:
    language, task = module(backbone, MADX, 1), module(backbone, Bottleneck(), 2)
    with pytest.raises(UserError, match="below all bottlenecks"):
        mount(backbone, [task, language])


def test_nothing_below_an_invertible_adapter_is_shared(backbone: Backbone) -> None:
    top = Bottleneck(layers="top1")
    stacks = [mount(backbone, [module(backbone, MADX, 1)]), mount(backbone, [module(backbone, top, 2)])]
    assert [stack.lowest for stack in stacks] == [-1, backbone.layers - 1]
    with torch.no_grad():
        for together, stack in zip(encode_many(backbone, stacks, BATCH), stacks, strict=True):
            torch.testing.assert_close(together, stack.encode(BATCH))


def test_a_head_that_names_words_runs_in_float32_above_a_frozen_invertible_adapter_in_bf16(
    checkpoint: Path,
) -> None:
    backbone = Backbone.from_pretrained(str(checkpoint), device="cpu", dtype="bfloat16")
    language = module(backbone, MADX, 1)
    fresh = mount(backbone, [language, Part("new", LoRA(r=4), None)])
    kind = kind_of(CATALOGUE["mlm"])
    head = new_head(backbone, kind, fresh)
    with torch.no_grad():
        ready = head(fresh.encode(BATCH).float())
    assert ready.dtype == torch.float32
    assert bool(ready.isfinite().all())


# -- studied ------------------------------------------------------------------------------------------


def study_of(checkpoint: Path, store: Path | Store, *expressions: str, **options: Any) -> Study:
    backbone = Backbone.from_pretrained(str(checkpoint), device="cpu", dtype="float32")
    given = {"languages": "en,de,ru", "max_steps": 2, "looks": 1, "dev_examples": 40, "items": 12} | options
    return Study(expressions, backbone, store=store, **given)


@pytest.fixture(scope="module")
def done(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Mapping[Any, Any]]:
    store = tmp_path_factory.mktemp("languages") / "store"
    study = study_of(checkpoint, store, "mlm > xnli", "lang(mlm) > xnli")
    results = study.run(baselines=False)
    return study, {(c.expr, c.lang): c for c in results.cells}


def test_one_plan_knows_which_language_modules_a_study_needs(done: tuple[Study, Any]) -> None:
    study, _ = done
    assert [m.shown for m in study.plan.modules] == ["mlm", "mlm > xnli", "mlm[de]", "mlm[ru]"]
    expressions = {study._store.manifest(m.address)["expression"] for m in study.plan.modules}
    assert expressions == {"mlm@lora", "mlm@lora > xnli@lora", "mlm[de]@lora", "mlm[ru]@lora"}


def test_its_own_language_is_the_stack_itself_and_others_are_not(
    done: tuple[Study, Mapping[Any, Any]],
) -> None:
    _, cells = done
    assert cells["lang(mlm) > xnli", "en"].key == cells["mlm > xnli", "en"].key
    for lang in ("de", "ru"):
        assert cells["lang(mlm) > xnli", lang].key != cells["mlm > xnli", lang].key
        assert cells["lang(mlm) > xnli", lang].module == cells["mlm > xnli", lang].module
        assert cells["lang(mlm) > xnli", lang].instead == ""


def test_a_language_module_equal_to_the_source_s_changes_nothing(done: tuple[Study, Any]) -> None:
    """The identity test: what is exchanged for its own copy gives the same outputs, token by token."""
    study, _ = done
    backbone = study.plan.backbone
    plain = study.elements("mlm > xnli", 0, backbone)
    german = study.elements("lang(mlm) > xnli", 0, backbone, language="de")
    assert [e.label for e in german] == ["mlm[de]@lora", *[e.label for e in plain[1:]]]
    lowest = plain[0]
    assert isinstance(lowest, Part)
    copy = Part("copy", lowest.method, {k: w.clone() for k, w in (lowest.weights or {}).items()})
    whole = outputs(backbone, *plain)
    torch.testing.assert_close(outputs(backbone, copy, *german[1:]), whole, rtol=0, atol=0)
    assert (outputs(backbone, *german) - whole).abs().max() > 0


def test_a_predictor_of_a_language_answers_what_was_scored(done: tuple[Study, Mapping[Any, Any]]) -> None:
    study, _ = done
    examples = study.plan.source.load("xnli", "de", study.plan.evaluations[1].split)
    chosen = [examples[i] for i in range(0, len(examples), 97)][:40]
    predictor = study.predictor("lang(mlm) > xnli", language="de")
    loaded = load("lang(mlm) > xnli", store=study._store, backbone=study.plan.backbone, language="de")
    texts, pairs = [e.text for e in chosen], [e.pair for e in chosen]  # type: ignore[attr-defined]
    given, again = predictor(texts, pairs), loaded(texts, pairs)
    for one, other in zip(given, again, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    english = study.predictor("lang(mlm) > xnli", language="en")(texts, pairs)
    assert any(
        one.probabilities != pytest.approx(other.probabilities, abs=1e-7)
        for one, other in zip(given, english, strict=True)
    )


def test_the_exported_model_of_a_language_is_what_is_evaluated(done: tuple[Study, Any]) -> None:
    study, _ = done
    backbone = study.plan.backbone
    model: nn.Module = study.model("lang(mlm) > xnli", language="de").eval()
    start, length = int(BATCH.starts[0]), int(BATCH.lengths[0])
    ids = BATCH.input_ids[start : start + length]
    with torch.no_grad():
        theirs: Tensor = model.roberta(ids[None], attention_mask=torch.ones_like(ids)[None])[0][0]  # type: ignore[operator,union-attr]
    ours = outputs(backbone, *study.elements("lang(mlm) > xnli", 0, backbone, language="de"))
    torch.testing.assert_close(ours[start : start + length], theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("asked", [None, "sw"])
def test_which_language_must_be_said(done: tuple[Study, Any], asked: str | None) -> None:
    study, _ = done
    with pytest.raises(UserError, match="language="):
        study.predictor("lang(mlm) > xnli", language=asked)
    with pytest.raises(UserError, match="leave it out"):
        study.predictor("mlm > xnli", language="de")
    with pytest.raises(UserError, match="of which language"):
        load("lang(mlm) > xnli", store=study._store)


def test_a_store_s_module_of_another_study_does_not_take_its_place(
    done: tuple[Study, Any], checkpoint: Path, tmp_path: Path
) -> None:
    """``load`` mounts the German module that was trained as the English one below, or none."""
    study, _ = done
    store = tmp_path / "store"
    study_of(checkpoint, store, "lang(mlm) > xnli", languages="en").run(baselines=False)
    study_of(checkpoint, store, "mlm[de] > xnli", languages="en", max_steps=1).run(baselines=False)
    with pytest.raises(UserError, match="that was trained as the mlm below"):
        load("lang(mlm) > xnli", store=store, language="de")
    study_of(checkpoint, store, "lang(mlm) > xnli", languages="de").run(baselines=False)
    text = (["ein Mann isst"], ["er isst"])
    loaded = load("lang(mlm) > xnli", store=store, backbone=study.plan.backbone, language="de")
    asked = study.predictor("lang(mlm) > xnli", language="de")
    assert loaded(*text)[0].probabilities == pytest.approx(asked(*text)[0].probabilities, abs=1e-5)


def test_a_study_s_stack_is_mounted_in_a_language(done: tuple[Study, Any]) -> None:
    study, _ = done
    backbone = study.plan.backbone
    assert isinstance(backbone, Backbone)
    with backbone.mount("lang(mlm) > xnli", study, language="de") as mounted:
        assert mounted.labels[0] == "mlm[de]@lora"


def test_a_score_is_listed_under_every_expression_that_asked_for_it(done: tuple[Study, Any]) -> None:
    study, cells = done
    kept = kept_scores(study._store)
    english = {c.expr: c.score for c in kept.cells if c.lang == "en" and c.metric == "accuracy"}
    assert english.keys() == {"mlm > xnli", "lang(mlm) > xnli"}
    assert len(set(english.values())) == 1
    assert len(kept.cells) == len(cells)


def test_a_report_says_what_was_exchanged(done: tuple[Study, Any]) -> None:
    study, _ = done
    results = study.run(baselines=False)
    text = methods_text(results, manifests_of(results.modules, study._store))
    assert "MAD-X: Pfeiffer et al. 2020" in text
    assert "on dev text of that language" in text
    assert "pfeiffer-etal-2020" in bibliography(results, manifests_of(results.modules, study._store))


def test_an_expression_is_drawn_and_exported_in_a_language(
    done: tuple[Study, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, _ = done
    store = ["--store", str(study._store.root)]
    named = ["--backbone", study.plan.backbone.name, "--device", "cpu", "--dtype", "float32"]
    limits = ["--max-steps", "2", "--looks", "1", "--dev-examples", "40"]
    main(["explain", "lang(mlm) > xnli", "--similarity", *named, *limits, *store])
    main(["explain", "lang(mlm) > xnli", "--langs", "de", *named, *limits, *store])
    assert "lang(mlm)" in capsys.readouterr().out
    whole: dict[str, Tensor] = {}
    for lang in ("en", "de"):
        out = str(tmp_path / lang)
        main(
            ["modules", "export", "lang(mlm) > xnli", "--to", "merged", "--out", out, "--lang", lang, *store]
        )
        weights = load_file(tmp_path / lang / "model.safetensors")
        whole[lang] = weights["roberta.encoder.layer.0.output.dense.weight"]
    model: Any = study.model("lang(mlm) > xnli", language="de")
    ours = model.roberta.encoder.layer[0].output.dense.weight.detach()
    torch.testing.assert_close(whole["de"], ours, atol=1e-6, rtol=1e-5)
    assert (whole["de"] - whole["en"]).abs().max() > 0
    with pytest.raises(SystemExit):
        main(
            ["modules", "export", "lang(mlm) > xnli", "--to", "merged", "--out", str(tmp_path / "x"), *store]
        )
    assert "of which language?" in capsys.readouterr().err


def test_language_modules_are_kept_by_the_study_that_needs_them(done: tuple[Study, Any]) -> None:
    study, _ = done
    assert not gc(study._store, dry_run=True).modules


def test_apply_answers_in_a_language(done: tuple[Study, Any], tmp_path: Path) -> None:
    study, _ = done
    source, out = tmp_path / "in.tsv", tmp_path / "out.jsonl"
    source.write_text("ein Mann isst\ter isst\n", encoding="utf-8")
    words = ["--in", str(source), "--out", str(out), "--store", str(study._store.root), "--lang", "de"]
    main(["apply", "lang(mlm) > xnli", *words, "--backbone", study.plan.backbone.name])
    assert '"label"' in out.read_text()


def test_running_text_in_a_language_chooses_its_checkpoint_in_that_language(done: tuple[Study, Any]) -> None:
    study, _ = done
    chosen_by = {m.shown: m.tasks[0].dev for m in study.plan.modules}
    assert chosen_by == {"mlm": "en", "mlm > xnli": "en", "mlm[de]": "de", "mlm[ru]": "ru"}
    drawn = {m.drawn_from for m in study.plan.modules if m.shown.startswith("mlm") and ">" not in m.shown}
    assert len(drawn) == 1  # language modules of one seed start alike
    assert len({m.address for m in study.plan.modules}) == 4


# -- a language without a module --------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path) -> Path:
    """A folder with running text in English and German, and UDPOS in these, in Dutch and in Thai."""
    sentence = "the\tDET\ncat\tNOUN\nsleeps\tVERB\n\n"
    names = ("train-en", "dev-en", "dev-de", "dev-nl", "dev-th")
    files = {f"udpos/{name}.tsv": 8 * sentence for name in names}
    for lang in ("en", "de"):
        files[f"mlm/{lang}.txt"] = "".join(f"{lang} says line {i} of text\n" for i in range(12))
        files[f"mlm/dev-{lang}.txt"] = "".join(f"{lang} dev line {i}\n" for i in range(6))
    for name, text in files.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("missing", "instead"),
    [
        ("mean", {"nl": "mean(mlm[de], mlm)", "th": "no language module"}),
        ("none", {"nl": "no language module", "th": "no language module"}),
    ],
)
def test_what_stands_for_a_language_without_a_module_is_said(
    checkpoint: Path,
    running: Path,
    tmp_path: Path,
    missing: str,
    instead: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    expression, store = f"lang(mlm, {missing}) > udpos", str(tmp_path / "store")
    options: dict[str, Any] = {"languages": "en,de,nl,th", "batch_size": 4, "items": None}
    study = study_of(checkpoint, tmp_path / "store", expression, data=str(running), **options)
    results = study.run(baselines=False)
    assert {c.lang: c.instead for c in results.cells if c.instead} == instead
    words = ["run", expression, "--backbone", study.plan.backbone.name, "--data", str(running)]
    words += [
        "--langs",
        "en,de,nl,th",
        "--max-steps",
        "2",
        "--looks",
        "1",
        "--dev-examples",
        "40",
        "--batch-size",
        "4",
    ]
    main([*words, "--store", store, "--dtype", "float32", "--device", "cpu"])
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing was trained" in said
    for lang, what in instead.items():
        assert what in said, lang
    main(["results", "--store", store, "--format", "csv"])
    kept = csv.DictReader(capsys.readouterr().out.splitlines())
    assert {row["lang"]: row["instead"] for row in kept if row["instead"]} == instead


def test_a_language_without_a_module_is_refused_where_nothing_is_said_of_it(
    checkpoint: Path, running: Path, tmp_path: Path
) -> None:
    store, languages = tmp_path / "store", "en,de,nl,th"
    study = study_of(checkpoint, store, "lang(mlm) > udpos", data=str(running), languages=languages)
    with pytest.raises(UserError) as caught:
        _ = study.plan
    for part in ("mlm in nl", "mlm in th", "lang(mlm, mean)", "lang(mlm, none)"):
        assert part in str(caught.value)


def test_sentences_of_two_languages_have_no_one_language_module(checkpoint: Path, tmp_path: Path) -> None:
    study = study_of(checkpoint, tmp_path / "store", "lang(mlm) > tatoeba", languages=None)
    with pytest.raises(UserError, match="two languages"):
        _ = study.plan


# -- language adapters from elsewhere ----------------------------------------------------------------


def test_imported_language_adapters_are_exchanged_by_their_names(checkpoint: Path, tmp_path: Path) -> None:
    backbone = Backbone.from_pretrained(str(checkpoint), device="cpu", dtype="float32")
    store = Store(tmp_path / "store")
    parts: dict[str, Part] = {}
    for number, lang in enumerate(("en", "de")):
        parts[lang] = module(backbone, MADX, number)
        model = library(backbone, parts[lang])
        model.config._name_or_path = backbone.name
        model.roberta.config.name_or_path = backbone.name
        folder = tmp_path / lang
        model.save_adapter(str(folder), "part0", use_safetensors=True, with_head=False)
        import_module(
            folder, store, backbone, task="mlm", name=f"wiki_{lang}", with_head=False, any_base=True
        )
    expressions = ("lang(wiki, mean) > xnli@bottleneck", "wiki[de] > xnli@bottleneck")
    study = study_of(checkpoint, store, *expressions, languages="en,de")
    results = study.run(baselines=False)
    assert {c.instead for c in results.cells} == {""}
    german = study.elements("lang(wiki, mean) > xnli@bottleneck", 0, study.plan.backbone, language="de")
    torch.testing.assert_close(outputs(backbone, german[0]), outputs(backbone, parts["de"]))
    english = study.elements("lang(wiki, mean) > xnli@bottleneck", 0, study.plan.backbone, language="en")
    torch.testing.assert_close(outputs(backbone, english[0]), outputs(backbone, parts["en"]))
    with pytest.raises(UserError, match="fr"):
        _ = study_of(checkpoint, store, "lang(wiki) > xnli@bottleneck", languages="en,fr").plan
    expression, text = expressions[0], (["ein Mann isst"], ["er isst"])
    loaded = load(expression, store=store, backbone=study.plan.backbone, language="de")
    asked = study.predictor(expression, language="de")
    assert loaded(*text)[0].probabilities == pytest.approx(asked(*text)[0].probabilities, abs=1e-5)
    with pytest.raises(UserError, match=r"wiki_fr, which is not there\n.*wiki_de, wiki_en"):
        _ = study_of(checkpoint, store, "wiki[fr] > xnli@bottleneck").plan
    for name, said in (("wiki", "beside 'wiki_"), ("mlm_de", "the task mlm")):
        with pytest.raises(UserError, match=said):
            import_module(folder, store, backbone, task="mlm", name=name, with_head=False, any_base=True)


def test_imported_language_modules_have_each_their_method(checkpoint: Path, tmp_path: Path) -> None:
    imported = {
        "wiki_de": Imported("a" * 20, CATALOGUE["mlm"], MADX),
        "wiki_ru": Imported("b" * 20, CATALOGUE["mlm"], Bottleneck(reduction=8)),
    }
    stack = filled(parse("wiki[de] > mean(qqp, wiki[ru]) > xnli"), imported, CATALOGUE)
    assert str(stack) == (
        "wiki[de]@bottleneck(reduction=2, inv=nice) > mean(qqp, wiki[ru]@bottleneck(reduction=8)) > xnli"
    )
