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
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from xadapt.backbone.packing import budgeted, pack
from xadapt.common.errors import UserError
from xadapt.common.randomness import generator, seeded
from xadapt.common.tensors import load_checkpoint, save_checkpoint
from xadapt.kinds.kind import Item, Kind
from xadapt.mount import Mounted
from xadapt.mount import lora_fusion as mixture
from xadapt.tasks.examples import Example
from xadapt.train.evaluate import BATCH_TOKENS, evaluate
from xadapt.train.task_sampling import Schedule, schedule

# Seconds between two checkpoints, and how many times its own cost one must earn first.
CHECKPOINT_SECONDS = 30.0
CHECKPOINT_COST = 20.0


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


@dataclass
class Progress:
    """Where a run stands; what a checkpoint holds beside tensors."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    stale: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Trained:
    """A finished run: the weights of its best look at English dev."""

    weights: dict[str, Tensor]
    head: dict[str, Tensor]
    progress: Progress
    resumed_at: int


Tick = Callable[[int, int, dict[str, float]], None]
Saving = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class TaskInputs:
    """One task as the loop takes it.

    Attributes:
        name: the task's, where there are several.
        kind, head: its own.
        items: the encoded training set.
        dev: English dev examples and their items, for early stopping by ``metric``.
    """

    name: str
    kind: Kind
    head: nn.Module
    items: Sequence[Item]
    dev: tuple[Sequence[Example], Sequence[Item]]
    metric: str


class Optimisation:
    """One optimiser step at a time on ``mounted.trainable`` and the heads, and on nothing else.

    Attributes:
        parameters: what is trained, by name: ``module/...`` and ``head/...``, or of several tasks
            ``head/<task>/...``.
        optimizer: fused AdamW on exactly these.
    """

    def __init__(self, mounted: Mounted, tasks: Sequence[TaskInputs], settings: Settings, seed: int) -> None:
        self.accelerator = Accelerator(cpu=mounted.device.type == "cpu")
        if self.accelerator.num_processes > 1:
            raise UserError(
                f"training was started in {self.accelerator.num_processes} processes",
                expected="one process a run",
                do="start xadapt without a launcher; give each GPU its own seeds or expressions",
            )
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
        """Step number ``step`` of ``total`` on ``chosen``, of one task; returns the mean loss before it.

        Raises:
            UserError: the loss is not finite.
        """
        kind, head = self.tasks[task].kind, self.tasks[task].head
        self.mounted.model.train()
        head.train()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * _schedule(step, total, self.settings.warmup)
        chosen = kind.draw(chosen, self.seed, "draw", step)
        units = max(1, kind.units(chosen))
        mean = 0.0
        with seeded(self.seed, "step", step):
            for run in budgeted([len(item) for item in chosen], batch_tokens):
                part = [chosen[i] for i in run]
                batch = pack([s for item in part for s in item.sequences]).to(self.mounted.device)
                loss = kind.loss(head, self.mounted.encode(batch), batch, part) / units
                self.accelerator.backward(loss)
                mean += loss.item()
            if (penalty := self.mounted.penalty()) is not None:
                self.accelerator.backward(penalty)
        if not math.isfinite(mean):
            raise UserError(f"the loss is {mean} at step {step}", do="lower the learning rate with --lr")
        self.accelerator.clip_grad_norm_(self.parameters.values(), self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return mean

    def look(self) -> dict[str, float]:
        """The score of each task on English dev, by its name."""
        return {
            task.name: evaluate(self.mounted, task.head, task.kind, *task.dev)[task.metric]
            for task in self.tasks
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
) -> Trained:
    """Train a fresh module and its heads until English dev stops getting better.

    Args:
        tasks: one task, or several, which then share the module; dev is the mean over them.
        order: which task each step takes; needed for several, and as long as the run.
        checkpoint: a file to resume from and to write to; None for neither.
        checkpoint_seconds: seconds between two checkpoints; longer where one costs much.
        batch_tokens: tokens in one micro-batch; bounds memory.
        tick: called after each step with step, total and loss or dev score.
        saving: called with what writes a checkpoint; for callers that can make room on a full disk.

    Raises:
        UserError: nothing to train on, more than one process, a loss that is not finite.
    """
    if empty := [task.name for task in tasks if not task.items]:
        raise UserError(
            f"there is nothing to train on for {', '.join(empty)}",
            do="check the training file and the size in the expression",
        )
    work = Optimisation(mounted, tasks, settings, seed)
    total = settings.steps(len(tasks[0].items)) if order is None else len(order.tasks)
    order = order or schedule(total, np.ones(1), seed)
    look_every = max(1, math.ceil(total / settings.looks))
    state, best = Progress(), _copy(work.parameters)
    if checkpoint is not None:
        state, best = _resume(checkpoint, work, state, best)
    resumed_at = state.step
    began, last_write, write_cost = time.monotonic() - state.seconds, time.monotonic(), 0.0
    shuffles = [Shuffles(len(task.items), seed, task.name if len(tasks) > 1 else None) for task in tasks]

    while state.step < total and state.stale < settings.patience:
        which, turn = int(order.tasks[state.step]), int(order.turns[state.step])
        items = tasks[which].items
        chosen = [items[i] for i in shuffles[which].batch(turn, settings.batch_size)]
        loss = work.step(state.step, total, chosen, task=which, batch_tokens=batch_tokens)
        state.step += 1
        tick(state.step, total, {"loss": loss})

        if state.step % look_every == 0 or state.step == total:
            scores = work.look()
            score = sum(scores.values()) / len(scores)
            named = scores if len(tasks) > 1 else {tasks[0].metric: score}
            state.history.append({"step": state.step, "loss": loss, **named})
            if score > state.best:
                state.best, state.best_step, state.stale = score, state.step, 0
                best = _copy(work.parameters)
            else:
                state.stale += 1
            tick(state.step, total, {tasks[0].metric if len(tasks) == 1 else "dev": score})
        state.seconds = time.monotonic() - began
        due = checkpoint_seconds * max(1.0, CHECKPOINT_COST * write_cost / CHECKPOINT_SECONDS)
        if checkpoint is not None and time.monotonic() - last_write >= due:
            last_write = time.monotonic()
            saving(partial(_save, checkpoint, work, state, best))
            write_cost = time.monotonic() - last_write

    return Trained(
        weights={k.removeprefix("module/"): t for k, t in best.items() if k.startswith("module/")},
        head={k.removeprefix("head/"): t for k, t in best.items() if k.startswith("head/")},
        progress=state,
        resumed_at=resumed_at,
    )


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


def _copy(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """A copy on the CPU."""
    return {k: p.detach().cpu().clone() for k, p in parameters.items()}


def _schedule(step: int, total: int, warmup: float) -> float:
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


def _save(path: Path, work: Optimisation, state: Progress, best: Mapping[str, Tensor]) -> None:
    tensors = {f"now/{k}": p.detach() for k, p in work.parameters.items()}
    tensors |= {f"best/{k}": t for k, t in best.items()}
    for key, parameter in work.parameters.items():
        tensors |= {f"{part}/{key}": value for part, value in work.optimizer.state[parameter].items()}
    plain = {k: t.cpu().contiguous() for k, t in tensors.items()}
    save_checkpoint(path, plain, {"progress": json.dumps(asdict(state))})


def _resume(
    path: Path, work: Optimisation, state: Progress, best: dict[str, Tensor]
) -> tuple[Progress, dict[str, Tensor]]:
    """The state in the checkpoint, put in place; what was given where there is none."""
    found = load_checkpoint(path)
    if found is None:
        return state, best
    tensors, meta = found
    for key, parameter in work.parameters.items():
        with torch.no_grad():
            parameter.copy_(tensors[f"now/{key}"])
        work.optimizer.state[parameter] = {
            part: tensors[f"{part}/{key}"].to(parameter.device) for part in ("step", "exp_avg", "exp_avg_sq")
        }
    return Progress(**json.loads(meta["progress"])), {k: tensors[f"best/{k}"] for k in work.parameters}
