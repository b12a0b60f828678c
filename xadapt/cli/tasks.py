"""``xadapt tasks``: the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Tasks:
    """Show the catalogue: every task, what it asks, its languages, where it can come from."""

    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    intermediate: Path | None = None
    """folder of intermediate tasks; DATA/../intermediate by default"""
    tasks: Path | None = None
    """a TOML file with tasks of your own"""


def show_tasks(options: Tasks, console: Console) -> None:
    """Every task, and which sources have it."""
    from xadapt.data.sources import open_source
    from xadapt.data.user_tasks import catalogue_with
    from xadapt.report.task_table import tasks_table

    catalogue = catalogue_with(options.tasks)
    console.print(tasks_table(open_source(options.data, options.intermediate, catalogue), catalogue))
