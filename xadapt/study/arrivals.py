"""What is told of units as they come: to a table that fills, or line by line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from xadapt.common.progress import Watch
from xadapt.study.work import Outcome, Unit


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
    watch: Watch | None, found: Sequence[Outcome], units: Sequence[Unit]
) -> Iterator[Callable[[Outcome], None]]:
    """Within the block, what takes each outcome of ``units`` and tells ``watch`` of it."""
    with watch.filling(found) if isinstance(watch, Filling) else _lines(watch) as tell:
        began, done, noted = time.monotonic(), 0, set[str]()

        def take(outcome: Outcome) -> None:
            nonlocal done
            done += 1
            spent = time.monotonic() - began
            left = spent * (len(units) - done) / done
            for note in outcome.notes:
                if watch is not None and note not in noted:
                    noted.add(note)
                    watch.note(note)
            tell(Arrival(outcome, done, len(units), left))

        yield take


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


def spoken(seconds: float) -> str:
    """A time for people: ``4.2 s``, ``3 min``, ``2.5 h``."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
