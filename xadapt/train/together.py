"""Several modules trained in one pass over what they share (``mount.together``): each takes its own steps, on
its own items and draws, with its own optimiser, and leaves when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from xadapt.backbone.packing import budgeted
from xadapt.common.errors import UserError
from xadapt.common.randomness import Streams, seeded
from xadapt.mount.together import Share, Together
from xadapt.train.batches import BATCH_TOKENS, Batch
from xadapt.train.loop import ModuleTraining


def train_together(
    trainings: Sequence[ModuleTraining], finished: Callable[[int], None]
) -> dict[int, UserError]:
    """Take the steps of all until each is done. One whose loss is not finite leaves; the others go on.

    Args:
        trainings: of one process, each of one task, on stacks as ``Together`` takes them.
        finished: is called with the number of each that is done, at once.

    Returns:
        what those that failed have failed with, by their numbers.
    """
    together = Together([training.run.mounted for training in trainings])
    failed: dict[int, UserError] = {}
    active: list[int] = []

    def done(i: int) -> None:
        """One that cannot be kept does not take the others along."""
        try:
            finished(i)
        except UserError as error:
            failed[i] = error

    for i, training in enumerate(trainings):
        if training.goes_on:
            active.append(i)
        else:
            done(i)
    while active:
        losses = _gradients(together, trainings, active)
        share = 1 / len(active)
        for i, loss in zip(list(active), losses, strict=True):
            training = trainings[i]
            try:
                training.took(training.run.end(training.progress.step, loss), share)
            except UserError as error:
                failed[i] = error
                active.remove(i)
                continue
            if not training.goes_on:
                active.remove(i)
                done(i)
    return failed


def _gradients(together: Together, trainings: Sequence[ModuleTraining], active: Sequence[int]) -> list[float]:
    """The gradients of the next step of each, and its loss."""
    device = together.stacks[0].device
    prepared = {i: trainings[i].prepared() for i in active}
    for i, items in prepared.items():
        trainings[i].run.begin(trainings[i].progress.step, trainings[i].total, items)
    sums = {i: torch.zeros((), dtype=torch.float64, device=device) for i in active}
    streams = Streams([t.run.draws(t.progress.step) for t in trainings], device)
    with seeded():
        for batches in _passes({i: p.batches for i, p in prepared.items()}):
            shares = [Share(i, batch.packed, batch.rows, batch.done) for i, batch in batches]
            losses = []
            for (i, batch), hidden in zip(batches, together.encode(shares, streams), strict=True):
                with streams.of(i):
                    losses.append(trainings[i].run.loss(hidden, batch, prepared[i]))
                sums[i] += losses[-1].detach()
            trainings[active[0]].run.accelerator.backward(torch.stack(losses).sum())
    return [sum_.item() for sum_ in sums.values()]


def _passes(batches: Mapping[int, Sequence[Batch]]) -> Iterator[list[tuple[int, Batch]]]:
    """Each module's micro-batches in their order, one of each module in a pass, as many as ``BATCH_TOKENS``
    allows: memory does not grow with the number of modules."""
    for number in range(max(map(len, batches.values()))):
        row = [(i, own[number]) for i, own in batches.items() if number < len(own)]
        for run in budgeted([len(batch.packed.input_ids) for _, batch in row], BATCH_TOKENS):
            yield [row[k] for k in run]
