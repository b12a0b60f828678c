"""Scores as ratios of sums over items, and what they become when the items are drawn anew.

Why items are drawn so, and the intervals that stand on it, are in ``intervals.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xadapt.common.randomness import generator

_COUNTS = 4_000_000  # drawn at a time: 16 MB
_ROUNDING = 1e-12  # of the greatest weight, or of 100 points: less than that is none


@dataclass(frozen=True)
class Scored:
    """One score by several seeds, item by item. Within one call, row i of all ``Scored`` is of one seed.

    Attributes:
        num, den: (seeds, items); a seed's score is ``100 sum(num) / sum(den)``, and 0 where the latter is.
            Accuracy: hit, 1. F1: 2 true positives, predicted + gold. Tag accuracy: right words, words.

    Raises:
        ValueError: other shapes, none at all, or values that are not finite.
    """

    num: np.ndarray
    den: np.ndarray

    def __post_init__(self) -> None:
        num, den = np.asarray(self.num, dtype=float), np.asarray(self.den, dtype=float)
        if num.ndim != 2 or num.shape != den.shape or not num.size:
            raise ValueError(f"num {num.shape}, den {den.shape}: both must be (seeds, items), one at least")
        if not (np.isfinite(num).all() and np.isfinite(den).all() and (den >= 0).all()):
            raise ValueError("num and den must be finite, den not negative")
        object.__setattr__(self, "num", num)
        object.__setattr__(self, "den", den)


def by_seed(scored: Sequence[Scored], weights: np.ndarray) -> np.ndarray:
    """Each seed's value of each contrast: (seeds, k)."""
    if weights.ndim != 2 or not scored or weights.shape[1] != len(scored):
        raise ValueError(f"contrasts {weights.shape}: must be (k, {len(scored)}), a weight for each score")
    if len(seeds := {s.num.shape[0] for s in scored}) > 1:
        raise ValueError(f"scores of {sorted(seeds)} seeds: each must have the same")
    distinct, merged = _distinct(scored, weights)
    points = np.stack([_score(s.num.sum(axis=1), s.den.sum(axis=1)) for s in distinct], axis=1)
    values = points @ merged.T
    return np.where(np.abs(values) < 100 * _ROUNDING * np.abs(merged).sum(axis=1), 0.0, values)


def deviations(
    scored: Sequence[Scored], weights: np.ndarray, resamples: int, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """For each number of items n: (n, by how much the contrasts move when items are drawn anew).

    The moves are (resamples, seeds, k), of the scores with n items alone; different n move independently.
    """
    if resamples < 2:
        raise ValueError(f"{resamples} resamples: must be two or more")
    scored, weights = _distinct(scored, weights)
    for n in sorted({s.num.shape[1] for s in scored}):
        here = [i for i, s in enumerate(scored) if s.num.shape[1] == n]
        sums = _Sums(n)
        nums = np.array([[sums.column(row) for row in scored[i].num] for i in here])  # (scores, seeds)
        dens = np.array([[sums.column(row) for row in scored[i].den] for i in here])
        points = np.stack([_score(scored[i].num.sum(axis=1), scored[i].den.sum(axis=1)) for i in here])
        drawn = []
        for counts in _counts(n, resamples, seed):
            totals = sums.of(counts)
            moved = _score(totals[:, nums], totals[:, dens]) - points  # (resamples, scores, seeds)
            drawn.append(moved.transpose(0, 2, 1) @ weights[:, here].T)
        yield n, np.concatenate(drawn)


def _distinct(scored: Sequence[Scored], weights: np.ndarray) -> tuple[list[Scored], np.ndarray]:
    """Each different score once, with the sum of its weights: a score compared with its equal cancels."""
    found: dict[tuple[object, ...], int] = {}
    which = []
    for one in scored:
        key = (one.num.shape, *(hashlib.sha256(values.tobytes()).digest() for values in (one.num, one.den)))
        which.append(found.setdefault(key, len(found)))
    merged = np.zeros((len(weights), len(found)))
    for column, i in enumerate(which):
        merged[:, i] += weights[:, column]
    merged[np.abs(merged) < _ROUNDING * np.abs(weights).max(axis=1, initial=0)[:, None]] = 0
    return [scored[which.index(i)] for i in range(len(found))], merged


class _Sums:
    """Sums of columns of n items over many draws: each different column once, constants without a product."""

    def __init__(self, items: int) -> None:
        self.items = items
        self._found: dict[bytes, int] = {}
        self._columns: list[np.ndarray] = []

    def column(self, values: np.ndarray) -> int:
        """The place of ``values`` in what ``of`` gives."""
        key = values.tobytes()
        if key not in self._found:
            self._found[key] = len(self._columns)
            self._columns.append(values)
        return self._found[key]

    def of(self, counts: np.ndarray) -> np.ndarray:
        """(draws, columns) from how often each item was drawn, (draws, items)."""
        columns = np.stack(self._columns, axis=1)
        totals = np.empty((len(counts), columns.shape[1]))
        same = np.ptp(columns, axis=0) == 0
        totals[:, same] = columns[0, same] * self.items
        totals[:, ~same] = counts @ columns[:, ~same].astype(np.float32)
        return totals


def _counts(items: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each item is drawn, in (draws, items) blocks: a function of these numbers alone."""
    random = generator(seed, "items drawn", items)
    block = max(1, _COUNTS // items)
    for start in range(0, resamples, block):
        draws = min(block, resamples - start)
        drawn = random.integers(0, items, size=(draws, items))
        drawn += np.arange(draws)[:, None] * items
        yield np.bincount(drawn.ravel(), minlength=draws * items).reshape(draws, items).astype(np.float32)


def _score(num: np.ndarray, den: np.ndarray) -> np.ndarray:
    """100 num / den; 0 where den is."""
    return np.divide(100 * num, den, out=np.zeros(np.shape(num)), where=den > 0)
