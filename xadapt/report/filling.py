"""A table that fills while a grid runs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from xadapt.common.progress import Advance
from xadapt.grid.arrivals import Arrival, Tell, line_of
from xadapt.grid.forecast import spoken
from xadapt.grid.work import Outcome
from xadapt.report.progress import Bars, advancing
from xadapt.report.sheet import Column, Sheet
from xadapt.study.results import Cell

AROUND = 9  # lines of a screen that are not the table's rows


class Filling(Bars):
    """Bars, and on a terminal a table of the scores so far, on standard error; elsewhere a line a unit."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._screen: _Screen | None = None

    @contextmanager
    def filling(self, found: Sequence[Outcome]) -> Iterator[Tell]:
        """Take arrivals; ``found`` is what the store held. The table goes at the end."""
        if found:
            held = sum(outcome.row is not None for outcome in found)
            self.note(f"in the store: {held} modules, {len(found) - held} evaluations")
        if not self.console.is_terminal:
            yield lambda arrival: self.note(line_of(arrival))
            return
        self._screen = _Screen(self.console, [cell for outcome in found for cell in outcome.cells])
        try:
            with self._screen.live:
                yield self._arrived
        finally:
            self._screen = None

    def _arrived(self, arrival: Arrival) -> None:
        assert self._screen is not None
        if arrival.outcome.failure:
            self.note(line_of(arrival))
        self._screen.arrived(arrival)

    @contextmanager
    def stage(self, what: str, total: int | None) -> Iterator[Advance]:
        """A bar below the table."""
        if self._screen is None:
            with super().stage(what, total) as advance:
                yield advance
        else:
            with self._screen.stage(what, total) as advance:
                yield advance


class _Screen:
    """What stands on the terminal: the table, how far it is, the bar of what is done here."""

    def __init__(self, console: Console, cells: Sequence[Cell]) -> None:
        self._cells, self._height = list(cells), console.height
        self._said = ""
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", style="dim"),
            console=console,
        )
        self.live = Live(self._drawn(), console=console, transient=True, refresh_per_second=4)

    def arrived(self, arrival: Arrival) -> None:
        self._cells += arrival.outcome.cells
        left = "" if arrival.left is None else f", {spoken(arrival.left)} left"
        self._said = f"{arrival.done} of {arrival.of} units{left}"
        self.live.update(self._drawn(), refresh=True)

    @contextmanager
    def stage(self, what: str, total: int | None) -> Iterator[Advance]:
        bar = self._bars.add_task(what, total=total, facts="")
        try:
            yield advancing(self._bars, bar)
        finally:
            self._bars.remove_task(bar)

    def _drawn(self) -> RenderableType:
        rows = max(1, self._height - AROUND)
        return Group(scores_so_far(self._cells, rows), Text(self._said), self._bars)


def scores_so_far(cells: Sequence[Cell], rows: int) -> Sheet:
    """A line an expression and first metric of a task, the newest ``rows``: means over the seeds that are
    there; no intervals, as these are not all."""
    lines: dict[tuple[str, str, str, str, str], list[Cell]] = {}
    metrics: dict[str, str] = {}
    for cell in cells:
        if metrics.setdefault(cell.task, cell.metric) == cell.metric:
            key = (cell.backbone, cell.method, cell.task, cell.metric, cell.expr)
            lines[key] = [*lines.pop(key, []), cell]  # the newest last
    named = [len({key[place] for key in lines}) > 1 for place in (0, 1)]
    shown = list(lines.items())[-rows:]
    title = "so far" if len(shown) == len(lines) else f"so far: the newest {len(shown)} of {len(lines)} lines"
    heads = [name for name, several in zip(("backbone", "method"), named, strict=True) if several]
    numbers = (Column(head, right=True) for head in ("seeds", "en", "others"))
    table = Sheet(*heads, "expression", "task", *numbers, title=title)
    for (backbone, method, task, metric, expr), scores in shown:
        names = [n for n, several in zip((backbone, method), named, strict=True) if several]
        english = [c.score for c in scores if c.lang == "en"]
        others = [c.score for c in scores if c.lang != "en"]
        table.add(
            *(*names, expr, f"{task}: {metric}"),
            str(len({c.seed for c in scores})),
            *(f"{statistics.mean(some):.1f}" if some else "-" for some in (english, others)),
        )
    return table
