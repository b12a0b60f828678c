"""What a study gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xadapt.study.estimate import Estimate
from xadapt.tasks.examples import Example


@dataclass(frozen=True)
class Cell:
    """One score, 0..100.

    Attributes:
        n: items that it is a score of.
        layer: whose hidden states are read; None for the last.
        module: the address of the target's module; None where the target trains nothing.
        backbone, method, data: names; ``method`` is the one where the expression names none.
        key: where the store keeps it, with what each item adds to the score (``Evidence``).
    """

    expr: str
    seed: int
    task: str
    lang: str
    split: str
    metric: str
    score: float
    n: int
    layer: int | None = None
    module: str | None = None
    backbone: str = ""
    method: str = ""
    data: str = ""
    key: str = ""


@dataclass(frozen=True)
class ModuleRow:
    """One module of the study: trained now or found; what its training took, what it weighs."""

    expr: str
    seed: int
    trained: bool
    seconds: float
    parameters: int
    bytes: int
    address: str


@dataclass(frozen=True)
class Baseline:
    """A score without any model, beside the cells of the same task and language."""

    name: str
    task: str
    lang: str
    split: str
    metric: str
    score: float
    n: int


@dataclass(frozen=True)
class Finding:
    """What the cells of one task say of an expression, with an interval.

    Attributes:
        what: ``others`` (the mean of the languages but English), ``gap`` (English minus that), or ``gain``
            (that minus the one of ``against``).
        against: the expression that a gain is over; empty for what is no comparison.
    """

    backbone: str
    method: str
    task: str
    metric: str
    expr: str
    what: str
    against: str
    estimate: Estimate


@dataclass(frozen=True)
class Failure:
    """A module or an evaluation that could not be made; the rest of the study went on.

    Attributes:
        what: the module or the evaluation, for people.
        error: the message.
    """

    backbone: str
    expr: str
    seed: int
    what: str
    error: str


@dataclass(frozen=True)
class Predicted:
    """One language's predictions, in the kind's own form, for examples that may have no labels;
    ``revision`` is the data's."""

    lang: str
    examples: Sequence[Example]
    predictions: Sequence[Any]
    revision: str


@dataclass(frozen=True)
class Results:
    """Everything that a study gives.

    Attributes:
        backbone, data: names; of a grid all of them, with commas between.
        generated: whether the data was, see ``Source``.
        findings: what its cells say with intervals: gains are against the first expression of a task.
        seconds: from start to end, waiting included.
        failures: what is missing, and why.
    """

    backbone: str
    data: str
    generated: bool
    cells: tuple[Cell, ...]
    modules: tuple[ModuleRow, ...]
    baselines: tuple[Baseline, ...]
    seconds: float
    findings: tuple[Finding, ...] = ()
    failures: tuple[Failure, ...] = ()
