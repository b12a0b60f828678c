"""A task that is several put together: its examples, one part after the other, and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from xadapt.data.examples import Example
from xadapt.data.lazy import Joined
from xadapt.tasks.task import Task


def joined(row: Task, load: Callable[[Task], Sequence[Example]]) -> Sequence[Example]:
    """The examples of all of ``row.parts``, in their order."""
    return Joined((part.name, load(part)) for part in row.parts)


def revision_of(revisions: Iterable[str]) -> str:
    """One identifier for the revisions of all parts, in their order: 16 hex digits of SHA-256."""
    return hashlib.sha256("\n".join(revisions).encode()).hexdigest()[:16]
