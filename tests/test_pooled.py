"""One pool for all languages: its candidates are encoded once, and no score is another for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xadapt.backbone.backbone import Backbone
from xadapt.data.folder import Folder
from xadapt.kinds import RETRIEVAL
from xadapt.kinds.kind import Item
from xadapt.kinds.search import Search
from xadapt.mount import mount
from xadapt.stacks.methods import parse_method
from xadapt.store.store import Store
from xadapt.study.plan import Overrides, make_plan
from xadapt.study.results import Cell
from xadapt.study.run import predict, run
from xadapt.tasks import task_named
from xadapt.tasks.examples import Example, Sought
from xadapt.train import evaluate

LANGUAGES = ("de", "en", "es")
WORDS = {"de": "der alte Mann isst", "en": "the old man eats", "es": "el hombre viejo come"}
N = 12  # questions and paragraphs a language; a paragraph has two sentences


def squad(language: str) -> str:
    """A file of XQuAD-R; of SQuAD as well, which has no breaks."""
    paragraphs = []
    for i in range(N):
        first, second = f"{WORDS[language]} {i} apples.", f"Anna {'sings ' * (i % 4)}in {language}."
        answer = {"text": str(i), "answer_start": first.index(str(i))}
        paragraphs.append(
            {
                "context": f"{first} {second}",
                "sentence_breaks": [[0, len(first)], [len(first) + 1, len(first) + 1 + len(second)]],
                "qas": [{"id": f"q{i}", "question": f"{WORDS[language]} {i} ?", "answers": [answer]}],
            }
        )
    return json.dumps({"data": [{"paragraphs": paragraphs}]})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("world")
    files = {f"lareqa/xquad-r/{lang}.json": squad(lang) for lang in LANGUAGES}
    files |= {f"squad/{name}-v1.1.json": squad("en") for name in ("train", "dev")}
    for name, text in files.items():
        path = root / "xtreme" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Folder(root / "xtreme")


class Counted(Search):
    """Counts the texts that are tokenized for an evaluation and those that go through the encoder."""

    read: list[int]
    passed: list[int]

    def encode(self, examples: Sequence[Example], *args: Any, **options: Any) -> list[Item]:
        if not options["training"] and isinstance(examples[0], Sought):
            self.read.append(len(examples))
        return super().encode(examples, *args, **options)

    def outputs(self, head: Any, hidden: Any, batch: Any, items: Sequence[Item]) -> list[Any]:
        self.passed.append(len(items))
        return super().outputs(head, hidden, batch, items)


def cells(source: Folder, backbone: Backbone, store: Path) -> list[tuple[Cell, ...]]:
    """Of two stacks."""
    plan = make_plan(
        ["lareqa", "lareqa@lora(r=2)"],
        backbone=backbone,
        source=source,
        method=parse_method("lora"),
        overrides=Overrides(max_steps=2, batch_size=4),
    )
    return list(run(plan, Store(store), baselines=False).cells)


def test_scores_are_those_of_each_language_alone(
    source: Folder, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = cells(source, backbone, tmp_path / "together")
    assert {cell.lang for cell in together} == set(LANGUAGES)
    assert len({cell.score for cell in together}) > 2
    monkeypatch.setattr(Search, "pooled", False)
    assert cells(source, backbone, tmp_path / "alone") == together


def test_texts_are_tokenized_once_and_encoded_once_a_stack(
    source: Folder, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Counted.read, Counted.passed = [], []
    monkeypatch.setitem(RETRIEVAL, "map@20", Counted)
    plan = make_plan(
        ["lareqa"],
        backbone=backbone,
        source=source,
        method=parse_method("lora"),
        overrides=Overrides(max_steps=1, batch_size=4),
    )
    run(plan, Store(tmp_path), baselines=False)
    pool, queries = len(LANGUAGES) * N * 2, N
    assert Counted.read == [queries + pool, queries, queries]
    assert Counted.passed[-4:] == [pool, queries, queries, queries]
    Counted.passed = []
    assert len(predict(plan, Store(tmp_path))) == len(LANGUAGES)
    assert Counted.passed == [pool, queries, queries, queries]


def test_a_candidate_has_the_same_bits_whichever_language_is_first(
    source: Folder, backbone: Backbone
) -> None:
    """So a run that was stopped between two languages goes on to the same scores."""
    task = task_named("lareqa")
    kind = Search(task, None)
    mounted, head = mount(backbone, []), kind.head(backbone.config)
    found = []
    for lang in LANGUAGES:
        known: evaluate.Known = {}
        examples = source.load("lareqa", lang, "test")
        items = kind.encode(examples, backbone.tokenizer, task.max_length, training=False)
        outputs = evaluate.pool_outputs(mounted, head, kind, examples, items, known)
        assert len(outputs) == len(items)
        assert {row.side for row in known} == {"candidate"}
        found.append({row.id: vector for row, vector in known.items()})
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], vector) for name, vector in other.items())


def test_another_pool_takes_the_place_of_the_last(backbone: Backbone) -> None:
    """Memory holds one pool, and a text of the same id that says something else is encoded anew."""
    kind = Search(task_named("lareqa"))
    mounted, head = mount(backbone, []), kind.head(backbone.config)
    known: evaluate.Known = {}

    def vectors(text: str) -> list[Any]:
        rows = [Sought("q", "query", "who ?", "", ("a",)), Sought("a", "candidate", text, "", None)]
        items = kind.encode(rows, backbone.tokenizer, 64, training=False)
        return evaluate.pool_outputs(mounted, head, kind, rows, items, known)

    first, second = vectors("the man"), vectors("the woman")
    assert not np.array_equal(first[1], second[1])
    assert [row.text for row in known] == ["the woman"]
