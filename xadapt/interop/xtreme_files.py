"""One file of predictions as XTREME's evaluate.py reads it: how it is written, and read strictly.

    classify   tsv    a label a line
    tag        tsv    a tag a line, an empty line after each sentence
    extract    json   {question id: answer}
    choose     jsonl  {"label": the option's index from 0} a line
    retrieve   tsv    Tatoeba: a line for each English sentence, the index of its translation, from 0
               tsv    BUCC: a line for each pair, two ids between a tab
               json   Mewsli-X, LAReQA: {query id: [candidate ids, the best first]}

evaluate.py opens files in the machine's own encoding, so JSON is written in ASCII.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xadapt.common.errors import UserError
from xadapt.data.json_fields import parsed
from xadapt.data.text import bytes_of, lines_of, text_of
from xadapt.tasks.examples import Chosen, Example, Sought, Tagged
from xadapt.tasks.task import Task

FOLDERS = {"bucc": "bucc2018"}  # where XTREME's name of a task is not ours
# evaluate.py gives an unanswered question 0, whatever the right answer; no answer has this character.
UNANSWERED = "\U0010ffff"


@dataclass(frozen=True)
class Read:
    """A file's predictions, as the kind's ``score`` takes them; ``notes`` counts what was odd but does no
    harm, and what counts as wrong because it is not there."""

    predictions: list[Any]
    notes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """How predictions of one kind stand in a file.

    Attributes:
        extension: ``tsv``, ``json`` or ``jsonl``.
        write: examples and the kind's predictions -> the file's text.
        read: path, task and the gold examples -> the predictions. Raises ``UserError`` with file and line.
    """

    extension: str
    write: Callable[[Sequence[Example], Sequence[Any]], str]
    read: Callable[[Path, Task, Sequence[Example]], Read]


def format_of(task: Task) -> Format:
    """The task's format. Raises ``UserError`` for a task that evaluate.py has no form for."""
    name = task.metrics[0] if task.kind == "retrieve" else task.kind
    if name not in _FORMATS:
        raise UserError(
            f"{task.name} ({task.kind}, {name}) has no official form of predictions",
            expected="a target of XTREME or XTREME-R",
            do="'xadapt tasks' lists the targets",
        )
    return _FORMATS[name]


def folder_of(task: Task) -> str:
    """What XTREME calls the task's folder."""
    return FOLDERS.get(task.name, task.name)


def file_of(task: Task, language: str) -> str:
    """The file's name: ``test-de.tsv``, for a development set too, since evaluate.py reads no other."""
    return f"test-{language}.{format_of(task).extension}"


def asked(examples: Sequence[Example]) -> int:
    """How many of the examples a prediction is made for: all but the candidates of a retrieval task."""
    return len(examples) - len(_ids(examples, "candidate"))


# -- labels, tags, choices, indices: one after the other ------------------------------------------------


def _write_labels(examples: Sequence[Example], predictions: Sequence[Any]) -> str:
    return "".join(f"{label}\n" for _, label in zip(examples, predictions, strict=True))


def _read_labels(path: Path, task: Task, examples: Sequence[Example]) -> Read:
    allowed = frozenset(task.labels)
    labels = [line.strip() for line in _lines(path)]
    for number, label in enumerate(labels, 1):
        if label not in allowed:
            raise UserError(
                f"unknown label {label!r}",
                expected=f"one of {', '.join(task.labels)}, and nothing else in the line",
                do="write the labels of the task's own files, not their numbers",
                path=path,
                line=number,
            )
    _check_count(len(labels), len(examples), "labels", path)
    return Read(labels)


def _write_tags(examples: Sequence[Example], predictions: Sequence[Any]) -> str:
    return "".join("\n".join(tags) + "\n\n" for _, tags in zip(examples, predictions, strict=True))


def _read_tags(path: Path, task: Task, examples: Sequence[Example]) -> Read:
    allowed = frozenset(task.labels)
    sentences: list[list[str]] = []
    begins: list[int] = []
    inside = False
    for number, line in enumerate(_lines(path), 1):
        tag = line.strip()
        if not tag:
            inside = False
            continue
        if tag not in allowed:
            raise UserError(
                f"unknown tag {tag!r}",
                expected=f"one of {', '.join(task.labels)}, or an empty line after a sentence",
                do="write the tag alone, without its word",
                path=path,
                line=number,
            )
        if not inside:
            sentences.append([])
            begins.append(number)
            inside = True
        sentences[-1].append(tag)
    for tags, begin, row in zip(sentences, begins, examples, strict=False):
        words = len(row.words) if isinstance(row, Tagged) else 0
        if len(tags) != words:
            raise UserError(
                f"sentence {row.id!r} begins here and has {len(tags)} tags",
                expected=f"{words}, one for each of its words",
                do="give words that were cut off a tag too, and put an empty line after each sentence; "
                "or is it another split?",
                path=path,
                line=begin,
            )
    _check_count(len(sentences), len(examples), "sentences", path)
    return Read([tuple(tags) for tags in sentences])


