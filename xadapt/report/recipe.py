"""What the recipes share: their options, the grid that these describe, and how a recipe ends.

A recipe's text says what it asks: its first paragraph is the question; those that begin with "Literature" and
"Cost" are what others have found, and what running it takes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from xadapt.common.console import wide
from xadapt.grid.grid import Grid
from xadapt.record.figure import Amount, Figure
from xadapt.record.recording import record_of
from xadapt.report.filling import Filling
from xadapt.report.grid_table import grid_table
from xadapt.report.page import check_report, write_report
from xadapt.report.tables import print_results
from xadapt.statistics.estimate import Estimate
from xadapt.study.available import available
from xadapt.study.overrides import Overrides
from xadapt.study.results import Results

# What is quick in every recipe. A look at dev costs as much as several of a quick training's few steps.
QUICK: dict[str, Any] = {"seeds": (0, 1), "items": 60, "looks": 1, "dev_examples": 60}


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(Overrides):
    """The same script serves a real model and real data."""

    backbone: tuple[str, ...] = ("pocket",)
    """pocket, a hub id such as FacebookAI/xlm-roberta-base, or a folder in HF format; several where sizes
    are compared"""
    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    method: str = "lora"
    """lora(r=8), bottleneck(reduction=4) or full"""
    tasks: Path | None = None
    """a TOML file with tasks of your own"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """one run of everything a seed"""
    langs: tuple[str, ...] = ()
    """languages to evaluate in; all that the data has by default"""
    items: int | None = None
    """evaluate on so many items a language, taken evenly from all over them; all by default"""
    store: Path = Path(".xadapt")
    """where modules and scores are kept"""
    out: Path = Path("report")
    """the folder that the report is written to"""
    workers: int = 1
    """processes that share the work"""
    budget: str | None = None
    """leave out what would take longer, such as 2h; what that is is said"""
    quick: bool = False
    """a minute's version: fewer tasks, steps, items and seeds"""
    dry_run: bool = False
    """show what would be done and what it would take, and stop"""

    def quickly(self, **changes: Any) -> Self:
        """If ``--quick`` was given: with few seeds, items and looks and with ``changes``, but for those that
        the command line has set, be it to what they are by default."""
        if not self.quick:
            return self
        changes = QUICK | changes
        defaults = {f.name: f.default for f in fields(self)}
        said = {word.split("=")[0].removeprefix("--").replace("-", "_") for word in sys.argv[1:]}
        free = {k: v for k, v in changes.items() if k not in said and getattr(self, k) == defaults[k]}
        return replace(self, **free)

    def available(self, tasks: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
        """Those of ``tasks`` that the data has, and a note for each that is left out."""
        there, lacking = available(tasks, self.data, intermediate=self.intermediate)
        return there, [f"left out: {task}: {why}" for task, why in lacking.items()]

    def grid(self, expressions: Sequence[str], **more: Any) -> Grid:
        """The grid of ``expressions`` with these options; ``more`` are others of its attributes."""
        settings = {f.name: getattr(self, f.name) for f in fields(Overrides)}
        own = {
            "backbones": self.backbone,
            "methods": (self.method,),
            "data": self.data,
            "seeds": self.seeds,
            "languages": self.langs or None,
            "items": self.items,
            "store": self.store,
        }
        return Grid(expressions, **(settings | own | more))

    def run(self, grid: Grid) -> Results | None:
        """Show what is to be done, and do it; None after a dry run."""
        check_report(self.out)
        filling = Filling()
        filling.console.print(grid_table(grid.forecast(workers=self.workers, budget=self.budget)))
        if self.dry_run:
            return None
        return grid.run(workers=self.workers, watch=filling, budget=self.budget)

    def conclude(
        self,
        grid: Grid,
        results: Results,
        *,
        answer: str,
        figures: Sequence[Figure],
        notes: Sequence[str] = (),
        console: Console | None = None,
    ) -> None:
        """Write report.html, report.md and cells.csv into ``out``, and print the answer as the last line."""
        console = console or wide()
        main = sys.modules["__main__"]
        said = paragraphs(main.__doc__ or "")
        if results.failures:
            notes = [*notes, f"{len(results.failures)} parts failed: see below"]
        record = record_of(
            results,
            self.store,
            name=Path(main.__file__ or "recipe").stem,
            question=said["question"],
            answer=answer,
            literature=[said["Literature"]],
            definition=definition_of(grid),
            figures=figures,
            notes=[*notes, said["Cost"]],
        )
        print_results(results, console)
        write_report(record, self.out)
        console.print(f"report: {self.out / 'report.html'}")
        world = " (pocket world: evidence for nothing about real languages)" if record.pocket else ""
        print(f"answer: {answer}{world}")


def paragraphs(text: str) -> dict[str, str]:
    """Of a recipe's text: ``question``, ``Literature``, ``Cost``, each on a line; empty where it has none."""
    found = {"question": "", "Literature": "", "Cost": ""}
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        line = " ".join(paragraph.split())
        word = line.split(maxsplit=1)[0].rstrip(":") if line else ""
        if number == 0:
            found["question"] = line
        elif word in found:
            found[word] = line
    return found


def definition_of(grid: Grid) -> dict[str, Any]:
    """What was asked for, in plain values."""
    shown = {f.name: getattr(grid, f.name) for f in fields(grid)}
    return {name: _plain(value) for name, value in shown.items() if value not in (None, ())}


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | bool):
        return value
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else str(value)


def shown(estimate: Estimate, *, gain: bool = False) -> Amount:
    """An estimate as an entry of a table: sorted by its value."""
    return Amount(estimate.value, estimate.text(difference=gain))
