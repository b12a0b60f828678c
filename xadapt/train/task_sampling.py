"""How one module learns several tasks: which task each step takes, and which of its items.

Tasks are drawn in proportion to ``min(examples, cap) ** (1 / temperature)``: examples-proportional mixing
with an artificial limit (Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 3.5.2), and its
softer form for temperatures above 1 (mBERT's, T5's). A step holds items of one task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xadapt.common.randomness import generator


def shares(sizes: Sequence[int], cap: int, temperature: float) -> np.ndarray:
    """(tasks,) how likely each task is."""
    weights = np.minimum(np.asarray(sizes, dtype=np.float64), cap) ** (1 / temperature)
    return weights / weights.sum()


@dataclass(frozen=True)
class Schedule:
    """What every step takes, known from the start, so that a resumed run takes the same.

    Attributes:
        tasks: (steps,) the index of each step's task.
        turns: (steps,) how many steps before it took that task.
    """

    tasks: np.ndarray
    turns: np.ndarray

    def counts(self, tasks: int) -> list[int]:
        """(tasks,) how many steps each takes."""
        return np.bincount(self.tasks, minlength=tasks).tolist()


def schedule(steps: int, chances: np.ndarray, seed: int) -> Schedule:
    """The order of the tasks, drawn from ``chances``; of one task there is nothing to draw.

    Args:
        steps: optimiser steps.
        chances: (tasks,) as ``shares`` gives them.
    """
    tasks = np.zeros(steps, dtype=np.int64)
    if len(chances) > 1:
        tasks = generator(seed, "mixture").choice(len(chances), size=steps, p=chances)
    turns = np.zeros(steps, dtype=np.int64)
    for task in range(len(chances)):
        own = tasks == task
        turns[own] = np.arange(own.sum())
    return Schedule(tasks, turns)
