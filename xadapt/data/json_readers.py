"""Readers of question answering: SQuAD's JSON, and multiple choice in JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xadapt.data.examples import Answer, Chosen, Extracted
from xadapt.data.reading import Reading, all_alike, answers_of, lines_of, missing_label, text_of
from xadapt.errors import UserError
from xadapt.tasks.task import Task


def squad(paths: Sequence[Path], task: Task, split: str, number: bool = False) -> Reading:
    """SQuAD's format, v1.1 and v2.0, and XTREME's test files, whose answers are blanked.

    ``number`` puts the question's number before its id, for files whose ids repeat.

    Raises:
        UserError: broken JSON, a missing field, an id twice, an answer that is not where it says.
    """
    path = paths[0]
    content = _json(text_of(path), path, 1)
    questions = list(_questions(content, path))
    if not questions:
        raise UserError("no questions", expected="data > paragraphs > qas", do="download it again", path=path)
    labelled = split != "test" or any(
        qa.get("is_impossible") or _answers(qa, where, path) for qa, _, where in questions
    )
    examples: list[Extracted] = []
    seen: set[str] = set()
    repaired = 0
    for i, (qa, context, where) in enumerate(questions):
        identifier = str(_field(qa, "id", (str, int), where, path))
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
            answers, more = answers_of(
                context,
                given,
                unanswerable=task.unanswerable,
                where=f"question {identifier!r}",
                path=path,
            )
            repaired += more
        question = _field(qa, "question", str, where, path)
        examples.append(Extracted(identifier, question, context, answers))
    return Reading(examples, labelled, {"repaired": repaired} if repaired else {})


def hellaswag(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """HellaSwag's JSON lines: ``ctx``, ``endings``, ``label``. Raises ``UserError``."""
    examples: list[Chosen] = []
    lines: list[int] = []
    for line, row in _json_lines(paths[0]):
        options = tuple(_field(row, "endings", list, "the row", paths[0], line=line))
        label = _index(row.get("label"), range(len(options)), split, paths[0], line)
        context = _field(row, "ctx", str, "the row", paths[0], line=line)
        examples.append(Chosen(str(len(examples)), context, "", options, label))
        lines.append(line)
    return _chosen(examples, lines, split, paths[0])


def commonsense(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """CommonsenseQA's JSON lines, with the question as a text (the hub's form) or as an object
    with ``stem`` and ``choices`` (the official form). Raises ``UserError``."""
    path = paths[0]
    examples: list[Chosen] = []
    lines: list[int] = []
    for line, row in _json_lines(path):
        question = _field(row, "question", (str, dict), "the row", path, line=line)
        if isinstance(question, dict):
            choices = _field(question, "choices", list, "question", path, line=line)
            keys = [_field(choice, "label", str, "a choice", path, line=line) for choice in choices]
            options = tuple(_field(choice, "text", str, "a choice", path, line=line) for choice in choices)
            question = _field(question, "stem", str, "question", path, line=line)
        else:
            choices = _field(row, "choices", dict, "the row", path, line=line)
            keys = _field(choices, "label", list, "choices", path, line=line)
            options = tuple(_field(choices, "text", list, "choices", path, line=line))
        label = _index(row.get("answerKey"), keys, split, path, line)
        identifier = _field(row, "id", str, "the row", path, line=line)
        examples.append(Chosen(identifier, "", question, options, label))
        lines.append(line)
    return _chosen(examples, lines, split, path)


def cosmos(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """Cosmos QA's CSV: id, context, question, answer0 to answer3, label. Raises ``UserError``."""
    path = paths[0]
    wanted = ["id", "context", "question", "answer0", "answer1", "answer2", "answer3"]
    reader = csv.DictReader(io.StringIO(text_of(path), newline=""), strict=True)
    header = list(reader.fieldnames or ())
    if lost := [name for name in wanted if name not in header]:
        raise UserError(
            f"no column {', '.join(lost)}; the header has {', '.join(header)}",
            expected=", ".join([*wanted, "label"]),
            do="is this the official file? Its first line is the header",
            path=path,
            line=1,
        )
    examples: list[Chosen] = []
    lines: list[int] = []
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
            examples.append(Chosen(row["id"], row["context"], row["question"], options, label))
            lines.append(reader.line_num)
    except csv.Error as error:
        line = reader.line_num
        raise UserError(f"broken CSV: {error}", do="download it again", path=path, line=line) from None
    return _chosen(examples, lines, split, path)


def _chosen(examples: list[Chosen], lines: Sequence[int], split: str, path: Path) -> Reading:
    """Checks what holds for all multiple choice: ids once, two options or more, true labels."""
    if not examples:
        raise UserError("a header and no rows", expected="rows", do="download it again", path=path)
    seen: set[str] = set()
    for example, line in zip(examples, lines, strict=True):
        if example.id in seen:
            raise UserError(
                f"id {example.id!r} a second time",
                expected="every id once",
                do="download it again",
                path=path,
                line=line,
            )
        seen.add(example.id)
        if len(example.options) < 2 or not all(isinstance(option, str) for option in example.options):
            raise UserError(
                f"options {list(example.options)!r}",
                expected="two texts or more",
                do="download it again",
                path=path,
                line=line,
            )
    labels = [example.label for example in examples]
    labelled = None not in labels and not all_alike(labels, split)
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
    for i, article in enumerate(_field(content, "data", list, "the file", path)):
        for j, paragraph in enumerate(_field(article, "paragraphs", list, f"data[{i}]", path)):
            where = f"data[{i}].paragraphs[{j}]"
            context = _field(paragraph, "context", str, where, path)
            for k, qa in enumerate(_field(paragraph, "qas", list, where, path)):
                if not isinstance(qa, dict):
                    raise _wrong(qa, "an object", f"{where}.qas[{k}]", path)
                yield qa, context, f"{where}.qas[{k}]"


def _answers(qa: Mapping[str, Any], where: str, path: Path) -> list[tuple[str, int]]:
    """The answers as they are given; a lone blank text is XTREME's placeholder, not an answer."""
    given = qa.get("answers") or []
    where += ".answers"
    result = [
        (_field(answer, "text", str, where, path), _field(answer, "answer_start", int, where, path))
        for answer in (given if isinstance(given, list) else [given])
    ]
    return result if any(text for text, _ in result) else []


def _field(
    holder: Any, key: str, kind: type | tuple[type, ...], where: str, path: Path, *, line: int | None = None
) -> Any:
    if not isinstance(holder, dict):
        raise _wrong(holder, "an object", where, path, line)
    if key not in holder:
        raise UserError(
            f"{where} has no {key!r}, only {', '.join(map(repr, holder)) or 'nothing'}",
            expected=f"a field {key!r}",
            do="is this the file of another task?",
            path=path,
            line=line,
        )
    if not isinstance(holder[key], kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(one.__name__ for one in kinds)
        raise _wrong(holder[key], names, f"{where}.{key}", path, line)
    return holder[key]


def _wrong(value: object, expected: str, where: str, path: Path, line: int | None = None) -> UserError:
    return UserError(
        f"{where} is of type {type(value).__name__}",
        expected=expected,
        do="is this the file of another task?",
        path=path,
        line=line,
    )


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines_of(path), 1):
        if line.strip():
            yield number, _json(line, path, number)


def _json(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"broken JSON: {error.msg} at column {error.colno}",
            do="download the file again; an interrupted download breaks off in the middle",
            path=path,
            line=line + error.lineno - 1,
        ) from None