def _write_choices(examples: Sequence[Example], predictions: Sequence[Any]) -> str:
    return "".join(f'{{"label": {int(k)}}}\n' for _, k in zip(examples, predictions, strict=True))


def _read_choices(path: Path, task: Task, examples: Sequence[Example]) -> Read:
    chosen: list[int] = []
    for number, line in enumerate(_lines(path), 1):
        row = _json(line, path, number)
        label = row.get("label") if isinstance(row, dict) else None
        example = examples[len(chosen)] if len(chosen) < len(examples) else None
        options = len(example.options) if isinstance(example, Chosen) else None
        if type(label) is not int or label < 0 or (options is not None and label >= options):
            raise UserError(
                f"got {line.strip()[:60]}",
                expected='{"label": 0}, the index of the chosen option, counted from 0',
                do="write one such object a line, in the order of the gold file",
                path=path,
                line=number,
            )
        chosen.append(label)
    _check_count(len(chosen), len(examples), "choices", path)
    return Read(chosen)


def _read_indices(path: Path, task: Task, examples: Sequence[Example]) -> Read:
    found: list[int] = []
    for number, line in enumerate(_lines(path), 1):
        word = line.strip()
        if not re.fullmatch("[0-9]{1,9}", word) or int(word) >= len(examples):
            raise UserError(
                f"got {word[:60]!r}",
                expected=f"an index from 0 to {len(examples) - 1}: which line the translation is",
                do="count lines from 0, and search among the sentences of the same file",
                path=path,
                line=number,
            )
        found.append(int(word))
    _check_count(len(found), len(examples), "indices", path)
    return Read(found)


# -- answers, pairs, rankings: by id ------------------------------------------------------------------


def _write_answers(examples: Sequence[Example], predictions: Sequence[Any]) -> str:
    rows = zip(examples, predictions, strict=True)
    return _json_text({example.id: answer for example, answer in rows}, len(examples))


def _read_answers(path: Path, task: Task, examples: Sequence[Example]) -> Read:
    answers = _object(path)
    for identifier, answer in answers.items():
        if not isinstance(answer, str):
            raise UserError(
                f"the answer to {identifier!r} is of type {type(answer).__name__}",
                expected="a text",
                do="write the best answer's text alone",
                path=path,
            )
    notes = _compare(answers, [e.id for e in examples], "questions", path)
    return Read([answers.get(e.id, UNANSWERED) for e in examples], notes)


def _write_pairs(examples: Sequence[Example], predictions: Sequence[Any]) -> str:
    rows = zip(examples, predictions, strict=True)
    return "".join(f"{row.id}\t{candidate}\n" for row, candidate in rows if candidate is not None)


def _read_pairs(path: Path, task: Task, examples: Sequence[Example]) -> Read:
    queries, pool = dict.fromkeys(_ids(examples, "query")), dict.fromkeys(_ids(examples, "candidate"))
    # No pair above the threshold is no fault: the file is empty then.
    lines = _lines(path) if bytes_of(path).strip() else []
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        query, _, candidate = line.strip().partition("\t")
        if query not in queries or candidate not in pool:
            unknown = candidate if query in queries else query
            raise UserError(
                f"no sentence {unknown!r}" if unknown else f"got {line.strip()[:60]!r}",
                expected=f"two ids, a tab between: {next(iter(queries), '')} and {next(iter(pool), '')}, say",
                do="put the English id second; or is it the file of another language or split?",
                path=path,
                line=number,
            )
        if found.setdefault(query, candidate) != candidate:
            raise UserError(
                f"{query} is paired with {found[query]} already, and here with {candidate}",
                expected="one translation of a sentence at most",
                do="keep the pair of the higher margin",
                path=path,
                line=number,
            )
    again = len(lines) - len(found)
    return Read([found.get(e.id) for e in examples], {"pairs given twice": again} if again else {})


