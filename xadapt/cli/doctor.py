"""``xadapt doctor``: what a run would meet on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xadapt.cli.checks import check_store
from xadapt.common.console import print_wrapped

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Doctor:
    """Look at packages, cores, GPU, store, disk and hub, and say what to do; status 1 where nothing can
    run."""

    store: Path = Path(".xadapt")
    """where modules and scores are kept"""


def doctor(options: Doctor, console: Console) -> bool:
    """Print each check as it is made; whether all that is needed is there."""
    check_store(options.store)

    from xadapt.study.doctor import checks

    well = True
    for check in checks(options.store):
        sign = "!!" if check.broken else " !" if check.do else "ok"
        print_wrapped(console, f"{sign}  {check.subject}: {check.found}", 6)
        if check.do:
            print_wrapped(console, f"      do: {check.do}", 10)
        well &= not check.broken
    return well
