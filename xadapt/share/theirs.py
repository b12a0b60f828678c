"""What was read from another library's folder, before it is a module of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from xadapt.methods import Method


@dataclass(frozen=True)
class Theirs:
    """A module of another library.

    Attributes:
        source: ``peft`` or ``adapters``.
        method: as which it can be mounted.
        weights: under the names that the store keeps for ``method``; float32.
        head: under the names of HF's class, or of ``adapters``' (``flex``); empty where it has none.
        labels: what the rows of the head stand for, in order; None where the folder does not say.
        base: what it calls its backbone; None or empty where it does not say.
        flex: the name of the head in ``adapters``' own form; None for HF's.
    """

    source: str
    method: Method
    weights: Mapping[str, Tensor]
    head: Mapping[str, Tensor]
    labels: tuple[str, ...] | None
    base: str | None
    flex: str | None = field(default=None)
