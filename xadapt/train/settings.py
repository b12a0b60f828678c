"""What a training run is told, beside its data. No torch: plans need it too."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What determines a training run beside its data, module and seed.

    Attributes:
        lr: peak learning rate; coefficients of a mixture have their own (``mount.lora_fusion.RATE``).
        epochs: passes over the items.
        batch_size: items an optimiser step. Memory is bounded apart from it: a step is
            cut into packed micro-batches of ``batch_tokens``.
        max_steps: an upper limit on optimiser steps; None for no other than the epochs.
        warmup: share of the steps in which the rate rises from 0, before it falls to 0.
        weight_decay: AdamW's, on matrices only, and not on a mixture's coefficients.
        clip: the gradient's largest norm.
        looks: how often English dev is looked at in a full run.
        patience: looks without a better score before the run stops.
        dev_examples: how many English dev examples a look takes: the same sample of them every time (jiant
            takes the first 500; data that are joined or written article by article are not alike throughout).
        max_length: tokens a sequence.
    """

    lr: float
    epochs: int
    batch_size: int
    max_steps: int | None = None
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    looks: int = 10
    patience: int = 5
    dev_examples: int = 500
    max_length: int = 128

    def steps(self, items: int) -> int:
        """Optimiser steps of a run that is not stopped early."""
        steps = self.epochs * math.ceil(items / self.batch_size)
        return min(steps, self.max_steps) if self.max_steps else steps
