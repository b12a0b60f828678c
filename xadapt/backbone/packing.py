"""Packed batches: flat tokens with sequence boundaries, no padding.

A batch of N sequences is one row of T tokens. Attention stays within each
sequence and positions restart in each (``attention.py``, ``encoder.py``), so outputs
and gradients equal those of the padded forward (tests/test_packing.py holds them to
HF's within 1e-5).

Sequences of one length lie side by side in the row, so that each group is one
attention call over a view, whatever the order in which the caller names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """N token sequences in one row of T tokens.

    Attributes:
        input_ids: (T,) token ids.
        positions: (T,) index of each token within its sequence, from 0.
        starts: (N,) where sequence i begins in the row; the caller's order.
        lengths: (N,) its length; sequence i is ``row[starts[i] : starts[i] + lengths[i]]``.
        owner: (T,) the sequence i that each token belongs to.
        bounds: (N + 1,) int32: where each sequence begins in the row, in the row's order, and where it ends.
        groups: runs of equal length in the row, from short to long: (first token, sequences, length).
    """

    input_ids: Tensor
    positions: Tensor
    starts: Tensor
    lengths: Tensor
    owner: Tensor
    bounds: Tensor
    groups: tuple[tuple[int, int, int], ...]

    def to(self, device: torch.device | str) -> Packed:
        """The same batch on another device."""
        return self.each(lambda tensor: tensor.to(device, non_blocking=True))

    def each(self, change: Callable[[Tensor], Tensor]) -> Packed:
        """The same batch with each of its tensors changed."""
        changed: dict[str, Any] = {k: change(v) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **changed)

    def __len__(self) -> int:
        return len(self.starts)


def pack(sequences: Sequence[Sequence[int] | np.ndarray]) -> Packed:
    """Lay N non-empty sequences of token ids into one row.

    Raises:
        ValueError: on an empty batch or an empty sequence.
    """
    lengths = np.fromiter((len(s) for s in sequences), dtype=np.int64, count=len(sequences))
    if len(lengths) == 0 or lengths.min() == 0:
        raise ValueError("pack() needs at least one sequence and none of length 0")
    order = np.argsort(lengths, kind="stable")
    laid = lengths[order]
    begins = np.concatenate([[0], np.cumsum(laid)[:-1]])
    starts = np.empty_like(begins)
    starts[order] = begins
    sizes, firsts, counts = np.unique(laid, return_index=True, return_counts=True)
    groups = tuple((int(begins[f]), int(c), int(s)) for s, f, c in zip(sizes, firsts, counts, strict=True))
    owner = np.repeat(order, laid)
    positions = np.arange(len(owner)) - np.repeat(begins, laid)
    ids = np.concatenate([np.asarray(sequences[i], dtype=np.int64) for i in order])
    return Packed(
        input_ids=torch.from_numpy(ids),
        positions=torch.from_numpy(positions),
        starts=torch.from_numpy(starts),
        lengths=torch.from_numpy(lengths),
        owner=torch.from_numpy(owner),
        bounds=torch.from_numpy(np.append(begins, len(owner)).astype(np.int32)),
        groups=groups,
    )


def joined(batches: Sequence[Packed]) -> Packed:
    """Batches on one device as one, one behind the other in its row: each keeps its groups, so that it can be
    told apart, and groups go from short to long only within each."""
    if len(batches) == 1:
        return batches[0]
    tokens = np.cumsum([0, *(len(batch.input_ids) for batch in batches)]).tolist()
    counts = np.cumsum([0, *map(len, batches)]).tolist()
    return Packed(
        input_ids=torch.cat([batch.input_ids for batch in batches]),
        positions=torch.cat([batch.positions for batch in batches]),
        starts=torch.cat([batch.starts + at for batch, at in zip(batches, tokens, strict=False)]),
        lengths=torch.cat([batch.lengths for batch in batches]),
        owner=torch.cat([batch.owner + n for batch, n in zip(batches, counts, strict=False)]),
        bounds=torch.cat(
            [batches[0].bounds[:1], *(b.bounds[1:] + at for b, at in zip(batches, tokens, strict=False))]
        ),
        groups=tuple(
            (first + at, count, length)
            for batch, at in zip(batches, tokens, strict=False)
            for first, count, length in batch.groups
        ),
    )


def budgeted(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Cut 0..len(lengths)-1, in order, into runs of at most ``budget`` tokens.

    An item longer than the budget makes a run of its own.
    """
    run: list[int] = []
    total = 0
    for i, n in enumerate(lengths):
        if run and total + n > budget:
            yield run
            run, total = [], 0
        run.append(i)
        total += n
    if run:
        yield run
