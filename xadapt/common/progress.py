"""How long work says how far it is; what shows it stands in the report room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

Advance = Callable[..., None]


class Watch(Protocol):
    """What is told of long work: progress bars, or nothing."""

    def stage(self, what: str, total: int | None) -> AbstractContextManager[Advance]:
        """A piece of work of ``total`` steps; the value is called as ``advance(n, **facts)``."""
        ...

    def note(self, text: str) -> None:
        """One line that stays."""
        ...


@dataclass(frozen=True)
class Training:
    """What a record of a training begins with; ``determinants`` is what its module's address is made of."""

    expression: str
    seed: int
    address: str
    determinants: Mapping[str, Any]


@runtime_checkable
class Recorder(Protocol):
    """A watch that keeps records of trainings."""

    def training(self, what: str, total: int | None, about: Training) -> AbstractContextManager[Advance]:
        """In place of ``stage``, for the training of a module. Facts of a step come with it, those of a look
        at dev with ``advance(0, ...)`` after it."""
        ...


def training_stage(
    watch: Watch, what: str, total: int | None, about: Training
) -> AbstractContextManager[Advance]:
    """The stage of a training, with a record where ``watch`` keeps any."""
    if isinstance(watch, Recorder):
        return watch.training(what, total, about)
    return watch.stage(what, total)


class Unwatched:
    """Nothing is shown."""

    def stage(self, what: str, total: int | None) -> AbstractContextManager[Advance]:
        return nullcontext(lambda n=1, **facts: None)

    def note(self, text: str) -> None:
        return None
