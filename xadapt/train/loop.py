"""The only training loop: one module and its head, in English, on what is frozen below.

Everything random is named by the seed and the step, so the state of a run is its
weights, its optimiser and its step: a run that is killed and started again gives
the same bits as one that was not (same thread count).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from xadapt.common.errors import UserError
from xadapt.common.randomness import generator
from xadapt.common.tensors import load_checkpoint, save_checkpoint
from xadapt.mount import Mounted
from xadapt.train.batches import BATCH_TOKENS, ahead
from xadapt.train.optimisation import Optimisation, Prepared, TaskInputs, rate
from xadapt.train.parallel import Alone
from xadapt.train.settings import Settings
from xadapt.train.task_sampling import Schedule, schedule

# Seconds between two checkpoints, and how many times its own cost one must earn first.
CHECKPOINT_SECONDS = 30.0
CHECKPOINT_COST = 20.0


@dataclass
class Progress:
    """Where a run stands; what a checkpoint holds beside tensors.

    Attributes:
        step: optimiser steps done.
        best, best_step: the best score on English dev, and after which step it was.
        stale: looks at dev since then.
        seconds: of training, those before it was resumed among them.
        history: for each look the step, the loss and the scores.
    """

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    stale: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def looked(self, score: float, facts: Mapping[str, float]) -> bool:
        """Take a look at dev into account; whether its score is the best so far."""
        self.history.append({"step": self.step, **facts})
        if score > self.best:
            self.best, self.best_step, self.stale = score, self.step, 0
            return True
        self.stale += 1
        return False


@dataclass(frozen=True)
class Trained:
    """A finished run: the weights of its best look at English dev, on the CPU.

    Attributes:
        weights, head: of the module, and of its heads, by name.
        progress: at the end.
        resumed_at: the step of the checkpoint that it went on from; 0 without one.
    """

    weights: dict[str, Tensor]
    head: dict[str, Tensor]
    progress: Progress
    resumed_at: int


Tick = Callable[[int, int, dict[str, float]], None]  # step, total, loss and learning rate or dev score
Saving = Callable[[Callable[[], None]], None]  # is given what writes a checkpoint


class ModuleTraining:
    """The training of a fresh module and its heads until English dev stops getting better, step by step:
    ``trained`` takes its steps alone, ``together.py`` those of several at once.

    Several processes make it with the same arguments. The first of them looks at dev, ticks and writes.

    Args:
        tasks: one, or several, which then share the module; dev is the mean over them.
        order: which task each step takes; needed for several, and as long as the run.
        checkpoint: a file to resume from and to write to; None for neither.
        checkpoint_seconds: seconds between two checkpoints; longer where one costs much.
        batch_tokens: tokens in one micro-batch; bounds memory.
        tick: called after each step and each look.
        saving: called with what writes a checkpoint; for callers that can make room on a full disk.
        team: the processes that take part; None for this one alone.

    Attributes:
        run: what takes the steps.
        total: steps, if nothing stops it before.
        progress: where it stands.

    Raises:
        UserError: nothing to train on, a loss that is not finite, more processes than ``team`` knows of.
    """

    def __init__(
        self,
        mounted: Mounted,
        tasks: Sequence[TaskInputs],
        settings: Settings,
        *,
        seed: int,
        order: Schedule | None = None,
        checkpoint: Path | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        batch_tokens: int = BATCH_TOKENS,
        tick: Tick = lambda step, total, facts: None,
        saving: Saving = lambda save: save(),
        team: Alone | None = None,
    ) -> None:
        if empty := [task.name for task in tasks if not task.items]:
            raise UserError(
                f"there is nothing to train on for {', '.join(empty)}",
                do="check the training file and the size in the expression",
            )
        team = team or Alone(mounted.device)
        self.run = Optimisation(mounted, tasks, settings, seed, team)
        self.total = settings.steps(len(tasks[0].items)) if order is None else len(order.tasks)
        self._order = order or schedule(self.total, np.ones(1), seed)
        self._look_every = max(1, math.ceil(self.total / settings.looks))
        self._several, self._batch_tokens = len(tasks) > 1, batch_tokens
        self._shuffles = [Shuffles(len(t.items), seed, t.name if self._several else None) for t in tasks]
        self._checkpoint, self._checkpoint_seconds, self._saving = checkpoint, checkpoint_seconds, saving

        self.progress, self._best = Progress(), self.run.copy()
        found = team.together(lambda: None if checkpoint is None else load_checkpoint(checkpoint))
        if found is not None:
            tensors, meta = found
            self.run.restore(tensors)
            self.progress = Progress(**json.loads(meta["progress"]))
            self._best = {key: tensors[f"best/{key}"] for key in self._best}
        self._resumed_at = self.progress.step
        self._since = self._last_write = time.monotonic()
        self._write_cost = 0.0
        self._tick, self._look, self._write = team.led(tick), team.led(self.run.look), team.led(self._keep)
        self._steps = ahead(self._prepare, range(self.progress.step, self.total), mounted.device)

    @property
    def goes_on(self) -> bool:
        """Whether a step is left, and dev gets better now and then."""
        return self.progress.step < self.total and self.progress.stale < self.run.settings.patience

    def prepared(self) -> Prepared:
        """The items of the next step; to be asked for once a step."""
        return next(self._steps)

    def took(self, loss: float, share: float = 1.0) -> None:
        """All that follows a step: a look at dev and a checkpoint, where they are due.

        Args:
            loss: the mean loss before it.
            share: the part of the time since the last one that it has taken.
        """
        run, progress, metric = self.run, self.progress, self.run.tasks[0].metric
        now = run.settings.lr * rate(progress.step, self.total, run.settings.warmup)
        progress.step += 1
        self._tick(progress.step, self.total, {"loss": loss, "lr": now})

        if progress.step % self._look_every == 0 or progress.step == self.total:
            scores = self._look()
            score = sum(scores.values()) / len(scores)
            if progress.looked(score, {"loss": loss, **(scores if self._several else {metric: score})}):
                self._best = run.copy()
            self._tick(progress.step, self.total, {"dev" if self._several else metric: score})

        before, self._since = self._since, time.monotonic()
        progress.seconds += share * (self._since - before)
        self._write()

    def finished(self) -> Trained:
        """The weights of the best look."""
        best = self._best
        return Trained(
            weights={k.removeprefix("module/"): t for k, t in best.items() if k.startswith("module/")},
            head={k.removeprefix("head/"): t for k, t in best.items() if k.startswith("head/")},
            progress=self.progress,
            resumed_at=self._resumed_at,
        )

    def _prepare(self, step: int) -> Prepared:
        which, turn = int(self._order.tasks[step]), int(self._order.turns[step])
        items, size = self.run.tasks[which].items, self.run.settings.batch_size
        chosen = [items[i] for i in self._shuffles[which].batch(turn, size)]
        return self.run.prepare(step, chosen, task=which, batch_tokens=self._batch_tokens)

    def _keep(self) -> None:
        """Write a checkpoint where one is due."""
        due = self._checkpoint_seconds * max(1.0, CHECKPOINT_COST * self._write_cost / CHECKPOINT_SECONDS)
        if self._checkpoint is not None and time.monotonic() - self._last_write >= due:
            self._last_write = time.monotonic()
            self._saving(partial(_save, self._checkpoint, self.run, self.progress, self._best))
            self._write_cost = time.monotonic() - self._last_write


def trained(training: ModuleTraining) -> Trained:
    """Take its steps, one after the other, until it is done."""
    while training.goes_on:
        training.took(training.run.take(training.progress.step, training.total, training.prepared()))
    return training.finished()


def _save(path: Path, run: Optimisation, progress: Progress, best: Mapping[str, Tensor]) -> None:
    tensors = run.state() | {f"best/{k}": t for k, t in best.items()}
    plain = {k: t.cpu().contiguous() for k, t in tensors.items()}
    save_checkpoint(path, plain, {"progress": json.dumps(asdict(progress))})


class Shuffles:
    """Batches of ``count`` items; each epoch is a shuffle of its own."""

    def __init__(self, count: int, seed: int, name: str | None) -> None:
        self.count, self.key = count, (seed, "epoch") if name is None else (seed, "epoch", name)
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def batch(self, turn: int, size: int) -> np.ndarray:
        """(up to ``size``,) the items of batch number ``turn``, counted over all epochs."""
        epoch, place = divmod(turn, math.ceil(self.count / size))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, generator(*self.key, epoch).permutation(self.count)
        return self._order[place * size : (place + 1) * size]
