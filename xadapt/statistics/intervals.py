"""What scores of a few seeds on a few thousand items say, and what would say more.

Every score is a ratio of sums over items, ``100 sum(num) / sum(den)``, and every question a contrast: a
weighted sum of scores, averaged over seeds. Two things make it uncertain: another seed would have trained
another module, and another test set would have held other items. Items are crossed with seeds (every seed
answers the same ones), and parallel test sets with each other (XNLI's and XQuAD's languages, position by
position), so:

- **Items** are resampled with replacement. A draw is shared by all seeds and by all scores of as many items
  (the pigeonhole bootstrap, Owen 2007); test sets that have nothing in common lose nothing by it. The
  percentiles of the contrast (Efron 1979) shape the interval.
- **Seeds** are too few for that: percentiles over 3 resampled seeds are far too narrow. Their part of the
  variance is counted instead. With S seeds, M = the variance between the seeds' values, over S; B = the
  items' bootstrap variance of the mean over seeds; A = that of one seed's value, averaged: ``v = M + I``,
  ``I = B - (A - B) / (S - 1)``. This has no bias under random seeds, items and interaction of the two,
  which is in M and in B.
- **The interval** goes ``t sqrt(v)`` to both sides, each side times how much longer or shorter than the
  normal distribution's the items' percentile is there, as far as v comes from items. With one seed this is
  the percentile interval, expanded as in Hesterberg 2015. p is Student's, two-sided.
- **Degrees of freedom**: ``1 / df = (M / v) / (S - 1) + (I / v)^2 / df of the items``. Satterthwaite 1946
  has the square of M / v too; with shares estimated from 2 or 3 seeds that is too many whenever these
  happen to agree: without a difference, intervals exclude 0 in up to 12.8 percent of studies with 2 seeds,
  7.8 with 3, 5.8 with 5 (computed for normal values, many items and every true share of the seeds). The
  first power gives 3.7 to 9.4 percent with 2 seeds, 3.7 to 5.8 with 3, 3.9 to 5.1 with 4, 4.0 to 5.1 with
  5; simulated studies of binary items agree (20,000 each: 5.1 to 6.1 with 3 seeds that matter much; 10,000
  each: 7.0 to 9.5 with 2). So **with 2 seeds an interval may be too narrow**.

With one seed (``Estimate.seeds == 1``) only items are resampled: the interval is that of one trained module
and is silent about what another seed would have given. Below about 30 items no bootstrap is to be trusted.

References: Efron 1979 (Ann. Stat. 7:1); Owen 2007 (Ann. Appl. Stat. 1:386); Hesterberg 2015 (Am. Stat.
69:371, arXiv 1411.5279); Satterthwaite 1946 (Biometrics Bull. 2:110); Holm 1979 (Scand. J. Stat. 6:65);
Fieller 1954 (JRSS B 16:175). The one file of the package that knows scipy, imported where it is needed:
that takes half a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xadapt.common.errors import UserError
from xadapt.statistics.estimate import Estimate, Needed, NotWorse, Ratio
from xadapt.statistics.resampling import Scored, by_seed, deviations

_MOST = 10**9  # items that anybody could mean


def estimates(
    scored: Sequence[Scored],
    contrasts: np.ndarray,
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Estimate]:
    """Value and interval of each contrast, all from the same draws; the method is at the top of this file.

    Args:
        scored: scores with equal numbers of seeds; of items each may have its own number.
        contrasts: (k, len(scored)) weights: a score (one 1), a mean over languages (1/L each), a gain
            (1/L, -1/L), a gap, a difference of differences, ``slope_weights``.
        resamples: how often items are drawn.
        level: of the intervals.
        seed: names the draws, with the number of items.

    Raises:
        ValueError: shapes that do not fit, or a level outside 0 to 1.
    """
    weights = np.asarray(contrasts, dtype=float)
    spread = _Spread.of(by_seed(scored, weights), deviations(scored, weights, resamples, seed))
    sizes = np.array([one.num.shape[1] for one in scored])
    items = [int(sizes[row != 0].max(initial=0)) for row in weights]
    return spread.estimates(items, _inside(level))


def holm(found: Sequence[Estimate]) -> list[Estimate]:
    """The same comparisons, in their order, with p adjusted for how many they are (Holm 1979): the chance of
    showing any that is not there is at most 1 - level, whatever they have to do with each other."""
    adjusted, highest = [0.0] * len(found), 0.0
    for rank, i in enumerate(sorted(range(len(found)), key=lambda i: found[i].p)):
        highest = max(highest, min(1.0, (len(found) - rank) * found[i].p))
        adjusted[i] = highest
    return [replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def slope_weights(x: Iterable[float]) -> np.ndarray:
    """The contrast that is scores' least-squares slope over ``x``: points per doubling for log2 of sizes.

    Raises:
        UserError: fewer than two different values.
    """
    at = np.asarray(list(x), dtype=float)
    if np.unique(at).size < 2:
        raise UserError(f"a slope over {np.unique(at).size} size(s)", expected="two or more", do="add a size")
    centred = at - at.mean()
    return centred / (centred @ centred)


def ratio(
    scored: Sequence[Scored],
    above: np.ndarray,
    below: np.ndarray,
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Ratio:
    """Contrast ``above`` divided by contrast ``below``, (len(scored),) weights each: Fieller's interval.

    It holds every r at which ``above - r below`` is not shown to differ from 0. Where ``below`` itself is not
    shown to, it has no bound: low and high are infinite.
    """
    pair = np.stack([np.asarray(above, dtype=float), np.asarray(below, dtype=float)])
    values, quantile = by_seed(scored, pair), (1 + _inside(level)) / 2
    groups = list(deviations(scored, pair, resamples, seed))

    def beyond(weights: np.ndarray) -> float:
        """By how much the contrast of the two is farther from 0 than chance takes it."""
        column = weights[:, None]
        spread = _Spread.of(values @ column, [(n, drawn @ column) for n, drawn in groups])
        return float((np.abs(spread.value) - spread.half(quantile))[0])

    top, bottom = values.mean(axis=0)
    value = float(top / bottom) if bottom else math.nan
    if beyond(np.array([0.0, 1.0])) <= 0:
        return Ratio(value, -math.inf, math.inf, level)

    def differs(r: float) -> float:
        return beyond(np.array([1.0, -r]))

    step = max(abs(value), 1e-3) / 8
    low, high = (_first_crossing(differs, value, way * step) for way in (-1, 1))
    return Ratio(value, low, high, level)


def not_worse(
    scored: Sequence[Scored],
    contrast: np.ndarray,
    tolerance: float,
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> NotWorse:
    """Whether the difference ``contrast`` (a - b) is above ``-tolerance`` points: one-sided non-inferiority.

    Its bound is the lower end of the two-sided interval of ``2 level - 1``: 90 percent for 95.

    Raises:
        UserError: a tolerance that is not above 0, which no data could show to hold for equal scores.
        ValueError: a level of at most 0.5.
    """
    from scipy.special import stdtr

    if not tolerance > 0:
        raise UserError(
            f"a tolerance of {tolerance:g} points", expected="above 0", do="say what loss would not matter"
        )
    (found,) = estimates(
        scored, np.asarray(contrast)[None], resamples=resamples, level=2 * level - 1, seed=seed
    )
    spread, away = math.sqrt(found.seed_variance + found.item_variance), found.value + tolerance
    p = float(stdtr(found.df, -away / spread)) if spread else float(away <= 0)
    return NotWorse(found.value, found.low, tolerance, p, level)


def needed(estimate: Estimate, difference: float, *, power: float = 0.8, level: float = 0.95) -> Needed:
    """How many seeds at the present items, or items at the present seeds, would show a true ``difference``.

    The difference is in points; ``power`` is the chance that the interval of ``level`` excludes 0 then
    (noncentral t, variances as ``estimate`` saw them: from 3 seeds they are rough, and so is the answer).
    Of several test sets all grow alike, and ``items`` is the largest one's. With one seed nothing is known of
    seeds: their number is None, and that of items holds for this seed only.

    Raises:
        UserError: a difference of 0, or a power that is not between 1 - level and 1.
    """
    if not difference:
        raise UserError("a difference of 0", expected="one that would matter", do="name it in points")
    if not 1 - _inside(level) < power < 1:
        raise UserError(f"a power of {power:g}", expected=f"{1 - level:.2g} to 1", do="0.8 is usual")
    now = estimate
    noise = min(now.noise_variance, now.seed_variance)

    def reached(seeds: int, items: int) -> bool:
        fewer, smaller = now.seeds / seeds, now.items / items
        of_seeds = fewer * (now.seed_variance - noise + noise * smaller)
        of_items = now.item_variance * smaller
        variance = of_seeds + of_items
        df = _freedom(np.array(of_seeds), np.array(variance), seeds, np.array(1.0 / max(items - 1, 1)))
        return _power(abs(difference), variance, float(df), level) >= power

    return Needed(
        None if now.seeds == 1 else _least(lambda seeds: reached(seeds, now.items), 10_000),
        _least(lambda items: reached(now.seeds, items), _MOST),
    )


@dataclass(frozen=True)
class _Spread:
    """Values of k contrasts and what their variances are made of; each (k,) but ``drawn``.

    Attributes:
        between, item, of_items: M, I and B. noise: what M and B share. df: degrees of freedom.
        drawn: (resamples, k) deviations of the mean over seeds.
    """

    value: np.ndarray
    between: np.ndarray
    item: np.ndarray
    noise: np.ndarray
    of_items: np.ndarray
    df: np.ndarray
    drawn: np.ndarray
    seeds: int

    @classmethod
    def of(cls, values: np.ndarray, groups: Iterable[tuple[int, np.ndarray]]) -> _Spread:
        """From each seed's values (seeds, k) and, for each number of items, moves (resamples, seeds, k)."""
        seeds, k = values.shape
        of_mean, of_one, fineness = np.zeros(k), np.zeros(k), np.zeros(k)
        drawn: np.ndarray | float = 0.0
        for n, moved in groups:
            mean = moved.mean(axis=1)
            variance = mean.var(axis=0, ddof=1)
            of_mean += variance
            of_one += moved.var(axis=0, ddof=1).mean(axis=0)
            fineness += variance**2 / max(n - 1, 1)
            drawn = drawn + mean
        between, noise = np.zeros(k), np.zeros(k)
        if seeds > 1:
            between = values.var(axis=0, ddof=1) / seeds
            noise = np.clip((of_one - of_mean) / (seeds - 1), 0, of_mean)
        item = of_mean - noise
        fineness = np.divide(fineness, of_mean**2, out=np.zeros(k), where=of_mean > 0)
        df = _freedom(between, between + item, seeds, fineness)
        return cls(values.mean(axis=0), between, item, noise, of_mean, df, np.asarray(drawn), seeds)

    def half(self, quantile: float) -> np.ndarray:
        """Half the width of a symmetric interval that ends at ``quantile``."""
        from scipy.special import stdtrit

        return stdtrit(self.df, quantile) * np.sqrt(self.between + self.item)

    def estimates(self, items: Sequence[int], level: float) -> list[Estimate]:
        from scipy.special import ndtri, stdtr

        variance, half = self.between + self.item, self.half((1 + level) / 2)
        usual = ndtri((1 + level) / 2) * self.drawn.std(axis=0, ddof=1)
        ends = np.quantile(self.drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
        longer = np.divide(np.abs(ends), usual, out=np.ones_like(ends), where=usual > 0)  # 1 is the normal's
        share = np.divide(self.of_items, variance, out=np.ones_like(variance), where=variance > 0)
        sides = half * (1 + np.minimum(share, 1) * (longer - 1))
        spread = np.sqrt(variance)
        away = np.divide(np.abs(self.value), spread, out=np.where(self.value, np.inf, 0.0), where=spread > 0)
        p = 2 * stdtr(self.df, -away)
        return [
            Estimate(
                value=float(self.value[i]),
                low=float(self.value[i] - sides[0, i]),
                high=float(self.value[i] + sides[1, i]),
                p=float(p[i]),
                seeds=self.seeds,
                items=items[i],
                df=float(self.df[i]),
                seed_variance=float(self.between[i]),
                item_variance=float(self.item[i]),
                noise_variance=float(self.noise[i]),
                level=level,
            )
            for i in range(len(self.value))
        ]


def _freedom(between: np.ndarray, variance: np.ndarray, seeds: int, fineness: np.ndarray) -> np.ndarray:
    """Degrees of freedom; ``fineness`` is 1 over those of the items alone."""
    share = np.divide(between, variance, out=np.zeros_like(variance), where=variance > 0)
    inverse = share / max(seeds - 1, 1) + (1 - share) ** 2 * fineness
    return 1 / np.maximum(inverse, 1e-9)


def _power(difference: float, variance: float, df: float, level: float) -> float:
    """The chance that a true difference is shown."""
    from scipy.special import nctdtr, stdtrit

    if variance <= 0:
        return 1.0
    away, end = difference / math.sqrt(variance), float(stdtrit(df, (1 + level) / 2))
    if away > end + 10:  # beyond what the noncentral t is computed for
        return 1.0
    return float(1 - nctdtr(df, away, end) + nctdtr(df, away, -end))


def _least(enough: Callable[[int], bool], most: int) -> int | None:
    """The least whole number from 2 that is enough, by doubling and halving; None above ``most``."""
    low, high = 1, 2
    while not enough(high):
        low, high = high, high * 2
        if high > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _first_crossing(function: Callable[[float], float], start: float, step: float) -> float:
    """Where ``function`` turns positive on the way from ``start``; infinite where it does not."""
    from scipy.optimize import brentq

    near = start
    for doubling in range(60):
        far = start + step * 2.0**doubling
        if function(far) > 0:
            return float(brentq(function, near, far, xtol=1e-9 * max(1.0, abs(far))))
        near = far
    return math.copysign(math.inf, step)


def _inside(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a level of {level:g}: must be between 0 and 1")
    return level
