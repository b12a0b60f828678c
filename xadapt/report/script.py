"""What a script needs beside a study: options from the command line, tables, JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import tyro
from rich.console import Console

from xadapt.common.console import one_message, wide
from xadapt.common.output import write_output
from xadapt.report.tables import as_json, plan_table, print_results
from xadapt.study.results import Results
from xadapt.study.study import Study

Options = TypeVar("Options")


def script(main: Callable[[Options], object], options: type[Options]) -> None:
    """Run ``main`` with the options that the command line names; the text of its file is the help.

    Every error that the user can put right ends in one message and status 2, Ctrl-C in 130.
    """
    parsed = tyro.cli(options, description=sys.modules[main.__module__].__doc__)
    with one_message():
        main(parsed)


def show(what: Study | Results | Any, console: Console | None = None) -> None:
    """Print a study's plan, the tables of its results, or anything else that rich prints; wide where the
    output goes to a file."""
    console = console or wide()
    match what:
        case Study():
            console.print(plan_table(what))
        case Results():
            print_results(what, console)
        case _:
            console.print(what)


def write_json(path: Path, content: Results | dict[str, Any]) -> None:
    """Write results, or what JSON can say, whole or not at all. Raises ``UserError`` where it cannot be."""
    write_output(path, as_json(content) if isinstance(content, Results) else content)
