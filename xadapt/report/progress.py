"""Progress bars with an estimate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xadapt.common.console import wide
from xadapt.common.progress import Advance
from xadapt.grid.forecast import spoken

# Where no bar is seen: seconds after which a stage is worth a line at its end, and between lines during it.
LONG, EVERY = 5.0, 30.0


class Bars:
    """Progress bars with an estimate, on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or wide(stderr=True)
        self._shown: Progress | None = None

    @contextmanager
    def stage(self, what: str, total: int | None) -> Iterator[Advance]:
        """A bar that goes when its work is done, below those that are there; where nobody watches, a line
        now and then, and one at the end."""
        if not self.console.is_terminal:
            lines = _Lines(what, total, self.note)
            yield lines.advance
            if time.monotonic() - lines.began > LONG:
                self.note(f"{what}: {time.monotonic() - lines.began:.1f} s")
            return
        if self._shown is not None:
            bar = self._shown.add_task(what, total=total, facts="")
            try:
                yield advancing(self._shown, bar)
            finally:
                self._shown.remove_task(bar)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}", style="dim"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            self._shown = progress
            try:
                yield advancing(progress, progress.add_task(what, total=total, facts=""))
            finally:
                self._shown = None

    def note(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, style="dim", highlight=False, markup=False)


def advancing(progress: Progress, bar: TaskID) -> Advance:
    """What moves a bar on and shows its last facts, in the field ``facts``."""

    def advance(n: int = 1, **facts: float) -> None:
        if facts:
            progress.update(bar, facts=" ".join(f"{k} {v:.3g}" for k, v in facts.items()))
        progress.advance(bar, n)

    return advance


class _Lines:
    """What a log says of a long stage: how far it is, its last facts, how fast it goes, what is left."""

    def __init__(self, what: str, total: int | None, note: Callable[[str], None]) -> None:
        self.what, self.total, self.note = what, total, note
        self.began = self.said = time.monotonic()
        self.done = 0
        self.facts: dict[str, float] = {}

    def advance(self, n: int = 1, **facts: float) -> None:
        self.done += n
        self.facts |= facts
        now = time.monotonic()
        if now - self.said < EVERY or not self.done:
            return
        self.said = now
        rate = self.done / (now - self.began)
        parts = [f"{self.done}/{self.total}" if self.total else f"{self.done}"]
        parts += [f"{name} {value:.3g}" for name, value in self.facts.items()]
        parts.append(f"{rate:.3g}/s")
        if self.total:
            parts.append(f"{spoken(max(0, self.total - self.done) / rate)} left")
        self.note(f"{self.what}: {', '.join(parts)}")
