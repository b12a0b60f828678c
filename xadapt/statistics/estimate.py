"""What ``intervals.py`` finds of scores: a value, its interval, and the words for both."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """What a contrast of scores is, and how far that may be trusted.

    Attributes:
        value: the mean over seeds, in points (a score: 0 to 100).
        low, high: the interval of ``level``.
        p: two-sided, against 0.
        seeds: how many seeds; 1 says that the seed's part is not in the interval.
        items: the items of the largest test set with a weight in the contrast.
        df: degrees of freedom of p and interval.
        seed_variance: M, the part of the value's variance that falls with seeds; 0 where there is one.
        item_variance: I, the part that falls with items; the variance is the sum of both.
        noise_variance: the part of ``seed_variance`` that falls with items too: seeds err on different items.
        level: of the interval.
        adjusted: Holm's p, where this is one of several comparisons.
    """

    value: float
    low: float
    high: float
    p: float
    seeds: int
    items: int
    df: float
    seed_variance: float
    item_variance: float
    noise_variance: float = 0.0
    level: float = 0.95
    adjusted: float | None = None

    @property
    def shown(self) -> bool:
        """The interval excludes 0, and so does the adjusted p where there is one."""
        apart = self.low > 0 or self.high < 0
        return apart and (self.adjusted is None or self.adjusted <= 1 - self.level)

    def text(self, difference: bool = True) -> str:
        """``+2.4 (+1.1 to +3.7)``, ``no difference shown (-1.1 to +3.0)``; a score: ``61.3 (60.1 to 62.4)``.

        Where the interval excludes 0 but the adjusted p does not, that p is told."""
        if not difference:
            low, high = max(0.0, self.low), min(100.0, self.high)  # few seeds' intervals are wide
            return f"{_points(self.value)} ({_points(low)} to {_points(high)})"
        interval = f"{_signed(self.low)} to {_signed(self.high)}"
        if self.shown:
            return f"{_signed(self.value)} ({interval})"
        if self.adjusted is not None and (self.low > 0 or self.high < 0):
            interval += f", adjusted p {self.adjusted:.2g}"
        return f"no difference shown ({interval})"


@dataclass(frozen=True)
class Ratio:
    """One contrast divided by another, such as an exchange rate. Without bounds low and high are infinite."""

    value: float
    low: float
    high: float
    level: float = 0.95

    @property
    def bounded(self) -> bool:
        """False where what it is divided by may be 0."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def text(self) -> str:
        """``0.42 (0.21 to 0.80)``, or that there is no bound and why."""
        if not self.bounded:
            return "unbounded: what it is divided by is not shown to differ from 0"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class NotWorse:
    """Whether a difference is above ``-tolerance``: one-sided, at ``level``.

    Attributes:
        value: the difference.
        bound: its one-sided lower confidence bound.
        tolerance: by how many points it may be worse.
        p: one-sided, against a difference of ``-tolerance``.
        level: of the bound.
    """

    value: float
    bound: float
    tolerance: float
    p: float
    level: float

    @property
    def shown(self) -> bool:
        """The bound is above ``-tolerance``."""
        return self.bound > -self.tolerance

    def text(self) -> str:
        """``not worse by more than 1.0 (at least -0.4, one-sided 95%)``, or that it is not shown."""
        start = "not worse" if self.shown else "not shown to be not worse"
        bound = f"at least {_signed(self.bound)}, one-sided {self.level:.0%}"
        return f"{start} by more than {self.tolerance:.1f} ({bound})"


@dataclass(frozen=True)
class Needed:
    """What would show a difference: either so many seeds, or so many items; None where no number would do."""

    seeds: int | None
    items: int | None


def _points(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}"  # + 0.0: no minus before 0.0


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"
