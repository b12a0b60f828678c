"""What a grid will do, before it does it, and what came of it."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from xadapt.grid.forecast import Forecast, spoken
from xadapt.grid.work import Unit
from xadapt.report.tables import print_results
from xadapt.statistics.intervals import needed
from xadapt.study.results import Results

SHOWN = 12  # of what is cut, so many lines


def grid_table(forecast: Forecast) -> Table:
    """Counts, what the store has, time and disk; then what a budget leaves out."""
    names = list(dict.fromkeys(unit.backbone for unit in forecast.units))
    title = escape(f"grid: {', '.join(names)}")
    table = Table("", title=title, title_justify="left")
    for head in ("in all", "in the store", "to do", "estimated time", "on disk"):
        table.add_column(head, justify="right")
    modules = [unit for unit in forecast.units if unit.module is not None]
    evaluations = [unit for unit in forecast.units if unit.module is None and not unit.repeats]
    for name, units in (("modules", modules), ("evaluations", evaluations)):
        table.add_row(name, *_counts(forecast, units))
    cost = forecast.cost(forecast.left)
    table.add_section()
    by = f"{forecast.workers} processes" if forecast.workers > 1 else "one process"
    table.add_row(f"together, in {by}", "", "", "", spoken(cost.seconds), decimal(cost.bytes))
    known = forecast.from_store
    table.caption = (
        f"times: {known} modules by like ones in the store, the rest by a probe of this machine; "
        "a training that English dev stops early takes less"
    )
    cut = [unit for unit in forecast.units if unit.key in forecast.cut]
    if cut:
        table.add_section()
        over = forecast.cost(cut)
        lost = [unit for unit in cut if unit.module is None]
        what = f"[yellow]left out by the budget[/]: {len(lost)} evaluations"
        table.add_row(what, str(len(cut)), "", "", spoken(over.seconds), decimal(over.bytes))
        for unit in lost[:SHOWN]:
            table.add_row(f"  {escape(unit.shown)}", "", "", "", "", "")
        if len(lost) > SHOWN:
            table.add_row(f"  and {len(lost) - SHOWN} more", "", "", "", "", "")
    return table


def power_table(results: Results, difference: float) -> Table:
    """How many seeds at the present items, or items at the present seeds, would show a gain of ``difference``
    points four times in five, going by the variance of each gain that was seen.

    Raises:
        UserError: a difference of 0.
    """
    table = Table(title=f"to show a gain of {difference:g} points with a power of 80%", title_justify="left")
    for head in ("gain of", "over", "task", "seen", "seeds", "or items"):
        table.add_column(head, justify="right" if head in ("seeds", "or items") else "left")
    for finding in results.findings:
        if finding.against:
            one, metric = finding.estimate, f"{finding.task}: {finding.metric}"
            least = needed(one, difference)
            counts = ["none would do" if n is None else f"{n:,}" for n in (least.seeds, least.items)]
            table.add_row(*map(escape, (finding.expr, finding.against, metric, one.text())), *counts)
    table.caption = (
        "seeds: with the items that there are; items: of the largest test set, with the seeds that there "
        "are; from few seeds the variance is rough, and so is this; with one seed nothing is known of seeds"
    )
    return table


def _counts(forecast: Forecast, units: list[Unit]) -> list[str]:
    chosen = {unit.key for unit in units}
    left = [unit for unit in forecast.left if unit.key in chosen]
    held = sum(unit.key in forecast.held for unit in units)
    cost = forecast.cost(left)
    return [str(len(units)), str(held), str(len(left)), spoken(cost.seconds), decimal(cost.bytes)]


def print_grid_results(results: Results, console: Console) -> None:
    """The tables of each backbone and method, then what failed."""
    pairs = list(dict.fromkeys((cell.backbone, cell.method) for cell in results.cells))
    for number, (backbone, method) in enumerate(pairs):
        last = number == len(pairs) - 1
        if len(pairs) > 1:
            console.rule(escape(f"{backbone}, {method}"), align="left")
        own = (backbone, method)
        part = replace(
            results,
            backbone=backbone,
            cells=tuple(c for c in results.cells if (c.backbone, c.method) == own),
            findings=tuple(f for f in results.findings if (f.backbone, f.method) == own),
            modules=results.modules if last else (),
        )
        print_results(part, console)
    if results.failures:
        table = Table(
            "what failed", "on", "why", title_justify="left", title=f"{len(results.failures)} failures"
        )
        for failure in results.failures:
            table.add_row(escape(failure.what), escape(failure.backbone), escape(failure.error))
        console.print(table)
