"""A task that is several put together: its examples, one part after the other, what identifies them, and a
sample that knows of the parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from xadapt.common.randomness import generator
from xadapt.data.lazy import Joined
from xadapt.tasks.examples import Example
from xadapt.tasks.task import Task

T = TypeVar("T")


def joined(row: Task, load: Callable[[Task], Sequence[Example]]) -> Sequence[Example]:
    """The examples of all of ``row.parts``, in their order."""
    return Joined((part.name, load(part)) for part in row.parts)


def revision_of(revisions: Iterable[str]) -> str:
    """One identifier for the revisions of all parts, in their order: 16 hex digits of SHA-256."""
    return hashlib.sha256("\n".join(revisions).encode()).hexdigest()[:16]


def sampled(examples: Sequence[T], size: int) -> list[T]:
    """So many examples (all, where there are no more), drawn at random from every part, in their own order.

    Each part gives its share of the whole, so that a score on the sample estimates the score on all of it:
    with equal shares a small part would count for more than it has, and by how much would depend on ``size``.
    The draw depends on nothing but the number of examples, so whatever is measured on the same data is
    measured on the same examples, whatever the seed of the study. Only what is drawn is read.
    """
    if size >= len(examples):
        return list(examples)
    sizes = examples.sizes if isinstance(examples, Joined) else [len(examples)]
    chosen: list[int] = []
    begin = 0
    for number, (length, share) in enumerate(zip(sizes, _shares(sizes, size), strict=True)):
        picks = generator("sample", number, length).permutation(length)[:share]
        chosen += [begin + int(i) for i in np.sort(picks)]
        begin += length
    return [examples[i] for i in chosen]


def _shares(sizes: Sequence[int], size: int) -> list[int]:
    """``size`` split in proportion to ``sizes``; what rounding leaves goes to the largest remainders."""
    exact = [size * length / sum(sizes) for length in sizes]
    shares = [int(share) for share in exact]
    largest = sorted(range(len(sizes)), key=lambda k: shares[k] - exact[k])
    for k in largest[: size - sum(shares)]:
        shares[k] += 1
    return shares
