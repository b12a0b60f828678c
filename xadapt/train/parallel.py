"""One training in several processes, each with a GPU of its own or a share of the cores.

The processes are copies of one command (``common.launch``). All take the same steps on the same weights: a
step's items are divided among them, the gradients summed, so that a run is what it is in one process but for
the order of sums. Where dropout is drawn, each process draws masks of its own.

One process leads: it plans, locks, looks at dev, writes. The others wait for its word, and an error of one
becomes everybody's: nobody waits for who is gone.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import nn

from xadapt.backbone.packing import budgeted
from xadapt.common import launch
from xadapt.common.errors import UserError
from xadapt.common.launch import ElsewhereError
from xadapt.kinds.kind import Item

T = TypeVar("T")
P = ParamSpec("P")

PATIENCE = timedelta(days=7)  # how long the others wait while the first evaluates
AT_ONCE = 2**24  # values of gradients that are summed in one message


class Alone:
    """One process: nobody to agree with. ``Team`` says what each name means for several.

    Attributes:
        rank, count: which process this is, from 0, and of how many.
        draws: what its draws have in their names beside what those of a single process have.
        accelerator: accelerate's view of them.

    Raises:
        UserError: the processes are not what ``common.launch`` says, or share a model.
    """

    rank, count = 0, 1
    draws: tuple[object, ...] = ()

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.accelerator = made = Accelerator(cpu=device.type == "cpu")
        sharded = made.num_processes > 1 and not made.distributed_type.value.startswith("MULTI_")
        if made.num_processes != self.count or sharded:
            raise UserError(
                f"training was started in {made.num_processes} processes ({made.distributed_type.value})",
                expected="processes that each hold the whole model",
                do="start them with: accelerate launch --multi_gpu --num_processes N -m xadapt ...",
            )

    def lead(self, work: Callable[[], T], follow: Callable[[Any], object]) -> T:
        """What ``work`` gives. The first process runs it; the others run ``follow(order)`` for each ``call``
        that is made in it."""
        return work()

    def call(self, order: object) -> None:
        """Have the others run ``follow(order)``."""

    def led(self, work: Callable[P, T]) -> Callable[P, T]:
        """``work``, done by the first process: all get what it gives, or the error that it raises."""
        return work

    def together(self, work: Callable[[], T]) -> T:
        """What ``work`` gives here, when it is done everywhere; an error of one is raised in all."""
        return work()

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part of a step's items: alike in tokens; it may be empty."""
        return items

    def summed(self, loss: float, parameters: Iterable[nn.Parameter]) -> float:
        """The loss summed over all processes, once all have the sum of the gradients."""
        return loss


class Team(Alone):
    """One of several processes. All must make it, in the same order of their work.

    Raises:
        UserError: a device that is not this process's own, or processes of another sort.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.count = launch.rank(), launch.processes()
        super().__init__(device)
        self.draws = (self.rank,) if self.rank else ()
        own = self.accelerator.device
        if device.type == "cuda" and device != own:
            raise UserError(
                f"device {device} in a process whose own is {own}",
                do="leave --device out: each process takes a GPU of its own",
            )
        # Words go over the CPU: waiting for hours keeps no GPU busy and runs into none of its time limits.
        self._words = dist.new_group(backend="gloo", timeout=PATIENCE)

    def lead(self, work: Callable[[], T], follow: Callable[[Any], object]) -> T:
        if not self.rank:
            return self.led(work)()
        while True:
            what, value = self._heard()
            if what != "order":
                return _outcome(what, value)
            with suppress(UserError, ElsewhereError):  # the first process has it too, and may go on
                follow(value)

    def call(self, order: object) -> None:
        self._say("order", order)

    def led(self, work: Callable[P, T]) -> Callable[P, T]:
        def say(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                value = work(*args, **kwargs)
            except Exception as error:
                self._say("failed", _told(error))
                raise
            self._say("done", value)
            return value

        def hear(*_: P.args, **__: P.kwargs) -> T:
            return _outcome(*self._heard())

        return hear if self.rank else say

    def together(self, work: Callable[[], T]) -> T:
        errors: list[Exception | None] = [None] * self.count
        try:
            value = work()
        except Exception as error:
            dist.all_gather_object(errors, _told(error), group=self._words)
            raise
        dist.all_gather_object(errors, None, group=self._words)
        for other in filter(None, errors):
            raise other
        return value

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        return [items[i] for i in divided([len(item) for item in items], self.count)[self.rank]]

    def summed(self, loss: float, parameters: Iterable[nn.Parameter]) -> float:
        # A parameter that no process has a gradient of keeps none: the optimiser leaves it alone.
        trained = list(parameters)
        known = [loss, *(float(p.grad is not None) for p in trained)]
        facts = torch.tensor(known, dtype=torch.float64, device=self.device)
        dist.all_reduce(facts)
        total, *having = facts.tolist()
        used = [p for p, n in zip(trained, having, strict=True) if n]
        for run in budgeted([p.numel() for p in used], AT_ONCE):
            part = [used[i] for i in run]
            for parameter in part:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            grads = [p.grad for p in part if p.grad is not None]
            flat = torch.cat([grad.reshape(-1) for grad in grads])
            dist.all_reduce(flat)
            for grad, values in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
                grad.copy_(values.view_as(grad))
        return total

    def _say(self, what: str, value: object) -> None:
        dist.broadcast_object_list([what, value], src=0, group=self._words)

    def _heard(self) -> tuple[str, Any]:
        message: list[Any] = [None, None]
        try:
            dist.broadcast_object_list(message, src=0, group=self._words)
        except RuntimeError:  # the first process was stopped, and has said why
            sys.exit(1)
        return message[0], message[1]


def divided(tokens: Sequence[int], count: int) -> list[list[int]]:
    """The indices of items, each with one of ``count`` processes: longest first, to whoever has fewest
    tokens; in their order within a process."""
    loads, parts = [0] * count, [list[int]() for _ in range(count)]
    for i in sorted(range(len(tokens)), key=lambda i: -tokens[i]):
        least = loads.index(min(loads))
        loads[least] += tokens[i]
        parts[least].append(i)
    return [sorted(part) for part in parts]


def team_on(device: torch.device) -> Alone:
    """The processes of this command, on whose ``device`` each holds its backbone."""
    return Team(device) if launch.processes() > 1 else Alone(device)


def _outcome(what: str, value: Any) -> Any:
    if what == "failed":
        raise value
    return value


def _told(error: Exception) -> Exception:
    """An error as others can raise it."""
    if isinstance(error, UserError):
        return error
    return ElsewhereError("".join(traceback.format_exception(error)))
