"""What a grid will do, before it does it, and what came of it."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from xadapt.grid.forecast import Forecast, spoken
from xadapt.grid.work import Unit
from xadapt.report.sheet import Column, Sheet
from xadapt.report.tables import print_results
from xadapt.statistics.intervals import needed
from xadapt.study.results import Results

SHOWN = 12  # of what is cut, so many lines


def grid_table(forecast: Forecast) -> Sheet:
    """Counts, what the store has, time and disk; then what a budget leaves out."""
    names = list(dict.fromkeys(unit.backbone for unit in forecast.units))
    heads = ("in all", "in the store", "to do", "estimated time", "on disk")
    known = forecast.from_store
    table = Sheet(
        "",
        *(Column(head, right=True) for head in heads),
        title=f"grid: {', '.join(names)}",
        caption=f"times: {known} modules by like ones in the store, the rest by a probe of this machine; "
        "a training that English dev stops early takes less",
    )
    modules = [unit for unit in forecast.units if unit.module is not None]
    evaluations = [unit for unit in forecast.units if unit.module is None and not unit.repeats]
    for name, units in (("modules", modules), ("evaluations", evaluations)):
        table.add(name, *_counts(forecast, units))
    cost = forecast.cost(forecast.left)
    table.section()
    by = f"{forecast.workers} processes" if forecast.workers > 1 else "one process"
    table.add(f"together, in {by}", "", "", "", spoken(cost.seconds), decimal(cost.bytes))
    cut = [unit for unit in forecast.units if unit.key in forecast.cut]
    if cut:
        table.section()
        over = forecast.cost(cut)
        lost = [unit for unit in cut if unit.module is None]
        what = Text("left out by the budget", "yellow").append(f": {len(lost)} evaluations", "default")
        table.add(what, str(len(cut)), "", "", spoken(over.seconds), decimal(over.bytes))
        for unit in lost[:SHOWN]:
            table.add(f"  {unit.shown}", "", "", "", "", "")
        if len(lost) > SHOWN:
            table.add(f"  and {len(lost) - SHOWN} more", "", "", "", "", "")
    return table


def power_table(results: Results, difference: float) -> Sheet:
    """How many seeds at the present items, or items at the present seeds, would show a gain of ``difference``
    points four times in five, going by the variance of each gain that was seen.

    Raises:
        UserError: a difference of 0.
    """
    table = Sheet(
        *("gain of", "over", "task", "seen", Column("seeds", right=True), Column("or items", right=True)),
        title=f"to show a gain of {difference:g} points with a power of 80%",
        caption="seeds: with the items that there are; items: of the largest test set, with the seeds that "
        "there are; from few seeds the variance is rough, and so is this; with one seed nothing is known of "
        "seeds",
    )
    for finding in results.findings:
        if finding.against:
            one, metric = finding.estimate, f"{finding.task}: {finding.metric}"
            least = needed(one, difference)
            counts = ["none would do" if n is None else f"{n:,}" for n in (least.seeds, least.items)]
            table.add(finding.expr, finding.against, metric, one.text(), *counts)
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
            console.print(Text(f"{backbone}, {method}", "bold underline"))
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
        table = Sheet("what failed", "on", "why", title=f"{len(results.failures)} failures")
        for failure in results.failures:
            table.add(failure.what, failure.backbone, failure.error)
        console.print(table)
