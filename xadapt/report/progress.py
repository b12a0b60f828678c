"""Progress bars with an estimate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xadapt.common.console import wide
from xadapt.common.progress import Advance

# Seconds after which a stage is worth a line where no bar is seen.
LONG = 5.0


class Bars:
    """Progress bars with an estimate, on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or wide(stderr=True)

    @contextmanager
    def stage(self, what: str, total: int | None) -> Iterator[Advance]:
        """A bar that goes when its work is done; where nobody watches, a line at the end."""
        if not self.console.is_terminal:
            began = time.monotonic()
            yield lambda n=1, **facts: None
            if time.monotonic() - began > LONG:
                self.note(f"{what}: {time.monotonic() - began:.1f} s")
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
            bar = progress.add_task(what, total=total, facts="")

            def advance(n: int = 1, **facts: float) -> None:
                if facts:
                    progress.update(bar, facts=" ".join(f"{k} {v:.3g}" for k, v in facts.items()))
                progress.advance(bar, n)

            yield advance

    def note(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, style="dim", highlight=False, markup=False)
