"""Rows of the hub in the schemas of their repositories, read through the real client.

Columns, types and names of labels are those of the pinned repositories; the texts are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pytest
from hub_server import ask, card, parquet, served

from xadapt.common.errors import UserError
from xadapt.data.hub_rows import examples_of
from xadapt.data.reading import hold_out
from xadapt.tasks import CATALOGUE, task_named
from xadapt.tasks.examples import Text

STRING, INTEGER = datasets.Value("string"), datasets.Value("int32")
NLI = datasets.ClassLabel(names=["entailment", "neutral", "contradiction"])
PAIR = datasets.Features({"premise": STRING, "hypothesis": STRING, "label": NLI})
COPA = {"premise": STRING, "choice1": STRING, "choice2": STRING, "question": STRING}


def pairs(where: Path, word: str, *labels: int) -> bytes:
    n = len(labels)
    rows = {"premise": [word] * n, "hypothesis": ["h"] * n, "label": list(labels)}
    return parquet(rows, PAIR, where)


def copa(where: Path, label: Any, questions: list[str], labels: list[int], **more: Any) -> bytes:
    n = len(labels)
    rows = {"premise": ["p"] * n, "choice1": ["a"] * n, "choice2": ["b"] * n, "question": questions}
    columns = {"idx": INTEGER, "label": label, **{name: feature for name, (feature, _) in more.items()}}
    values = {name: values for name, (_, values) in more.items()}
    data = {**rows, "idx": list(range(n)), "label": labels, **values}
    return parquet(data, datasets.Features({**COPA, **columns}), where)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    where = tmp_path_factory.mktemp("parquet")
    changed = (datasets.Value("bool"), [False, True])
    social = [
        {"context": "c", "question": "q", "answerA": "x", "answerB": "y", "answerC": "z", "label": label}
        for label in ("1", "3")
    ]
    cosmos = {
        "id": ["a", "b"],
        "context": ["c"] * 2,
        "question": ["q"] * 2,
        **{f"answer{i}": [word] * 2 for i, word in enumerate("wxyz")},
        "label": [3, 0],
    }
    wiki = {"id": ["1", "2"], "url": ["u"] * 2, "title": ["t"] * 2, "text": ["Eins.\n\nZwei.", "Drei."]}
    repositories = {
        "facebook/anli": {
            "README.md": card({"plain_text": [f"train_r{n}" for n in (1, 2, 3)]}),
            **{f"plain_text/train_r{n}-0.parquet": pairs(where, f"R{n}", 2) for n in (1, 2, 3)},
        },
        "stanfordnlp/snli": {
            "README.md": card({"plain_text": ["train"]}),
            "plain_text/train-0.parquet": pairs(where, "S", 0, -1, 1),
        },
        "nyu-mll/glue": {
            "README.md": card({"mnli": ["train"]}),
            "mnli/train-0.parquet": pairs(where, "M", 1),
        },
        "facebook/xnli": {
            "README.md": card({"de": ["train"]}),
            "de/train-0.parquet": pairs(where, "Übersetzt", *[0] * 20),
        },
        "aps/super_glue": {
            "README.md": card({"copa": ["train"]}),
            "copa/train-0.parquet": copa(
                where, datasets.ClassLabel(names=["choice1", "choice2"]), ["cause", "effect"], [0, 1]
            ),
        },
        "cambridgeltl/xcopa": {
            "README.md": card({"et": ["validation", "test"], "ht": ["test"]}),
            "et/validation-0.parquet": copa(where, INTEGER, ["cause"] * 2, [1, 0], changed=changed),
            "et/test-0.parquet": copa(where, INTEGER, ["cause", "why"], [1, 0], changed=changed),
            "ht/test-0.parquet": copa(where, INTEGER, ["cause"] * 20, [0] * 20),
        },
        "lighteval/siqa": {"train.jsonl": "".join(json.dumps(row) + "\n" for row in social).encode()},
        "Samsoup/cosmos_qa": {
            "README.md": card({"default": ["train"]}),
            "default/train-0.parquet": parquet(cosmos, None, where),
        },
        "wikimedia/wikipedia": {
            "README.md": card({"20231101.de": ["train"]}),
            "20231101.de/train-00000-of-00002.parquet": parquet(wiki, None, where),
            "20231101.de/train-00001-of-00002.parquet": b"never asked for",
        },
    }
    with served(repositories) as endpoint:
        home = tmp_path_factory.mktemp("home")
        yield dict(zip(CALLS, ask(endpoint, home, *CALLS.values()), strict=True))


CALLS = {
    "parts": ["load", "anli", "en", "train"],
    "counts": ["notes", "anli", "en", "train"],
    "translated": ["load", "mnli", "de", "train"],
    "held out": ["load", "mnli", "de", "dev"],
    "class labels": ["load", "copa", "en", "train"],
    "numbers": ["load", "xcopa", "et", "dev"],
    "another question": ["load", "xcopa", "et", "test"],
    "placeholders": ["load", "xcopa", "ht", "test"],
    "columns": ["load", "siqa", "en", "train"],
    "four columns": ["load", "cosmos_qa", "en", "train"],
    "text": ["load", "mlm", "de", "train"],
}


def test_anli_plus_is_read_from_three_repositories(answers: dict[str, Any]) -> None:
    assert [(e["id"], e["text"], e["label"]) for e in answers["parts"]] == [
        ("anli_r1-0", "R1", "contradiction"),
        ("anli_r2-0", "R2", "contradiction"),
        ("anli_r3-0", "R3", "contradiction"),
        ("snli-0", "S", "entailment"),
        ("snli-1", "S", "neutral"),
        ("mnli-0", "M", "neutral"),
    ]


def test_rows_that_the_annotators_did_not_agree_on_are_dropped_and_counted(answers: dict[str, Any]) -> None:
    assert answers["counts"] == {"dropped": 1}


def test_xnlis_training_sets_are_mnlis_translations(answers: dict[str, Any]) -> None:
    assert (len(answers["translated"]), len(answers["held out"])) == (18, 2)
    assert answers["translated"][0]["text"] == "Übersetzt"
    translated = CATALOGUE["mnli"].translated
    assert translated is not None
    assert translated.id == "facebook/xnli"


def test_copa_and_xcopa_ask_in_words(answers: dict[str, Any]) -> None:
    first, second = answers["class labels"]
    assert first == {
        "id": "0", "context": "p", "question": "What was the cause?", "options": ["a", "b"], "label": 0
    }  # fmt: skip
    assert (second["question"], second["label"]) == ("What was the effect?", 1)
    assert [e["label"] for e in answers["numbers"]] == [1, 0]


def test_a_question_of_another_kind(answers: dict[str, Any]) -> None:
    said = answers["another question"]["error"]
    assert "cambridgeltl/xcopa (et, test), row 1: question 'why'" in said
    assert "expected: one of cause, effect" in said


def test_placeholders_are_no_labels(answers: dict[str, Any]) -> None:
    assert {e["label"] for e in answers["placeholders"]} == {None}


def test_options_in_columns_of_their_own(answers: dict[str, Any]) -> None:
    assert [(e["options"], e["label"]) for e in answers["columns"]] == [
        (["x", "y", "z"], 0),
        (["x", "y", "z"], 2),
    ]


def test_answers_in_columns_of_their_own_and_their_index(answers: dict[str, Any]) -> None:
    assert [(e["options"], e["label"]) for e in answers["four columns"]] == [
        (["w", "x", "y", "z"], 3),
        (["w", "x", "y", "z"], 0),
    ]


def test_running_text_by_paragraphs_from_the_first_file_alone(answers: dict[str, Any]) -> None:
    """The second file in the stand-in is no Parquet: whoever read it would fail."""
    assert [e["text"] for e in answers["text"]] == ["Eins.", "Zwei.", "Drei."]


class Watched:
    """A table that counts the rows that are taken from it."""

    column_names: ClassVar = ["text"]

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.touched = texts, 0

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, key: slice) -> dict[str, list[str]]:
        self.touched += len(self.texts[key])
        return {"text": self.texts[key]}

    def select(self, rows: range) -> Watched:
        self.texts = [self.texts[i] for i in rows]
        return self

    def select_columns(self, names: list[str]) -> Watched:
        assert names == ["text"]
        return self


def test_of_running_text_only_the_first_rows_are_looked_at_and_none_is_kept() -> None:
    row = task_named("mlm")
    assert row.hub is not None
    table = Watched([f"a{i}\n\nb{i}\n \nc{i}" for i in range(30_000)])
    examples = examples_of(row, replace(row.hub, rows=10_000), table, "en", "train", {})
    assert len(examples) == 30_000
    assert table.touched == 10_000, "one pass, to count"
    assert not isinstance(examples, list)
    assert [e.text for e in examples[29_998:]] == ["b9999", "c9999"]
    assert [e.text for e in examples[5:8]] == ["c1", "a2", "b2"]
    assert examples[4] == Text("4", "b1")
    assert table.touched < 10_010
    kept, dev = hold_out(examples)
    assert (len(kept), len(dev)) == (29_000, 1_000)


def test_a_little_running_text_is_a_list_with_empty_documents_left_out() -> None:
    row = task_named("mlm")
    assert row.hub is not None
    examples = examples_of(row, row.hub, Watched(["", "a\n", "\n", "b\nc"]), "en", "train", {})
    assert examples == [Text("0", "a"), Text("1", "b"), Text("2", "c")]
    with pytest.raises(UserError, match="has no rows"):
        examples_of(row, row.hub, Watched(["", "\n"]), "en", "train", {})
