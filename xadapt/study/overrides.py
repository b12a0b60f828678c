"""What the user sets in place of what tasks, methods and the machine have of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Settings of a study, each stated once: ``Study`` and the options of commands have them from here."""

    tasks: Path | None = None
    """a TOML file with tasks of your own"""
    intermediate: Path | None = None
    """folder of intermediate tasks; DATA/../intermediate by default"""
    lr: float | None = None
    """peak learning rate; by default the method's"""
    epochs: int | None = None
    """passes over the training data; by default the task's"""
    batch_size: int | None = None
    """items an optimiser step; by default the task's"""
    max_steps: int | None = None
    """optimiser steps at most; of a joint, for each of its tasks"""
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
