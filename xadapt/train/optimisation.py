"""One optimiser step at a time: gradients of the packed micro-batches, clipped, and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xadapt.backbone.packing import budgeted
from xadapt.common.errors import UserError
from xadapt.common.randomness import seeded
from xadapt.kinds.kind import Item, Kind
from xadapt.mount import Mounted
from xadapt.mount import lora_fusion as mixture
from xadapt.train.batches import BATCH_TOKENS, Batch, read
from xadapt.train.evaluate import Encoded, evaluate
from xadapt.train.parallel import Alone
from xadapt.train.settings import Settings


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
        self.begin(step, total, prepared)
        # Summed on the device: it is waited for once a step.
        sum_ = torch.zeros((), dtype=torch.float64, device=self.mounted.device)
        with seeded(*self.draws(step)):
            for batch in prepared.batches:
                hidden = self.mounted.encode(batch.packed, rows=batch.rows, done=batch.done)
                loss = self.loss(hidden, batch, prepared)
                self.accelerator.backward(loss)
                sum_ += loss.detach()
            penalty = None if self.team.rank else self.mounted.penalty()  # once, not in each process
            if penalty is not None:
                self.accelerator.backward(penalty)
        return self.end(step, sum_.item())

    def draws(self, step: int) -> tuple[object, ...]:
        """What names all that is drawn in a step."""
        return (self.seed, "step", step, *self.team.draws)

    def begin(self, step: int, total: int, prepared: Prepared) -> None:
        """The modes and the learning rate of a step, before its first batch."""
        self.mounted.train()
        self.tasks[prepared.task].head.train()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate(step, total, self.settings.warmup)

    def loss(self, hidden: Tensor, batch: Batch, prepared: Prepared) -> Tensor:
        """A batch's part of the mean loss of its step, (), from its hidden states."""
        task = self.tasks[prepared.task]
        return task.kind.loss(task.head, hidden, batch.packed, batch.items) / prepared.units

    def end(self, step: int, loss: float) -> float:
        """The step itself, once all gradients are there; the mean loss over all processes.

        Raises:
            UserError: the loss is not finite.
        """
        mean = self.team.summed(loss, self.parameters.values())
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


def rate(step: int, total: int, warmup: float) -> float:
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
