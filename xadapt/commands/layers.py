"""``xadapt layers``: retrieval at every hidden layer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from xadapt.commands.run import Run, execute

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.results import Results


@dataclass(frozen=True)
class Layers:
    """Score retrieval at every hidden layer, in one pass over the data, and show the curve."""

    expressions: tyro.conf.Positional[tuple[str, ...]] = ()
    """what to evaluate, such as "mnli" "squad_v1"; the bare backbone where none is named"""
    task: str = "tatoeba"
    """a retrieval task that trains nothing, such as tatoeba or bucc"""
    backbone: str = "pocket"
    """pocket, a hub id such as FacebookAI/xlm-roberta-base, or a folder in HF format"""
    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    intermediate: Path | None = None
    """folder of intermediate tasks; DATA/../intermediate by default"""
    tasks: Path | None = None
    """a TOML file with tasks of your own"""
    method: str = "lora"
    """lora(r=8), bottleneck(reduction=4) or full, where an expression names none"""
    langs: str = "all"
    """languages to evaluate in, such as de,ru; all that the data has by default"""
    split: Literal["auto", "dev", "test"] = "auto"
    """what to evaluate on; auto is test where it has real labels, else dev"""
    seeds: str = "0"
    """seeds of the modules, such as 0,1,2"""
    store: Path = Path(".xadapt")
    """where modules and scores are kept"""
    dry_run: bool = False
    """show the plan and stop"""
    json: Path | None = None
    """write the scores of every layer and language there as well"""
    max_steps: int | None = None
    """optimiser steps at most, where a module is missing and is trained"""
    max_length: int | None = None
    """tokens a sequence; by default the task's"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto takes bf16 where the hardware has it and the width gains from it"""
    threads: int | None = None
    """CPU threads; by default all cores"""


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
