"""A predictor on many texts, some at a time: what ``xadapt apply`` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite
from typing import Any

from xadapt.common.errors import UserError
from xadapt.kinds.answers import Answered, Choice, Found, Labelled, TaggedWords
from xadapt.study.predictor import Predictor
from xadapt.train.evaluate import Tick

TOGETHER = 2048  # examples that are encoded and batched by length together


def names_of(predictor: Predictor) -> list[str]:
    """The columns of its kind in the order of a line, which options take the rest of.

    Raises:
        UserError: the kind answers nothing.
    """
    names = [column.name for column in predictor.reads]
    return names[: names.index("options") + 1] if "options" in names else names


def applied(
    predictor: Predictor, rows: Iterable[Mapping[str, Any]], tick: Tick = lambda n: None
) -> Iterator[Answered]:
    """An answer a row, in the rows' order; ``TOGETHER`` rows are in memory at a time.

    Raises:
        UserError: as the predictor; rows with other names than the first.
    """
    rest = iter(rows)
    first: Sequence[str] | None = None
    done = 0
    while chunk := list(islice(rest, TOGETHER)):
        first = first if first is not None else list(chunk[0])
        for place, row in enumerate(chunk, done + 1):
            if set(row) != set(first):
                raise UserError(
                    f"example {place} has {', '.join(row) or 'nothing'}",
                    expected=f"{', '.join(first)}, as the first",
                    do="give every example the same names",
                )
        yield from predictor(**{name: [row[name] for row in chunk] for name in first})
        done += len(chunk)
        tick(len(chunk))


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
