"""Files of predictions: as XTREME's evaluate.py reads them, and strict about what is read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from xadapt.common.errors import UserError
from xadapt.interop.xtreme_files import UNANSWERED, Read, file_of, folder_of, format_of
from xadapt.tasks import Task, task_named
from xadapt.tasks.examples import Answer, Chosen, Classified, Example, Extracted, Paired, Sought, Tagged


def row(name: str, kind: str, *metrics: str, **more: Any) -> Task:
    """A row for a target that need not be in the catalogue."""
    options: dict[str, Any] = {"role": "target", "summary": "", "languages": ("de",), "train": None}
    return Task(name, kind=kind, metrics=metrics, **(options | more))  # type: ignore[arg-type]


XNLI = task_named("xnli")
UDPOS = task_named("udpos")
XQUAD = task_named("xquad")
TATOEBA = task_named("tatoeba")
XCOPA = row("xcopa", "choose", "accuracy")
BUCC = row("bucc", "retrieve", "f1")
MEWSLIX = row("mewslix", "retrieve", "map@20")

PAIRS = [Classified(str(i), "a", "b", "neutral") for i in range(3)]
SENTENCES = [Tagged("0", ("Anna", "eats"), ("PROPN", "VERB")), Tagged("1", ("why",), ("ADV",))]
QUESTIONS = [Extracted(i, "where?", "in Köln", (Answer("Köln", 3),)) for i in ("q1", "q2", "q3")]
COPA = [Chosen(str(i), "it rained", "effect", ("wet", "dry"), 0) for i in range(2)]
TRANSLATIONS = [Paired(str(i), f"s{i}", f"t{i}") for i in range(3)]
TEXTS = [
    Sought("de-1", "query", "eins", "", ("en-7",)),
    Sought("de-2", "query", "zwei", "", ()),
    Sought("en-7", "candidate", "one", "", None),
    Sought("en-8", "candidate", "eight", "", None),
]

# task, examples, predictions of its kind, the file
WRITTEN: list[tuple[Task, Sequence[Example], list[Any], str]] = [
    (XNLI, PAIRS, ["neutral", "entailment", "contradiction"], "neutral\nentailment\ncontradiction\n"),
    (UDPOS, SENTENCES, [("PROPN", "VERB"), ("X",)], "PROPN\nVERB\n\nX\n\n"),
    (XQUAD, QUESTIONS, ["Köln", "", "in"], '{\n"q1": "K\\u00f6ln",\n"q2": "",\n"q3": "in"\n}\n'),
    (XCOPA, COPA, [1, 0], '{"label": 1}\n{"label": 0}\n'),
    (TATOEBA, TRANSLATIONS, [0, 2, 1], "0\n2\n1\n"),
    (BUCC, TEXTS, ["en-8", None, None, None], "de-1\ten-8\n"),
    (
        MEWSLIX,
        TEXTS,
        [("en-8", "en-7"), (), (), ()],
        '{\n"de-1": [\n"en-8",\n"en-7"\n],\n"de-2": []\n}\n',
    ),
]


@pytest.mark.parametrize(
    ("task", "examples", "predictions", "text"), WRITTEN, ids=lambda v: getattr(v, "name", "")
)
def test_what_is_written_is_read_back(
    tmp_path: Path, task: Task, examples: Sequence[Example], predictions: list[Any], text: str
) -> None:
    form = format_of(task)
    assert form.write(examples, predictions) == text
    path = tmp_path / file_of(task, "de")
    path.write_text(text)
    assert form.read(path, task, examples) == Read(predictions)


def test_names_are_xtremes() -> None:
    assert [folder_of(t) for t in (XNLI, BUCC)] == ["xnli", "bucc2018"]
    names = [file_of(t, "de") for t in (XNLI, UDPOS, XQUAD, XCOPA, TATOEBA, BUCC, MEWSLIX)]
    assert [name.removeprefix("test-de.") for name in names] == [
        "tsv",
        "tsv",
        "json",
        "jsonl",
        "tsv",
        "tsv",
        "json",
    ]


def test_what_evaluate_py_cannot_read_has_no_format() -> None:
    with pytest.raises(UserError, match="no official form"):
        format_of(row("mlm", "mlm", "accuracy"))


def test_every_prediction_has_its_example() -> None:
    with pytest.raises(ValueError, match="shorter"):
        format_of(XNLI).write(PAIRS, ["neutral"])
    with pytest.raises(ValueError, match="twice"):
        format_of(XQUAD).write([QUESTIONS[0]] * 2, ["a", "b"])


@pytest.mark.parametrize(
    ("task", "examples", "text", "predictions"),
    [
        (XNLI, PAIRS, "neutral \r\nneutral\r\nneutral\r\n\r\n", ["neutral"] * 3),
        (UDPOS, SENTENCES, "\ufeffPROPN\nVERB\n\n\nX", [("PROPN", "VERB"), ("X",)]),
        (XCOPA, COPA, '{"idx": 7, "label": 1}\n{"idx": 8, "label": 0}', [1, 0]),
        (BUCC, TEXTS, "", [None] * 4),
    ],
    ids=["line ends of Windows and a blank line at the end", "a byte-order mark, two empty lines",
         "XCOPA's other fields", "no pair above the threshold"],
)  # fmt: skip
def test_what_does_no_harm_is_accepted(
    tmp_path: Path, task: Task, examples: Sequence[Example], text: str, predictions: list[Any]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(text.encode())
    assert format_of(task).read(path, task, examples).predictions == predictions


def test_what_was_not_answered_is_counted_and_wrong(tmp_path: Path) -> None:
    path = tmp_path / "test-de.json"
    path.write_text('{"q2": "Köln", "other": "x"}')
    read = format_of(XQUAD).read(path, XQUAD, QUESTIONS)
    assert read.predictions == [UNANSWERED, "Köln", UNANSWERED]
    assert read.notes == {
        "questions without a prediction, counted as wrong": 2,
        "predictions for questions that the gold data does not have": 1,
    }
    path.write_text('{"de-1": ["en-7", "Q42"]}')
    read = format_of(MEWSLIX).read(path, MEWSLIX, TEXTS)
    assert read.predictions == [("en-7", "Q42"), (), (), ()]
    assert set(read.notes.values()) == {1}
    path.write_text("de-1\ten-7\nde-1\ten-7\n")
    assert format_of(BUCC).read(path, BUCC, TEXTS) == Read(
        ["en-7", None, None, None], {"pairs given twice": 1}
    )


@pytest.mark.parametrize(
    ("task", "examples", "text", "says"),
    [
        (XNLI, PAIRS, "neutral\nneutral\n", "2 labels\n  expected: 3"),
        (XNLI, PAIRS, "neutral\n0\nneutral\n", ":2: unknown label '0'"),
        (XNLI, PAIRS, "neutral\ta\tb\n" * 3, ":1: unknown label"),
        (XNLI, PAIRS, "neutral\n\nneutral\n", ":2: unknown label ''"),
        (XNLI, PAIRS, " \n", "empty file"),
        (XNLI, PAIRS, b"neutral\n\xff\n", "not UTF-8"),
        (UDPOS, SENTENCES, "PROPN\nVERB\n\n", "1 sentences\n  expected: 2"),
        (UDPOS, SENTENCES, "PROPN\nVERB\n\nADV\nADV\n", ":4: sentence '1' begins here and has 2 tags"),
        (UDPOS, SENTENCES, "PROPN\nVERB\nADV\n", ":1: sentence '0' begins here and has 3 tags"),
        (UDPOS, SENTENCES, "Anna\tPROPN\n", ":1: unknown tag"),
        (XQUAD, QUESTIONS, '{"q1": "a",\n"q2": }', ":2: broken JSON"),
        (XQUAD, QUESTIONS, '["a"]', "a JSON list"),
        (XQUAD, QUESTIONS, '{"q1": [{"text": "a"}]}', "the answer to 'q1' is of type list"),
        (XQUAD, QUESTIONS, '{"q1": "a", "q1": "b"}', "'q1' is there 2 times"),
        (XQUAD, QUESTIONS, '{"x": "a"}', "none of its 1 ids"),
        (XCOPA, COPA, '{"label": 1}\n{"label": 2}\n', ":2: got"),
        (XCOPA, COPA, '{"label": true}\n{"label": 0}\n', ":1: got"),
        (XCOPA, COPA, "1\n0\n", ":1: got 1"),
        (XCOPA, COPA, '{"label": 1}\n', "1 choices"),
        (TATOEBA, TRANSLATIONS, "1\n2\n3\n", ":3: got '3'"),
        (TATOEBA, TRANSLATIONS, "[0]\n[1]\n[2]\n", ":1: got '[0]'"),
        (TATOEBA, TRANSLATIONS, "0\n1\n", "2 indices"),
        (BUCC, TEXTS, "en-7\tde-1\n", ":1: no sentence 'en-7'"),
        (BUCC, TEXTS, "de-1\ten-7\nde-2 en-7\n", ":2: no sentence"),
        (BUCC, TEXTS, "de-1\ten-7\nde-1\ten-8\n", ":2: de-1 is paired with en-7 already"),
        (MEWSLIX, TEXTS, '{"de-1": "en-7"}', "no list of ids"),
        (MEWSLIX, TEXTS, '{"de-1": [7]}', "no list of ids"),
    ],
)  # fmt: skip
def test_malformed_files_are_refused_with_their_place(
    tmp_path: Path, task: Task, examples: Sequence[Example], text: str | bytes, says: str
) -> None:
    path = tmp_path / file_of(task, "de")
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError) as caught:
        format_of(task).read(path, task, examples)
    assert says in str(caught.value)
    assert path.name in str(caught.value)
    assert "  do: " in str(caught.value)


def test_a_json_file_is_ascii_whatever_the_answers_are(tmp_path: Path) -> None:
    answers = ["日本", 'a "b"\n\u2028c', "\ud83d"]  # the last one is half a character
    text = format_of(XQUAD).write(QUESTIONS, answers)
    assert text.isascii()
    assert list(json.loads(text).values()) == answers
