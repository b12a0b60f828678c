"""What is told of units as they come: to a table that fills, or line by line."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from xadapt.common.progress import Watch
from xadapt.grid.cost import Cost
from xadapt.grid.forecast import spoken
from xadapt.grid.work import Outcome, Unit


@dataclass(frozen=True)
class Arrival:
    """One unit is done.

    Attributes:
        done, of: units, those that the store held not among them.
        left: seconds until all are done, as far as one can tell; None where one cannot.
    """

    outcome: Outcome
    done: int
    of: int
    left: float | None


Tell = Callable[[Arrival], None]


@runtime_checkable
class Filling(Protocol):
    """A watch that shows more of units than a line each."""

    def filling(self, found: Sequence[Outcome]) -> AbstractContextManager[Tell]:
        """For the time of a grid's run; ``found`` is what the store held."""
        ...


@contextmanager
def telling(
    watch: Watch | None, found: Sequence[Outcome], units: Sequence[Unit], costs: Mapping[str, Cost]
) -> Iterator[Callable[[Outcome], None]]:
    """Within the block, what takes each outcome of ``units`` and tells ``watch`` of it.

    Args:
        found: what the store held.
        costs: of units, by key; where there are none, a unit is taken to last as long as others did.
    """
    with watch.filling(found) if isinstance(watch, Filling) else _lines(watch) as tell:
        began, noted = time.monotonic(), set[str]()
        left = {unit.key: unit for unit in units}
        done: list[Outcome] = []

        def take(outcome: Outcome) -> None:
            done.append(outcome)
            del left[outcome.unit.key]
            for note in outcome.notes:
                if watch is not None and note not in noted:
                    noted.add(note)
                    watch.note(note)
            spent = time.monotonic() - began
            share = _share(done, list(left.values()), costs)
            tell(Arrival(outcome, len(done), len(units), share and spent * (1 - share) / share))

        yield take


def _share(done: Sequence[Outcome], left: Sequence[Unit], costs: Mapping[str, Cost]) -> float | None:
    """How much of the work is done, as far as one can tell."""
    if all(unit.key in costs for unit in (*left, *(outcome.unit for outcome in done))):
        part = sum(costs[outcome.unit.key].seconds for outcome in done)
        whole = part + sum(costs[unit.key].seconds for unit in left)
    else:
        part = sum(outcome.seconds for outcome in done)
        means = {
            training: statistics.mean(took)
            for training in (True, False)
            if (took := [o.seconds for o in done if (o.unit.module is not None) == training])
        }
        if not means:
            return None
        other = statistics.mean(means.values())
        whole = part + sum(means.get(unit.module is not None, other) for unit in left)
    return part / whole if part else None


@contextmanager
def _lines(watch: Watch | None) -> Iterator[Tell]:
    def tell(arrival: Arrival) -> None:
        if watch is not None:
            watch.note(line_of(arrival))

    yield tell


def line_of(arrival: Arrival) -> str:
    """``[3/40] train mnli (seed 0), 12 s; 4 min left``"""
    outcome = arrival.outcome
    if outcome.failure is not None:
        how = f" FAILED: {outcome.failure.error.splitlines()[0]}"
    else:
        scores = [cell.score for cell in outcome.cells if cell.metric == outcome.cells[0].metric]
        mean = f": mean {sum(scores) / len(scores):.1f} in {len(scores)} languages" if scores else ""
        how = f"{mean}, {spoken(outcome.seconds)}"
    left = f"; {spoken(arrival.left)} left" if arrival.left is not None and arrival.done < arrival.of else ""
    return f"[{arrival.done}/{arrival.of}] {outcome.unit.shown}{how}{left}"
