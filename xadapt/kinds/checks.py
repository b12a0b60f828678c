"""What the kinds refuse, in words a user can act on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from xadapt.common.errors import UserError, nearest
from xadapt.tasks.examples import Example
from xadapt.tasks.task import Task

T = TypeVar("T")


def check_task(task: Task, kind: str, metrics: tuple[str, ...], *, labels: bool = False) -> None:
    """Refuse a row that this kind cannot serve: its kind, its metrics, its label set."""
    if task.form != kind:
        raise UserError(f"task {task.name!r} is of kind {task.kind!r}", expected=kind)
    if unknown := [m for m in task.metrics if m not in metrics]:
        raise UserError(
            f"task {task.name!r} names metrics that {kind!r} does not have: {', '.join(unknown)}",
            expected=f"some of {', '.join(metrics)}",
        )
    if labels and len(set(task.labels)) != len(task.labels):
        raise UserError(f"task {task.name!r} lists a label twice", do="correct its row in the catalogue")
    if labels and not task.labels:
        raise UserError(f"task {task.name!r} has no labels", do="list them in its row, in head order")


def check_length(max_length: int, least: int) -> None:
    """Refuse a ``max_length`` that leaves no room for text beside the special tokens."""
    if max_length < least:
        raise UserError(
            f"max_length {max_length}",
            expected=f"at least {least} for this kind of task",
            do="change --max-length, or the max_length of the task's row",
        )


def readable(
    examples: Sequence[Example],
    of: type[T],
    max_length: int,
    *,
    least: int = 8,
    unlabelled: Callable[[T], bool] | None = None,
) -> Sequence[T]:
    """What must hold before anything is encoded: room for text, examples of one class, labels.

    Args:
        least: the smallest ``max_length`` that leaves room for text beside the special tokens.
        unlabelled: which examples cannot be trained on; None where nothing is trained.
    """
    check_length(max_length, least)
    rows = typed(examples, of)
    if unlabelled is not None:
        refuse_unlabelled(rows, unlabelled, "train")
    return rows


def typed(examples: Sequence[Example], of: type[T]) -> Sequence[T]:
    """The same examples, known to be of one class; not read where the sequence says which."""
    if getattr(examples, "of", None) is of:
        return examples  # type: ignore[return-value]  # a lazy sequence, which says what it holds
    rows: list[T] = [e for e in examples if isinstance(e, of)]
    if len(rows) != len(examples):
        wrong = next(e for e in examples if not isinstance(e, of))
        raise TypeError(f"got an example of class {type(wrong).__name__}, expected {of.__name__}")
    return rows


def refuse_unlabelled(rows: Sequence[T], unlabelled: Callable[[T], bool], purpose: str) -> None:
    """Raise where an example lacks its label. Test files of XTREME hold placeholders where the labels are
    hidden; a score against them would be about chance and look like a result (xtreme#24)."""
    missing = [row for row in rows if unlabelled(row)]
    if missing:
        raise UserError(
            f"{len(missing):,} of {len(rows):,} examples have no labels, the first is "
            f"{getattr(missing[0], 'id', '?')!r}",
            expected=f"labels, to {purpose}",
            do="take a split whose labels are published (often dev), or only predict",
        )


def check_scored(rows: Sequence[T], predictions: Sequence[object], unlabelled: Callable[[T], bool]) -> None:
    """What must hold before anything is scored: examples, a prediction for each, labels."""
    if not rows:
        raise UserError("no examples to score", do="look whether the split's file is empty")
    if len(rows) != len(predictions):
        raise ValueError(f"got {len(predictions)} predictions for {len(rows)} examples")
    refuse_unlabelled(rows, unlabelled, "score predictions")


def label_index(label: str, ids: dict[str, int], example: str) -> int:
    """The label's place in the head; ``ids`` maps the task's labels to theirs."""
    if label not in ids:
        known = list(ids)
        raise UserError(
            f"example {example!r} has the unknown label {label!r}{nearest(label, known)}",
            expected=f"one of {', '.join(known)}",
            do="look whether the file belongs to this task, or map its labels in the task's row",
        )
    return ids[label]
