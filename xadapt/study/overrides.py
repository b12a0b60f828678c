"""What the user sets in place of what tasks, methods and the machine have of themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xadapt.common.errors import UserError
from xadapt.tasks.task import OwnTasks

# The largest number that an option takes; more threads than a system gives would end the process.
MOST = {
    "lr": 1000.0,
    "epochs": 10**9,
    "batch_size": 10**9,
    "max_steps": 10**9,
    "looks": 10**9,
    "dev_examples": 10**9,
    "max_length": 10**9,
    "threads": max(64, os.cpu_count() or 1),
    "cache_gb": 10**9,
    "together": 10**9,
}


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Settings of a study, each stated once: ``Study`` and the options of commands have them from here."""

    lr: float | None = None
    """peak learning rate; by default the method's"""
    epochs: int | None = None
    """passes over the training data; by default the task's"""
    batch_size: int | None = None
    """items an optimiser step; by default the task's"""
    max_steps: int | None = None
    """optimiser steps at most; of a joint, for each of its tasks"""
    looks: int | None = None
    """how often in a training English dev is looked at, to keep the best weights; 10 times by default"""
    dev_examples: int | None = None
    """English dev examples a look, taken evenly from all over them; 500 by default"""
    max_length: int | None = None
    """tokens a sequence; by default the task's"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto takes bf16 where the hardware has it and the width gains from it"""
    trained_in: Literal["float32", "bfloat16"] | None = None
    """evaluate modules that were trained in this type; by default those of --dtype"""
    threads: int | None = None
    """CPU threads; by default all cores"""
    cache_gb: float | None = None
    """gigabytes of the store for what the layers below all modules make of the data; see 'xadapt explain'"""
    together: int | None = None
    """train up to so many LoRA modules on the same stack in one pass; 1 by default"""
    tasks: OwnTasks | None = None
    """a TOML file with tasks of your own; from Python also rows, and several of both"""
    intermediate: Path | None = None
    """folder of intermediate tasks; DATA/../intermediate by default"""

    def __post_init__(self) -> None:
        """Raises ``UserError`` for the first value that is set and can mean nothing."""
        for name, most in MOST.items():
            value = getattr(self, name)
            kinds = (int, float) if name in ("lr", "cache_gb") else (int,)
            if value is not None and not (type(value) in kinds and 0 < value <= most):  # NaN is not
                option = f"--{name.replace('_', '-')}"
                raise UserError(f"{option} {value}", expected=f"a number above 0, and at most {most:,}")
        if self.device.startswith("gpu"):
            raise UserError(f"device {self.device!r}", expected="auto, cpu, cuda or cuda:1", do="say 'cuda'")
