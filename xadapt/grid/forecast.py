"""What running a grid would come to, and what of it a budget leaves out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xadapt.common.errors import UserError
from xadapt.grid.cost import Cost, Costs
from xadapt.grid.work import Unit

STARTING = 10.0  # seconds until a process of several is ready
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])")
_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Forecast:
    """What a grid consists of, without repetition, and what is still to be done.

    Attributes:
        units: in the order in which they are begun.
        held: keys of those that the store has.
        costs: of the others, by key.
        cut: keys of those that the budget leaves out.
        workers: processes that share the work.
        from_store: of how many modules the time is taken from like ones in the store; of the others it is
            from a probe.
    """

    units: tuple[Unit, ...]
    held: frozenset[str]
    costs: Mapping[str, Cost]
    cut: frozenset[str]
    workers: int
    from_store: int

    @property
    def left(self) -> tuple[Unit, ...]:
        """What is to be done."""
        done = self.held | self.cut
        return tuple(unit for unit in self.units if unit.key not in done)

    def cost(self, units: Sequence[Unit]) -> Cost:
        """Of some of the units that the store lacks, shared by the workers: seconds by the clock, bytes."""
        whole = Cost.of(self.costs[unit.key] for unit in units)
        return Cost(clock(whole.seconds, self.workers), whole.bytes)


def clock(seconds: float, workers: int) -> float:
    """Seconds by the clock of work that workers share; they are seldom idle, and need a start."""
    return seconds if workers == 1 or not seconds else seconds / workers + STARTING


def forecast(
    units: Sequence[Unit],
    held: frozenset[str],
    costs: Costs,
    *,
    workers: int = 1,
    budget: float | None = None,
) -> Forecast:
    """What ``units`` would take.

    Args:
        held: keys of those that the store has.
        budget: seconds by the clock; evaluations from the end of the order, and the modules that only they
            need, are cut until the rest fits.

    Raises:
        UserError: the budget fits nothing.
    """
    found = {unit.key: costs.of(unit) for unit in units if unit.key not in held}
    cut: frozenset[str] = frozenset()
    if budget is not None:
        cut = _cut(units, held, found, budget, workers)
    return Forecast(tuple(units), held, found, cut, workers, costs.from_store)


def _cut(
    units: Sequence[Unit], held: frozenset[str], costs: Mapping[str, Cost], budget: float, workers: int
) -> frozenset[str]:
    kept: set[str] = set()
    spent, fits = 0.0, False
    least: float | None = None
    evaluations = [unit for unit in units if unit.module is None]
    for unit in evaluations:
        wanted = [key for key in (*unit.after, unit.key) if key in costs and key not in kept]
        more = sum(costs[key].seconds for key in wanted)
        if wanted and least is None:
            least = clock(more, workers)
        if clock(spent + more, workers) > budget:
            break
        fits = fits or bool(wanted)
        spent += more
        kept.update(wanted)
    if least is not None and not fits:
        raise UserError(
            f"a budget of {spoken(budget)} fits nothing",
            expected=f"{spoken(least)} at least: that is what the first evaluation is estimated to take",
            do="give it more, or ask for fewer steps",
        )
    return frozenset(costs.keys() - kept)


def seconds_of(budget: str | float) -> float:
    """``2h``, ``1h30m``, ``90`` (seconds). Raises ``UserError`` for what is no time."""
    if isinstance(budget, str):
        text = budget.strip().lower()
        parts = _PART.findall(text)
        if parts and not _PART.sub("", text).strip():
            found = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        else:
            found = float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else 0.0
    else:
        found = float(budget)
    if not 0 < found < float("inf"):
        raise UserError(f"{budget!r} is no budget", expected="a time above 0, such as 2h, 1h30m or 90s")
    return found


def spoken(seconds: float) -> str:
    """A time for people: ``4.2 s``, ``3 min``, ``2.5 h``."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
