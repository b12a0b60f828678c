"""What tables and figures show, as data only: computed here, kept in a ``StudyRecord``, drawn by ``report``.

Scores and differences are in points (0 to 100).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from xadapt.statistics.estimate import Estimate


@dataclass(frozen=True)
class Amount:
    """A number of a table in the words that it is shown in; it is sorted by ``value``, None at the end."""

    value: float | None
    text: str


Entry = str | int | float | Amount | None


@dataclass(frozen=True, kw_only=True)
class Sourced:
    """What every figure has beside what it shows.

    Attributes:
        note: is said below it.
        cells: keys of the cells that it is made of (``Cell.key``); empty for all of the study.
        modules: addresses of the modules that it is made of, where it is made of modules and not of cells.
    """

    note: str = ""
    cells: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table(Sourced):
    """Rows of entries, as many as columns. Numbers are shown as they are given: round them, or say an
    ``Amount``."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Point:
    """One value with its interval, if it has one.

    Attributes:
        x: None for what has no place on the axis (a language without a size): drawn apart, at the left.
        name: is written beside it.
        front: on the Pareto front; see ``front_of``.
    """

    x: float | None
    value: float
    low: float | None = None
    high: float | None = None
    name: str = ""
    front: bool = False


@dataclass(frozen=True)
class Series:
    """Points of one colour.

    Attributes:
        slope: of a least-squares line over log2 of x, in points per doubling: drawn and said.
        panel: series of one panel are drawn in one picture of several.
    """

    name: str
    points: tuple[Point, ...]
    slope: Estimate | None = None
    panel: str = ""


@dataclass(frozen=True)
class Curve(Sourced):
    """Values over an axis: scores by size, by language, by step.

    Attributes:
        x, y: what the axes say.
        log: whether x is on a logarithmic axis.
        joined: whether lines lead from point to point.
        nowhere: what is said of points without x.
    """

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    log: bool = True
    joined: bool = True
    nowhere: str = "none"
    kind: Literal["curve"] = "curve"


@dataclass(frozen=True)
class Front(Sourced):
    """Named points, accuracy over cost, and which of them no other is better than in both.

    Attributes:
        better: which way x is better: ``lower`` for time and bytes, ``higher`` for throughput.
        tolerance: points below the best value that count as comparable; drawn as a band.
        chosen: the name of the cheapest point within it, if one is shown to be.
    """

    title: str
    x: str
    y: str
    points: tuple[Point, ...]
    better: Literal["lower", "higher"] = "lower"
    log: bool = True
    tolerance: float | None = None
    chosen: str = ""
    kind: Literal["front"] = "front"


@dataclass(frozen=True)
class Heatmap(Sourced):
    """Differences (or scores) by row and column; None where there is none.

    Attributes:
        difference: whether 0 is no difference; what is not shown to be one is marked.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[Estimate | None, ...], ...]
    difference: bool = True
    kind: Literal["heatmap"] = "heatmap"


@dataclass(frozen=True)
class Difference:
    """One line of a forest plot; lines of one ``group`` stand together."""

    name: str
    estimate: Estimate
    group: str = ""


@dataclass(frozen=True)
class Forest(Sourced):
    """Differences with their intervals, one below the other."""

    title: str
    differences: tuple[Difference, ...]
    x: str = "points"
    kind: Literal["forest"] = "forest"


Figure = Table | Curve | Front | Heatmap | Forest


def front_of(points: Iterable[Point], better: Literal["lower", "higher"] = "lower") -> tuple[Point, ...]:
    """The points, each told whether it is on the Pareto front: no other is at least as good in cost and value
    and better in one. A point without x is not on it."""
    sign = 1.0 if better == "lower" else -1.0
    there = tuple(points)
    placed = [(sign * p.x, p.value) for p in there if p.x is not None]

    def beaten(cost: float, value: float) -> bool:
        return any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in placed)

    return tuple(replace(p, front=p.x is not None and not beaten(sign * p.x, p.value)) for p in there)
