"""A predictor on many texts, some at a time: what ``xadapt apply`` does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite
from typing import Any

from xadapt.common.errors import UserError, nearest
from xadapt.kinds.answers import Answered, Choice, Found, Labelled, TaggedWords
from xadapt.study.predictor import Predictor
from xadapt.train.evaluate import Tick

TOGETHER = 2048  # examples that are encoded and batched by length together
# What ``as_object`` writes.
ANSWER_NAMES = frozenset(
    {
        "label",
        "probabilities",
        "answer",
        "start",
        "end",
        "score",
        "choice",
        "option",
        "words",
        "tags",
        "entities",
    }
)


def names_of(predictor: Predictor) -> list[str]:
    """The columns of its kind in the order of a line, which options take the rest of.

    Raises:
        UserError: the kind answers nothing.
    """
    names = [column.name for column in predictor.reads]
    return names[: names.index("options") + 1] if "options" in names else names


def words_of(predictor: Predictor) -> frozenset[str]:
    """Everything that a column of its kind is called."""
    return frozenset(word for column in predictor.reads for word in (column.name, *column.others))


def applied(
    predictor: Predictor, rows: Iterable[Mapping[str, Any]], tick: Tick = lambda n: None
) -> Iterator[tuple[Answered, dict[str, Any]]]:
    """An answer a row, in the rows' order, and what else the row has, such as an ``id``; ``TOGETHER`` rows
    are in memory at a time.

    Raises:
        UserError: as the predictor; rows with other columns than the first; what else there is cannot stand
            beside an answer.
    """
    rest = iter(rows)
    words = words_of(predictor)
    first: Sequence[str] | None = None
    done = 0
    while chunk := list(islice(rest, TOGETHER)):
        first = first if first is not None else _read(predictor, chunk[0])
        others = []
        for place, row in enumerate(chunk, done + 1):
            if {name for name in row if name in words or name in first} != set(first):
                raise UserError(
                    f"example {place} has {', '.join(row) or 'nothing'}",
                    expected=f"{', '.join(first)}, as the first",
                    do="give every example the same names",
                )
            other = {name: value for name, value in row.items() if name not in first}
            _check_other(other, place)
            others.append(other)
        answers = predictor(**{name: [row[name] for row in chunk] for name in first})
        yield from zip(answers, others, strict=True)
        done += len(chunk)
        tick(len(chunk))


def _read(predictor: Predictor, row: Mapping[str, Any]) -> list[str]:
    """Of a row's names those that the predictor is given: columns, and what may be a column misspelt, which
    it refuses."""
    words = words_of(predictor)
    found = [name for name in row if name in words]
    lacking = [
        word
        for column in predictor.reads
        if not {column.name, *column.others} & set(found)
        for word in (column.name, *column.others)
    ]
    return [name for name in row if name in words or nearest(name, lacking)]


def _check_other(other: Mapping[str, Any], place: int) -> None:
    """Refuse what an answer calls its own, and numbers that JSON has no word for."""
    if taken := ANSWER_NAMES & set(other):
        raise UserError(
            f"example {place} has {', '.join(sorted(taken))}, as an answer has",
            expected="texts, and other names, which are passed on with the answer",
            do=f"rename it in the texts: gold_{min(taken)}, say",
        )
    try:
        json.dumps(other, allow_nan=False)
    except ValueError:
        raise UserError(
            f"example {place} has NaN or Infinity in {', '.join(other)}",
            expected="values that JSON has",
            do="write null, or leave it out",
        ) from None


def as_object(answer: Answered) -> dict[str, Any]:
    """An answer in plain values, for a line of JSON."""
    match answer:
        case Labelled():
            chances = {label: round(chance, 6) for label, chance in answer.probabilities.items()}
            return {"label": answer.label, "probabilities": chances}
        case Found():
            # A context without words has no span to score, and JSON no word for infinity.
            score = round(answer.score, 4) if isfinite(answer.score) else None
            return {"answer": answer.answer, "start": answer.start, "end": answer.end, "score": score}
        case Choice():
            several = [round(chance, 6) for chance in answer.probabilities]
            return {"choice": answer.choice, "option": answer.option, "probabilities": several}
        case TaggedWords():
            found: dict[str, Any] = {"words": list(answer.words), "tags": list(answer.tags)}
            if answer.entities:
                found["entities"] = [
                    {"text": e.text, "type": e.type, "start": e.start, "end": e.end} for e in answer.entities
                ]
            return found


def as_line(answer: Answered) -> str:
    """The prediction alone, on one line: a label, an answer's text, an option's index, tags with spaces."""
    match answer:
        case Labelled():
            return answer.label
        case Found():
            return " ".join(answer.answer.split())
        case Choice():
            return str(answer.choice)
        case TaggedWords():
            return " ".join(answer.tags)
