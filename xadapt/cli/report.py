"""``xadapt report``: a recorded study as a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from xadapt.cli.checks import check_store
from xadapt.common.console import print_plain

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Report:
    """Write the report of a recorded study: report.html, report.md, cells.csv, findings.csv, figures/."""

    study: tyro.conf.Positional[str] = ""
    """its name, or the beginning of it; without one, what is recorded is listed"""
    out: Path = Path("report")
    """the folder to write into"""
    store: Path = Path(".xadapt")
    """where the study was recorded"""


def report(options: Report, console: Console) -> None:
    """Draw what was recorded; nothing is computed or run."""
    check_store(options.store, reading=True)
    from xadapt.record.record import recorded
    from xadapt.report.page import write_report
    from xadapt.store.store import Store

    store = Store(options.store)
    if options.study:
        page = write_report(recorded(store, options.study), options.out)
        print_plain(console, str(page))
        return
    names = store.reports.names()
    for name in names:
        console.print(f"{name}  {recorded(store, name).question}", markup=False, highlight=False)
    if not names:
        console.print(f"no study is recorded in {options.store}: a recipe records its own when it ends")
