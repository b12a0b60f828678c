"""``xadapt tasks``: the catalogue, and what helps to write a task of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from xadapt.common.console import print_plain, print_wrapped

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Ls:
    """List every task: what it asks, its languages, where it can come from."""


@dataclass(frozen=True)
class Show:
    """Print a task as TOML, to start a file of one's own from."""

    name: tyro.conf.Positional[str]
    """such as xnli"""


@dataclass(frozen=True)
class Check:
    """Read a file of tasks of one's own and the data that it names, and show what the model would see."""

    file: tyro.conf.Positional[Path]
    """a TOML file, as --tasks takes it"""
    examples: int = 3
    """how many to show of each task"""
    backbone: str = "pocket"
    """whose tokenizer cuts the texts"""


@dataclass(frozen=True)
class Readers:
    """List the readers that a file of tasks can name, with their options."""


Action = (
    Annotated[Ls, tyro.conf.subcommand("ls")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Readers, tyro.conf.subcommand("readers")]
)


@dataclass(frozen=True)
class Tasks:
    """Show the catalogue: every task, what it asks, its languages, where it can come from."""

    action: Action = field(default_factory=Ls)
    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    intermediate: Path | None = None
    """folder of intermediate tasks; DATA/../intermediate by default"""
    tasks: Path | None = None
    """a TOML file with tasks of your own"""


def show_tasks(options: Tasks, console: Console) -> None:
    """Do what the action says."""
    from xadapt.data.sources import open_source
    from xadapt.data.user_tasks import catalogue_with

    match options.action:
        case Ls():
            from xadapt.report.task_table import tasks_table

            catalogue = catalogue_with(options.tasks)
            console.print(tasks_table(open_source(options.data, options.intermediate, catalogue), catalogue))
        case Show(name):
            from xadapt.data.task_toml import as_toml
            from xadapt.tasks import task_named

            print_plain(console, as_toml(task_named(name, catalogue_with(options.tasks))).rstrip())
        case Readers():
            from xadapt.data.task_toml import reader_lines

            for name, kind, choices, about in reader_lines():
                print_wrapped(console, f"{name} ({kind})" + (f": {choices}" if choices else ""), 4)
                print_wrapped(console, f"    {about}", 4)
        case Check(file, examples, backbone):
            from xadapt.study.task_check import checked

            for line in checked(file, examples, backbone):
                print_plain(console, line)
