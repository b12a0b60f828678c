"""Readers of JSON and CSV: SQuAD's questions, inference in JSON lines, multiple choice in both."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xadapt.common.errors import UserError
from xadapt.data.json_fields import field, json_lines, parsed, wrong
from xadapt.data.reading import (
    Reading,
    answers_of,
    check_ids,
    missing_label,
    placed,
    placeholders,
    unknown_label,
)
from xadapt.data.text import text_of
from xadapt.tasks.examples import Answer, Chosen, Classified, Extracted
from xadapt.tasks.task import Task


def squad(paths: Sequence[Path], task: Task, split: str, number: bool = False, drop: bool = False) -> Reading:
    """SQuAD's format, v1.1 and v2.0, and XTREME's test files, whose answers are blanked.

    ``number`` puts the question's number before its id, for files whose ids repeat. ``drop`` leaves
    questions out, counted as ``dropped``, whose answers are not where they say: machine translation.

    Raises:
        UserError: broken JSON, a missing field, an id twice, an answer that is not where it says.
    """
    path = paths[0]
    content = parsed(text_of(path), path, 1)
    questions = list(_questions(content, path))
    if not questions:
        raise UserError("no questions", expected="data > paragraphs > qas", do="download it again", path=path)
    labelled = split != "test" or any(
        qa.get("is_impossible") or _answers(qa, where, path) for qa, _, where in questions
    )
    examples: list[Extracted] = []
    seen: set[str] = set()
    repaired = dropped = 0
    for i, (qa, context, where) in enumerate(questions):
        identifier = str(field(qa, "id", (str, int), where, path))
        if number:
            identifier = f"{i}-{identifier}"
        if identifier in seen:
            raise UserError(
                f"two questions have the id {identifier!r}",
                expected="every id once",
                do="is the file two files in one? Download it again",
                path=path,
            )
        seen.add(identifier)
        answers: tuple[Answer, ...] | None = None
        if labelled:
            given = [] if qa.get("is_impossible") else _answers(qa, where, path)
            if drop and not all(placed(context, *answer) for answer in given):
                dropped += 1
                continue
            answers, more = answers_of(
                context,
                given,
                unanswerable=task.unanswerable,
                where=f"question {identifier!r}",
                path=path,
            )
            repaired += more
        question = field(qa, "question", str, where, path)
        examples.append(Extracted(identifier, question, context, answers))
    if not examples:
        raise UserError(
            f"not one of {len(questions):,} questions has its answers where it says",
            expected="context[answer_start:][:len(text)] == text, in characters",
            do="is the translation of the contexts the one that the offsets were counted in?",
            path=path,
        )
    counts = {"repaired": repaired, "dropped": dropped}
    return Reading(examples, labelled, {name: count for name, count in counts.items() if count})


def nli_lines(
    paths: Sequence[Path],
    task: Task,
    split: str,
    columns: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    undecided: str | None = None,
) -> Reading:
    """Pairs of texts in JSON lines (ANLI, SNLI); ``columns``: ``text``, ``pair``, ``label`` -> its field.

    ``labels``: its label -> ours, where they differ. Rows labelled ``undecided``, on which the annotators
    did not agree, are dropped and counted.

    Raises:
        UserError: broken JSON, a missing field, an unknown label.
    """
    path = paths[0]
    examples: list[Classified] = []
    dropped = 0
    for line, row in json_lines(path):
        text, pair, label = (
            field(row, columns[ours], str, "the row", path, line=line) for ours in ("text", "pair", "label")
        )
        if label == undecided:
            dropped += 1
            continue
        label = (labels or {}).get(label, label)
        if label not in task.labels:
            raise unknown_label(path, line, label, labels or task.labels)
        examples.append(Classified(str(len(examples)), text, pair, label))
    if not examples:
        raise UserError("no row has a label", expected="labels", do="download it again", path=path)
    return Reading(examples, True, {"dropped": dropped} if dropped else {})


def hellaswag(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """HellaSwag's JSON lines: ``ctx``, ``endings``, ``label``. Raises ``UserError``."""
    rows: list[tuple[int, Chosen]] = []
    for line, row in json_lines(paths[0]):
        options = tuple(field(row, "endings", list, "the row", paths[0], line=line))
        label = _index(row.get("label"), range(len(options)), split, paths[0], line)
        context = field(row, "ctx", str, "the row", paths[0], line=line)
        rows.append((line, Chosen(str(len(rows)), context, "", options, label)))
    return _chosen(rows, split, paths[0])


