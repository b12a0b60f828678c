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
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from xadapt.backbone.packing import budgeted
from xadapt.common.errors import UserError
from xadapt.common.randomness import generator, seeded
from xadapt.common.tensors import load_checkpoint, save_checkpoint
from xadapt.kinds.kind import Item, Kind
from xadapt.mount import Mounted
from xadapt.mount import lora_fusion as mixture
from xadapt.train.batches import BATCH_TOKENS, Batch, ahead, read
from xadapt.train.evaluate import Encoded, evaluate
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


@dataclass(frozen=True)
class TaskInputs:
    """A task that a module is trained on, ready for the loop.

    Attributes:
        name: the task's; tells weights and scores apart where there are several.
        kind, head: the task's own.
        items: the encoded training set.
        dev: English dev, for early stopping by ``metric``.
    """

    name: str
    kind: Kind
    head: nn.Module
    items: Sequence[Item]
    dev: Encoded
    metric: str


class Prepared(NamedTuple):
    """The items of one step, ready for the device.

    Attributes:
        task: which of the module's.
        units: how many terms the loss of the step has, in all processes together.
        batches: this process's items, batch by batch.
    """

    task: int
    units: int
    batches: list[Batch]


class Optimisation:
    """One optimiser step at a time on ``mounted.trainable`` and the heads, and on nothing else.

    Attributes:
        parameters: what is trained, by name: ``module/...`` and ``head/...``, or of several tasks
            ``head/<task>/...``.
        optimizer: fused AdamW on exactly these.
    """

    def __init__(
        self,
        mounted: Mounted,
        tasks: Sequence[TaskInputs],
        settings: Settings,
        seed: int,
        team: Alone | None = None,
    ) -> None:
        self.team = team or Alone(mounted.device)
        self.accelerator = self.team.accelerator
        self.mounted, self.tasks = mounted, tasks
        self.settings, self.seed = settings, seed
        self.parameters = {f"module/{k}": p for k, p in mounted.trainable.items()}
        for task in tasks:
            task.head.to(mounted.device)
            prefix = f"head/{task.name}/" if len(tasks) > 1 else "head/"
            self.parameters |= {f"{prefix}{k}": p for k, p in task.head.named_parameters()}
        self.optimizer = self.accelerator.prepare(_adamw(self.parameters, settings))

    def step(
        self,
        step: int,
        total: int,
        chosen: Sequence[Item],
        *,
        task: int = 0,
        batch_tokens: int = BATCH_TOKENS,
    ) -> float:
        """Step number ``step`` of ``total`` on items of one task, the same in all processes; returns the mean
        loss before it.

        Raises:
            UserError: the loss is not finite.
        """
        return self.take(step, total, self.prepare(step, chosen, task=task, batch_tokens=batch_tokens))

    def prepare(
        self, step: int, chosen: Sequence[Item], *, task: int = 0, batch_tokens: int = BATCH_TOKENS
    ) -> Prepared:
        """What ``take`` needs of the items of a step. It depends on no weights: it can be made ahead."""
        kind = self.tasks[task].kind
        chosen = kind.draw(chosen, self.seed, "draw", step)
        own = self.team.share(chosen)
        parts = [[own[i] for i in run] for run in budgeted([len(item) for item in own], batch_tokens)]
        return Prepared(
            task, max(1, kind.units(chosen)), [read(kind, part, self.mounted.device) for part in parts]
        )

    def take(self, step: int, total: int, prepared: Prepared) -> float:
        """``step``, of what was prepared."""
        kind, head = self.tasks[prepared.task].kind, self.tasks[prepared.task].head
        self.mounted.train()
        head.train()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * _rate(step, total, self.settings.warmup)
        # Summed on the device: it is waited for once a step.
        sum_ = torch.zeros((), dtype=torch.float64, device=self.mounted.device)
        with seeded(self.seed, "step", step, *self.team.draws):
            for items, batch, rows, done in prepared.batches:
                hidden = self.mounted.encode(batch, rows=rows, done=done)
                loss = kind.loss(head, hidden, batch, items) / prepared.units
                self.accelerator.backward(loss)
                sum_ += loss.detach()
            penalty = None if self.team.rank else self.mounted.penalty()  # once, not in each process
            if penalty is not None:
                self.accelerator.backward(penalty)
        mean = self.team.summed(sum_.item(), self.parameters.values())
        if not math.isfinite(mean):
            raise UserError(f"the loss is {mean} at step {step}", do="lower the learning rate with --lr")
        self.accelerator.clip_grad_norm_(self.parameters.values(), self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return mean

    def look(self) -> dict[str, float]:
        """The score of each task on English dev, 0 to 100, by its name."""
        return {
            task.name: evaluate(self.mounted, task.head, task.kind, *task.dev)[task.metric]
            for task in self.tasks
        }

    def copy(self) -> dict[str, Tensor]:
        """What is trained as it is now, on the CPU."""
        return {k: p.detach().cpu().clone() for k, p in self.parameters.items()}

    def state(self) -> dict[str, Tensor]:
        """All that a run needs to go on: ``now/<name>`` and the optimiser's ``<part>/<name>``."""
        tensors = {f"now/{k}": p.detach() for k, p in self.parameters.items()}
        for key, parameter in self.parameters.items():
            tensors |= {f"{part}/{key}": value for part, value in self.optimizer.state[parameter].items()}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on where ``state`` was taken."""
        for key, parameter in self.parameters.items():
            with torch.no_grad():
                parameter.copy_(tensors[f"now/{key}"])
            self.optimizer.state[parameter] = {
                part: tensors[f"{part}/{key}"].to(parameter.device)
                for part in ("step", "exp_avg", "exp_avg_sq")
            }


def train(
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
) -> Trained:
    """Train a fresh module and its heads until English dev stops getting better.

    Several processes call it with the same arguments. The first of them looks at dev, ticks and writes.

    Args:
        tasks: one, or several, which then share the module; dev is the mean over them.
        order: which task each step takes; needed for several, and as long as the run.
        checkpoint: a file to resume from and to write to; None for neither.
        checkpoint_seconds: seconds between two checkpoints; longer where one costs much.
        batch_tokens: tokens in one micro-batch; bounds memory.
        tick: called after each step and each look.
        saving: called with what writes a checkpoint; for callers that can make room on a full disk.
        team: the processes that take part; None for this one alone.

    Raises:
        UserError: nothing to train on, a loss that is not finite, more processes than ``team`` knows of.
    """
    if empty := [task.name for task in tasks if not task.items]:
        raise UserError(
            f"there is nothing to train on for {', '.join(empty)}",
            do="check the training file and the size in the expression",
        )
    team = team or Alone(mounted.device)
    run = Optimisation(mounted, tasks, settings, seed, team)
    total = settings.steps(len(tasks[0].items)) if order is None else len(order.tasks)
    order = order or schedule(total, np.ones(1), seed)
    look_every = max(1, math.ceil(total / settings.looks))
    several = len(tasks) > 1
    shuffles = [Shuffles(len(task.items), seed, task.name if several else None) for task in tasks]

    progress, best = Progress(), run.copy()
    found = team.together(lambda: None if checkpoint is None else load_checkpoint(checkpoint))
    if found is not None:
        tensors, meta = found
        run.restore(tensors)
        progress = Progress(**json.loads(meta["progress"]))
        best = {key: tensors[f"best/{key}"] for key in best}
    resumed_at = progress.step
    began, last_write, write_cost = time.monotonic() - progress.seconds, time.monotonic(), 0.0

    def keep() -> None:
        """Write a checkpoint where one is due."""
        nonlocal last_write, write_cost
        due = checkpoint_seconds * max(1.0, CHECKPOINT_COST * write_cost / CHECKPOINT_SECONDS)
        if checkpoint is not None and time.monotonic() - last_write >= due:
            last_write = time.monotonic()
            saving(partial(_save, checkpoint, run, progress, best))
            write_cost = time.monotonic() - last_write

    def prepared(step: int) -> Prepared:
        which, turn = int(order.tasks[step]), int(order.turns[step])
        chosen = [tasks[which].items[i] for i in shuffles[which].batch(turn, settings.batch_size)]
        return run.prepare(step, chosen, task=which, batch_tokens=batch_tokens)

    tick, look, write = team.led(tick), team.led(run.look), team.led(keep)
    steps = ahead(prepared, range(progress.step, total), mounted.device)
    while progress.step < total and progress.stale < settings.patience:
        loss = run.take(progress.step, total, next(steps))
        rate = settings.lr * _rate(progress.step, total, settings.warmup)
        progress.step += 1
        tick(progress.step, total, {"loss": loss, "lr": rate})

        if progress.step % look_every == 0 or progress.step == total:
            scores = look()
            score = sum(scores.values()) / len(scores)
            if progress.looked(score, {"loss": loss, **(scores if several else {tasks[0].metric: score})}):
                best = run.copy()
            tick(progress.step, total, {"dev" if several else tasks[0].metric: score})

        progress.seconds = time.monotonic() - began
        write()

    return Trained(
        weights={k.removeprefix("module/"): t for k, t in best.items() if k.startswith("module/")},
        head={k.removeprefix("head/"): t for k, t in best.items() if k.startswith("head/")},
        progress=progress,
        resumed_at=resumed_at,
    )


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


def _rate(step: int, total: int, warmup: float) -> float:
    """Linear up, linear down: the share of the peak rate at a step."""
    rise = max(1, round(total * warmup))
    return (step + 1) / rise if step < rise else max(0.0, (total - step) / max(1, total - rise))


def _adamw(parameters: Mapping[str, nn.Parameter], settings: Settings) -> torch.optim.AdamW:
    """Fused AdamW; decay on matrices, none on biases and norms. Each group has its ``peak`` rate."""
    coefficients = {f"module/{mixture.NAME}"}
    others = [p for name, p in parameters.items() if name not in coefficients]
    groups = [
        {
            "params": [p for p in others if p.ndim > 1],
            "weight_decay": settings.weight_decay,
            "peak": settings.lr,
        },
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0, "peak": settings.lr},
        {
            "params": [p for name, p in parameters.items() if name in coefficients],
            "weight_decay": 0.0,
            "peak": mixture.RATE,
        },
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr, eps=1e-8, fused=True)
