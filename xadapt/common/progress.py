"""How long work says how far it is; what shows it stands in the report room."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Advance = Callable[..., None]


class Watch(Protocol):
    """What is told of long work: progress bars, or nothing."""

    def stage(self, what: str, total: int | None) -> AbstractContextManager[Advance]:
        """A piece of work of ``total`` steps; the value is called as ``advance(n, **facts)``."""
        ...

    def note(self, text: str) -> None:
        """One line that stays."""
        ...


class Unwatched:
    """Nothing is shown."""

    def stage(self, what: str, total: int | None) -> AbstractContextManager[Advance]:
        return nullcontext(lambda n=1, **facts: None)

    def note(self, text: str) -> None:
        return None