def commonsense(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """CommonsenseQA's JSON lines, with the question as a text (the hub's form) or as an object
    with ``stem`` and ``choices`` (the official form). Raises ``UserError``."""
    path = paths[0]
    rows: list[tuple[int, Chosen]] = []
    for line, row in json_lines(path):
        question = field(row, "question", (str, dict), "the row", path, line=line)
        if isinstance(question, dict):
            choices = field(question, "choices", list, "question", path, line=line)
            keys = [field(choice, "label", str, "a choice", path, line=line) for choice in choices]
            options = tuple(field(choice, "text", str, "a choice", path, line=line) for choice in choices)
            question = field(question, "stem", str, "question", path, line=line)
        else:
            choices = field(row, "choices", dict, "the row", path, line=line)
            keys = field(choices, "label", list, "choices", path, line=line)
            options = tuple(field(choices, "text", list, "choices", path, line=line))
        label = _index(row.get("answerKey"), keys, split, path, line)
        identifier = field(row, "id", str, "the row", path, line=line)
        rows.append((line, Chosen(identifier, "", question, options, label)))
    return _chosen(rows, split, path)


def social(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """Social IQa's JSON lines: ``context``, ``question``, ``answerA`` to ``answerC``, and ``correct``,
    the letter of the right one. Raises ``UserError``."""
    path, keys = paths[0], ("A", "B", "C")
    rows: list[tuple[int, Chosen]] = []
    for line, row in json_lines(path):
        context, question, *options = (
            field(row, name, str, "the row", path, line=line)
            for name in ("context", "question", *(f"answer{key}" for key in keys))
        )
        label = _index(row.get("correct"), keys, split, path, line)
        rows.append((line, Chosen(str(len(rows)), context, question, tuple(options), label)))
    return _chosen(rows, split, path)


def copa(paths: Sequence[Path], task: Task, split: str, wording: Mapping[str, str]) -> Reading:
    """COPA's and XCOPA's JSON lines: ``premise``, ``choice1``, ``choice2``, ``question``, ``label``.

    ``wording``: ``cause`` and ``effect`` -> the question that the model reads.

    Raises:
        UserError: broken JSON, a missing field, another question, an id twice.
    """
    path = paths[0]
    rows: list[tuple[int, Chosen]] = []
    for line, row in json_lines(path):
        premise, first, second, asked = (
            field(row, name, str, "the row", path, line=line)
            for name in ("premise", "choice1", "choice2", "question")
        )
        if asked not in wording:
            raise UserError(
                f"question {asked!r}",
                expected=f"one of {', '.join(wording)}",
                do="is this the file of another task?",
                path=path,
                line=line,
            )
        identifier = str(field(row, "idx", (int, str), "the row", path, line=line))
        label = _index(row.get("label"), (0, 1), split, path, line)
        rows.append((line, Chosen(identifier, premise, wording[asked], (first, second), label)))
    return _chosen(rows, split, path)


def cosmos(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """Cosmos QA's CSV: id, context, question, answer0 to answer3, label. Raises ``UserError``."""
    path = paths[0]
    needed = ["id", "context", "question", "answer0", "answer1", "answer2", "answer3"]
    reader = csv.DictReader(io.StringIO(text_of(path), newline=""), strict=True)
    header = list(reader.fieldnames or ())
    if lost := [name for name in needed if name not in header]:
        raise UserError(
            f"no column {', '.join(lost)}; the header has {', '.join(header)}",
            expected=", ".join([*needed, "label"]),
            do="is this the official file? Its first line is the header",
            path=path,
            line=1,
        )
    rows: list[tuple[int, Chosen]] = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise UserError(
                    f"{sum(value is not None for value in row.values()) + len(row.get(None, ()))} columns",
                    expected=f"{len(header)}: {', '.join(header)}",
                    do="download it again",
                    path=path,
                    line=reader.line_num,
                )
            options = tuple(row[f"answer{i}"] for i in range(4))
            label = _index(row.get("label"), range(4), split, path, reader.line_num)
            rows.append((reader.line_num, Chosen(row["id"], row["context"], row["question"], options, label)))
    except csv.Error as error:
        line = reader.line_num
        raise UserError(f"broken CSV: {error}", do="download it again", path=path, line=line) from None
    return _chosen(rows, split, path)


def _chosen(rows: Sequence[tuple[int, Chosen]], split: str, path: Path) -> Reading:
    """Examples, each with its line, as a reading; checks what holds for all multiple choice: ids once, two
    options or more, true labels."""
    if not rows:
        raise UserError("a header and no rows", expected="rows", do="download it again", path=path)
    examples = [example for _, example in rows]
    check_ids(examples, path, [line for line, _ in rows])
    for line, example in rows:
        if len(example.options) < 2 or not all(isinstance(option, str) for option in example.options):
            raise UserError(
                f"options {list(example.options)!r}",
                expected="two texts or more",
                do="download it again",
                path=path,
                line=line,
            )
    labels = [example.label for example in examples]
    labelled = None not in labels and not placeholders(len(labels), set(labels), split)
    if not labelled:
        examples = [replace(example, label=None) for example in examples]
    return Reading(examples, labelled)


def _index(label: object, keys: Sequence[object], split: str, path: Path, line: int) -> int | None:
    """Where the label stands among the keys, which it may give as a text. None where a test file has none."""
    if label is None or label == "":
        if split != "test":
            raise missing_label(split, "no label", path, line)
        return None
    names = [str(key) for key in keys]
    if str(label) not in names:
        raise UserError(
            f"unknown label {label!r}",
            expected=f"one of {', '.join(names)}",
            do="download it again",
            path=path,
            line=line,
        )
    return names.index(str(label))


def _questions(content: Any, path: Path) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every question with its context and where it stands."""
    for i, article in enumerate(field(content, "data", list, "the file", path)):
        for j, paragraph in enumerate(field(article, "paragraphs", list, f"data[{i}]", path)):
            where = f"data[{i}].paragraphs[{j}]"
            context = field(paragraph, "context", str, where, path)
            for k, qa in enumerate(field(paragraph, "qas", list, where, path)):
                if not isinstance(qa, dict):
                    raise wrong(qa, "an object", f"{where}.qas[{k}]", path)
                yield qa, context, f"{where}.qas[{k}]"


def _answers(qa: Mapping[str, Any], where: str, path: Path) -> list[tuple[str, int]]:
    """The answers as they are given; a lone blank text is XTREME's placeholder, not an answer."""
    given = qa.get("answers") or []
    where += ".answers"
    result = [
        (field(answer, "text", str, where, path), field(answer, "answer_start", int, where, path))
        for answer in (given if isinstance(given, list) else [given])
    ]
    return result if any(text for text, _ in result) else []
