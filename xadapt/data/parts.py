"""A task that is several put together: its examples, one part after the other, and what identifies them."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import overload

from xadapt.data.examples import Example
from xadapt.tasks.task import Task


class Joined(Sequence[Example]):
    """The examples of several rows as one sequence; nothing is copied.

    An id begins with the name of its part, so that each stays unique.

    Args:
        parts: name and examples of each.
    """

    def __init__(self, parts: Iterable[tuple[str, Sequence[Example]]]) -> None:
        self._parts = [(name, examples) for name, examples in parts if len(examples)]
        self._ends = list(accumulate(len(examples) for _, examples in self._parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = index if index >= 0 else index + len(self)
        if not 0 <= at < len(self):
            raise IndexError(index)
        part = bisect_right(self._ends, at)
        name, examples = self._parts[part]
        example = examples[at - (self._ends[part - 1] if part else 0)]
        return replace(example, id=f"{name}-{example.id}")


def joined(row: Task, load: Callable[[Task], Sequence[Example]]) -> Sequence[Example]:
    """The examples of all of ``row.parts``, in their order."""
    return Joined((part.name, load(part)) for part in row.parts)


def revision_of(revisions: Iterable[str]) -> str:
    """One identifier for the revisions of all parts, in their order: 16 hex digits of SHA-256."""
    return hashlib.sha256("\n".join(revisions).encode()).hexdigest()[:16]
