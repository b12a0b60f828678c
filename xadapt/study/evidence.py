"""What cells say with intervals: means over languages and tasks, gains, gaps, and differences of them.

Everything here is a weighted sum of scores, so everything goes the same way: cells are named, their items'
counts are read from the store, and ``intervals.estimates`` resamples seeds and items. Languages, tasks and
backbones are kept as they are: nothing is said of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from xadapt.common.arrays import from_text
from xadapt.common.errors import UserError, nearest
from xadapt.statistics.estimate import Estimate, NotWorse, Ratio
from xadapt.statistics.intervals import estimates, holm, not_worse, ratio, slope_weights
from xadapt.statistics.resampling import Scored
from xadapt.store.store import Store
from xadapt.study.results import OTHERS, Cell, Finding


class Row(NamedTuple):
    """One line of a table: what all seeds and languages of an expression and task share."""

    backbone: str
    method: str
    expr: str
    task: str
    metric: str


class Place(NamedTuple):
    """One score by all seeds."""

    row: Row
    lang: str


class Contrast(dict[Place, float]):
    """A weighted sum of scores; contrasts are added, subtracted, and multiplied with numbers."""

    def __add__(self, other: Contrast) -> Contrast:
        return Contrast({p: self.get(p, 0.0) + other.get(p, 0.0) for p in {**self, **other}})

    def __sub__(self, other: Contrast) -> Contrast:
        return self + other * -1.0

    def __mul__(self, factor: float) -> Contrast:
        return Contrast({place: factor * weight for place, weight in self.items()})

    def __truediv__(self, divisor: float) -> Contrast:
        return self * (1 / divisor)


def average(contrasts: Sequence[Contrast]) -> Contrast:
    """The mean of contrasts: over tasks, or over lines.

    Raises:
        UserError: there is none.
    """
    if not contrasts:
        raise UserError("the mean of no scores", expected="one at least", do="look for what failed")
    return sum(contrasts, Contrast()) / len(contrasts)


@dataclass
class Evidence:
    """The cells of a study, and what can be said of them.

    Attributes:
        cells: read off one layer each; of several layers each is a study of its own.
        store: has their counts.
        resamples: of the bootstrap.
    """

    cells: Sequence[Cell]
    store: Store
    resamples: int = 10_000
    _counts: dict[Place, dict[int, np.ndarray]] = field(default_factory=dict, repr=False)

    # -- what there is ----------------------------------------------------------------------

    def rows(self, task: str | None = None, metric: str | None = None) -> list[Row]:
        """The lines of the tables, in the order of the cells; ``metric`` None for all."""
        return [r for r in self._cells if task in (None, r.task) and metric in (None, r.metric)]

    def languages(self, row: Row) -> tuple[str, ...]:
        """Where there are scores, English first."""
        return tuple(sorted(self._cells.get(row, ()), key=lambda lang: lang != "en"))

    def row(self, expr: str, *, backbone: str | None = None, method: str | None = None) -> Row:
        """The line of an expression by its target's first metric.

        Raises:
            UserError: there is none, or there are several: of other backbones or methods.
        """
        named = [r for r in self.rows() if r.expr == expr]
        found = [r for r in named if backbone in (None, r.backbone) and method in (None, r.method)]
        lines = {(r.backbone, r.method): r for r in reversed(found)}
        if len(lines) == 1:
            return found[0]
        raise UserError(
            f"{len(lines)} lines of '{expr}'{nearest(expr, list({r.expr for r in self.rows()}))}",
            expected="one" + (f": of {', '.join(f'{b} with {m}' for b, m in lines)}" if lines else ""),
            do="name backbone and method, or look for what failed" if lines else "look for what failed",
        )

    def by_backbone(self) -> dict[tuple[str, str], Row]:
        """(backbone, expression) -> its line by the target's first metric; of several methods the first."""
        return {(row.backbone, row.expr): row for row in reversed(self.rows())}

    def lacking(self, expressions: Iterable[str]) -> list[str]:
        """Those that have no line with some backbone and method that other cells have: what failed, or was
        left out."""
        lines = {(r.backbone, r.method) for r in self.rows()}
        there = {(r.expr, r.backbone, r.method) for r in self.rows()}
        return [e for e in expressions if not lines or any((e, *line) not in there for line in lines)]

    def english_dev(self, row: Row) -> float:
        """The best English dev score of the module that answers, by its own metric, averaged over seeds: what
        chooses a checkpoint, and may choose between stacks where the reported scores must not.

        Raises:
            UserError: the target trains nothing, or its module is no longer in the store.
        """
        cells = [c for by_language in self._cells.get(row, {}).values() for c in by_language]
        modules = {c.seed: c.module for c in cells}
        addresses = [address for address in modules.values() if address is not None]
        if not addresses:
            raise UserError(
                f"'{row.expr}' has no English dev score: nothing is trained on {row.task}",
                do="choose by the dev score of targets that are trained",
            )
        return float(np.mean([self.store.manifest(address)["dev"]["score"] for address in addresses]))

    # -- weighted sums ----------------------------------------------------------------------

    def mean(self, row: Row, languages: Sequence[str] | None = None) -> Contrast:
        """The mean over languages; None for all but English.

        Raises:
            UserError: no score in one of them, or none to take the mean of.
        """
        there = self.languages(row)
        chosen = [lang for lang in there if lang != "en"] if languages is None else list(languages)
        if not chosen or (lacking := [lang for lang in chosen if lang not in there]):
            missing = ", ".join(lacking) if chosen else "other languages than English"
            raise UserError(
                f"'{row.expr}' has no score of {row.task} in {missing}",
                expected=f"some of {', '.join(there)}",
            )
        return Contrast({Place(row, lang): 1 / len(chosen) for lang in chosen})

    def gap(self, row: Row) -> Contrast:
        """English minus the mean of the others (Hu et al. 2020, arXiv 2003.11080, section 5)."""
        return self.mean(row, ["en"]) - self.mean(row)

    def slope(self, contrasts: Sequence[Contrast], x: Sequence[float]) -> Contrast:
        """The least-squares slope of scores over ``x``: points per doubling, where ``x`` are log2 of sizes.

        Raises:
            UserError: fewer than two different sizes.
        """
        weighed = (c * w for c, w in zip(contrasts, slope_weights(x), strict=True))
        return sum(weighed, Contrast())

    def estimate(self, contrasts: Sequence[Contrast], *, compared: bool = False) -> list[Estimate]:
        """Values with intervals, by the seeds that all of their scores have.

        Args:
            compared: they are comparisons of one family: p is adjusted by Holm's method.

        Raises:
            UserError: scores that share no seed.
        """
        if not contrasts:
            return []
        made = estimates(*self._scored(contrasts), resamples=self.resamples)
        return holm(made) if compared else made

    def ratio(self, above: Contrast, below: Contrast) -> Ratio:
        """One contrast divided by another, such as points for data over points for parameters."""
        scored, (top, bottom) = self._scored([above, below])
        return ratio(scored, top, bottom, resamples=self.resamples)

    def not_worse(self, difference: Contrast, tolerance: float) -> NotWorse:
        """Whether a difference is above ``-tolerance`` points: one-sided."""
        scored, (weights,) = self._scored([difference])
        return not_worse(scored, weights, tolerance, resamples=self.resamples)

    def _scored(self, contrasts: Sequence[Contrast]) -> tuple[list[Scored], np.ndarray]:
        """The scores that they weigh, and (contrasts, scores) the weights."""
        places = list(dict.fromkeys(place for contrast in contrasts for place in contrast))
        counts = [self._counts_of(place) for place in places]
        seeds = sorted(set.intersection(*(set(of) for of in counts)))
        if not seeds:
            raise UserError(
                "these scores share no seed",
                expected="the same seeds on both sides of a comparison",
                do="run the missing ones",
            )
        scored = [Scored(*np.stack([of[seed] for seed in seeds]).transpose(2, 0, 1)) for of in counts]
        return scored, np.array([[contrast.get(place, 0.0) for place in places] for contrast in contrasts])

    def _counts_of(self, place: Place) -> dict[int, np.ndarray]:
        """Seed -> (items, 2)."""
        if place not in self._counts:
            cells = self._cells.get(place.row, {}).get(place.lang, ())
            self._counts[place] = {c.seed: self._read(c) for c in cells}
        return self._counts[place]

    @cached_property
    def _cells(self) -> dict[Row, dict[str, list[Cell]]]:
        """Row -> language -> cells, so that thousands of them are gone through once."""
        found: dict[Row, dict[str, list[Cell]]] = {}
        for cell in self.cells:
            found.setdefault(_row(cell), {}).setdefault(cell.lang, []).append(cell)
        return found

    def _read(self, cell: Cell) -> np.ndarray:
        kept = self.store.read_scores(cell.key)
        if kept is None:
            raise UserError(
                f"the score of '{cell.expr}' on {cell.task} in {cell.lang} is no longer in the store",
                do="run the study again",
                path=self.store.root,
            )
        return from_text(kept["counts"][cell.metric])

    # -- the usual findings -----------------------------------------------------------------

    def over_first(self) -> dict[Row, Row]:
        """Each line that is compared -> the first of the same task, metric, backbone and method, where both
        have scores in the same languages, others than English among them."""
        firsts: dict[Row, Row] = {}
        found: dict[Row, Row] = {}
        for row in self.rows():
            first = firsts.setdefault(row._replace(expr=""), row)
            languages = self.languages(row)
            if row != first and languages == self.languages(first) and set(languages) - {"en"}:
                found[row] = first
        return found

    def findings(self) -> list[Finding]:
        """For each line its mean over languages and its gap, and its gain over the first line of the same
        task, backbone and method. Gains of one task and metric are one family of comparisons. None where
        cells are read off several layers."""
        if not of_one_layer(self.cells):
            return []
        made: list[Finding] = []
        against = self.over_first()
        for task, metric in dict.fromkeys((r.task, r.metric) for r in self.rows()):
            plain: list[tuple[Row, str, str, Contrast]] = []
            gains: list[tuple[Row, str, str, Contrast]] = []
            for row in self.rows(task, metric):
                languages = self.languages(row)
                if not set(languages) - {"en"}:
                    continue
                plain.append((row, OTHERS, "", self.mean(row)))
                if "en" in languages:
                    plain.append((row, "gap", "", self.gap(row)))
                if first := against.get(row):
                    gains.append((row, "gain", first.expr, self.mean(row) - self.mean(first)))
            for group, compared in ((plain, False), (gains, True)):
                found = self.estimate([contrast for *_, contrast in group], compared=compared)
                made += [
                    Finding(row.backbone, row.method, row.task, row.metric, row.expr, what, against, one)
                    for (row, what, against, _), one in zip(group, found, strict=True)
                ]
        return made


def of_one_layer(cells: Iterable[Cell]) -> bool:
    """Whether no two cells differ in their layer alone."""
    layers: dict[tuple[object, ...], set[int | None]] = {}
    for cell in cells:
        layers.setdefault((*_row(cell), cell.seed, cell.lang), set()).add(cell.layer)
    return all(len(found) == 1 for found in layers.values())


def _row(cell: Cell) -> Row:
    return Row(cell.backbone, cell.method, cell.expr, cell.task, cell.metric)
