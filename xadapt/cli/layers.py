"""``xadapt layers``: retrieval at every hidden layer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from xadapt.cli.options import Planned
from xadapt.cli.run import Run, execute

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.study.results import Results


@dataclass(frozen=True)
class Layers(Planned):
    """Score retrieval at every hidden layer, in one pass over the data, and show the curve."""

    expressions: tyro.conf.Positional[tuple[str, ...]] = ()
    """what to evaluate, such as "mnli" "squad_v1"; the bare backbone where none is named"""
    task: str = "tatoeba"
    """a retrieval task that trains nothing, such as tatoeba or bucc"""
    langs: str = "all"
    """languages to evaluate in, such as de,ru; all that the data has by default"""
    split: Literal["auto", "dev", "test"] = "auto"
    """what to evaluate on; auto is test where it has real labels, else dev"""
    seeds: str = "0"
    """seeds of the modules, such as 0,1,2"""
    dry_run: bool = False
    """show the plan and stop"""
    json: Path | None = None
    """write the scores of every layer and language to this file as well; with - they go to standard output,
    and the tables to standard error"""


def sweep(options: Layers, console: Console, errors: Console) -> Results | None:
    """``xadapt layers``: the same as ``run`` with each ``--layer`` in turn, in one pass over the data."""
    asked = tuple(
        e if e.split(">")[-1].strip() == options.task else f"{e} > {options.task}"
        for e in options.expressions
    )
    shared = {
        f.name: getattr(options, f.name) for f in fields(options) if f.name not in ("expressions", "task")
    }
    return execute(
        Run(asked or (options.task,), **shared, baselines=False), console, errors, every_layer=True
    )
