"""Items as batches on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from xadapt.backbone.packing import Packed, pack
from xadapt.kinds.kind import Item, Kind

# Tokens in one forward pass: bounds memory, changes no result.
BATCH_TOKENS = 16_384

T = TypeVar("T")


class Batch(NamedTuple):
    """Items on the device.

    Attributes:
        packed: their sequences.
        rows: which tokens of these their kind reads; None for all.
        done: after how many layers their states are known, and these (T, H); None where they are not.
    """

    items: Sequence[Item]
    packed: Packed
    rows: Tensor | None
    done: tuple[int, Tensor] | None


def read(kind: Kind, items: Sequence[Item], device: torch.device) -> Batch:
    """Items of one kind as a batch on ``device``."""
    packed = pack([sequence for item in items for sequence in item.sequences])
    rows = kind.reads(packed, items)
    done = _states(items, packed)
    pinned = device.type == "cuda"  # from there a copy waits for nothing

    def moved(tensor: Tensor) -> Tensor:
        return (tensor.pin_memory() if pinned else tensor).to(device, non_blocking=True)

    return Batch(
        items,
        packed.each(moved),
        None if rows is None else moved(rows),
        None if done is None else (done[0], moved(done[1])),
    )


def _states(items: Sequence[Item], packed: Packed) -> tuple[int, Tensor] | None:
    """What is known of the items' states, in the order of the packed row."""
    known = [item.hidden for item in items if item.hidden is not None]
    if len(known) < len(items):
        return None
    first = known[0]
    row = np.empty((len(packed.input_ids), first.states.shape[1]), dtype=first.states.dtype)
    firsts, lengths = packed.starts.tolist(), packed.lengths.tolist()
    sequence = 0
    for item, hidden in zip(items, known, strict=True):
        at = 0
        for _ in item.sequences:
            begin, length = firsts[sequence], lengths[sequence]
            row[begin : begin + length] = hidden.states[at : at + length]
            at, sequence = at + length, sequence + 1
    states = torch.from_numpy(row)
    return first.depth, states.view(torch.bfloat16) if states.dtype == torch.uint16 else states


def ahead(make: Callable[[int], T], steps: Iterable[int], device: torch.device) -> Iterator[T]:
    """``make`` of each step. For a GPU it is made while the step before is computed there; on the CPU, whose
    cores are busy with that step, when it is asked for."""
    if device.type != "cuda":
        yield from map(make, steps)
        return
    with ThreadPoolExecutor(1) as worker:
        waiting = None
        for step in steps:
            following = worker.submit(make, step)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
