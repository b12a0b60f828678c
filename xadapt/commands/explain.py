"""``xadapt explain``: an expression as a tree, before anything is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from xadapt.commands.opening import opened

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Explain:
    """Draw an expression: what is frozen, trains, is reused; sizes; where each part sits in the layers."""

    expression: tyro.conf.Positional[str]
    """a stack expression, such as "fuse(mnli, squad_v1) > xnli" """
    weights: bool = False
    """also what each fusion has learned, by layer and module (--data tells on which English dev examples)"""
    backbone: str = "pocket"
    """pocket, a hub id such as FacebookAI/xlm-roberta-base, or a folder in HF format"""
    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    intermediate: Path | None = None
    """folder of intermediate tasks; DATA/../intermediate by default"""
    tasks: Path | None = None
    """a TOML file with tasks of your own"""
    method: str = "lora"
    """lora(r=8), bottleneck(reduction=4) or full, where the expression names none"""
    seed: int = 0
    """the seed of every module"""
    store: Path = Path(".xadapt")
    """where modules are kept"""
    lr: float | None = None
    """peak learning rate; by default the method's"""
    epochs: int | None = None
    """passes over the training data; by default the task's"""
    batch_size: int | None = None
    """items an optimiser step; by default the task's"""
    max_steps: int | None = None
    """optimiser steps at most"""
    max_length: int | None = None
    """tokens a sequence; by default the task's"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto takes bf16 where the hardware has it and the width gains from it"""
    threads: int | None = None
    """CPU threads; by default all cores"""


def explain(options: Explain, console: Console) -> None:
    """Plan the expression and draw it; nothing is trained."""
    from xadapt.explain import facts_of, fusion_tables
    from xadapt.tree import Facts, draw

    found = opened(options)
    plan = found.plan([options.expression], options, seeds=[options.seed])
    (evaluation,) = plan.evaluations
    backbone = found.backbone
    base = Facts(
        "frozen",
        sum(p.numel() for p in backbone.model.parameters()),
        sum(p.numel() * p.element_size() for p in backbone.model.parameters()),
    )
    if evaluation.stack is None:
        console.print(
            f"{options.expression}: the bare {backbone.name}, {base.parameters:,} parameters, nothing trains"
        )
        return
    facts = facts_of(plan, found.store, evaluation)
    console.print(draw(evaluation.stack, facts, backbone=backbone.name, base=base, n_layers=backbone.layers))
    if options.weights:
        for table in fusion_tables(plan, found.store, evaluation):
            console.print(table)