def _write_ranked(examples: Sequence[Example], predictions: Sequence[Any]) -> str:
    rows = zip(examples, predictions, strict=True)
    ranked = {row.id: list(ids) for row, ids in rows if isinstance(row, Sought) and row.side == "query"}
    return _json_text(ranked, len(_ids(examples, "query")))


def _read_ranked(path: Path, task: Task, examples: Sequence[Example]) -> Read:
    ranked = _object(path)
    for identifier, ids in ranked.items():
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise UserError(
                f"what {identifier!r} finds is no list of ids",
                expected="[candidate ids], the best first",
                do="write the ids of the 20 best candidates",
                path=path,
            )
    notes = _compare(ranked, _ids(examples, "query"), "queries", path)
    pool = set(_ids(examples, "candidate"))
    unknown = sum(one not in pool for ids in ranked.values() for one in ids)
    if unknown:
        notes["candidates that the gold data does not have"] = unknown
    queries = set(_ids(examples, "query"))
    return Read([tuple(ranked.get(e.id, ())) if e.id in queries else () for e in examples], notes)


_FORMATS = {
    "classify": Format("tsv", _write_labels, _read_labels),
    "tag": Format("tsv", _write_tags, _read_tags),
    "choose": Format("jsonl", _write_choices, _read_choices),
    "extract": Format("json", _write_answers, _read_answers),
    # retrieve, by the task's main metric
    "accuracy": Format("tsv", _write_labels, _read_indices),
    "f1": Format("tsv", _write_pairs, _read_pairs),
    "map@20": Format("json", _write_ranked, _read_ranked),
}


# -- what they share ----------------------------------------------------------------------------------


def _ids(examples: Sequence[Example], side: str) -> list[str]:
    return [e.id for e in examples if isinstance(e, Sought) and e.side == side]


def _lines(path: Path) -> list[str]:
    """The lines without empty ones at the end. Raises ``UserError`` for an empty file, or no UTF-8."""
    if not bytes_of(path).strip():
        raise UserError("empty file", expected="predictions", do="predict again, or remove it", path=path)
    return lines_of(path)


def _check_count(got: int, expected: int, what: str, path: Path) -> None:
    if got != expected:
        raise UserError(
            f"{got:,} {what}",
            expected=f"{expected:,}, as many as the gold file has",
            do="predict the whole split, in its order; or name the split that it is with --split",
            path=path,
        )


def _object(path: Path) -> dict[str, Any]:
    """The one JSON object of a file. Raises ``UserError`` for anything else, or a key that is there twice."""
    _lines(path)
    outer: list[tuple[str, Any]] = []

    def keep(items: list[tuple[str, Any]]) -> dict[str, Any]:
        outer[:] = items  # the outermost object is read last
        return dict(items)

    found = _json(text_of(path), path, 1, keep)
    if not isinstance(found, dict):
        raise UserError(
            f"a JSON {type(found).__name__}",
            expected="one object, {id: prediction}",
            do="write one entry for each question",
            path=path,
        )
    if len(found) < len(outer):
        key, times = Counter(key for key, _ in outer).most_common(1)[0]
        raise UserError(
            f"{key!r} is there {times} times",
            expected="every id once",
            do="is the file two files in one? Predict again",
            path=path,
        )
    return found


def _json(
    text: str, path: Path, line: int, keep: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    return parsed(text, path, line, do="predict again; the file is not whole", pairs=keep)


def _json_text(rows: dict[str, Any], count: int) -> str:
    if len(rows) != count:
        raise ValueError(f"{count - len(rows)} of {count} ids are there twice")
    return json.dumps(rows, indent=0) + "\n"


def _compare(found: dict[str, Any], ids: Sequence[str], what: str, path: Path) -> dict[str, int]:
    """Counts what is not answered and what was not asked. Raises ``UserError`` where nothing fits."""
    wanted = set(ids)
    if not wanted & found.keys():
        raise UserError(
            f"none of its {len(found):,} ids is one of the gold file's {len(wanted):,} {what}",
            expected=f"ids such as {ids[0]!r}" if ids else None,
            do="is it the file of another task, language or split?",
            path=path,
        )
    missing, extra = len(wanted - found.keys()), len(found.keys() - wanted)
    notes = {f"{what} without a prediction, counted as wrong": missing} if missing else {}
    return notes | ({f"predictions for {what} that the gold data does not have": extra} if extra else {})
