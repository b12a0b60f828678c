"""What an export consists of: a module's head, and all that is mounted for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from torch import Tensor

from xadapt.mount import Element
from xadapt.mount.mount_spec import elements
from xadapt.store.store import Saved, Store


@dataclass(frozen=True)
class Export:
    """A module with all it stands on.

    Attributes:
        top: whose labels are exported.
        elements: as ``mount`` takes them, lowest first; the last is ``top``.
        head: that of ``top``; empty where the encoder goes out alone.
    """

    top: Saved
    elements: tuple[Element, ...]
    head: Mapping[str, Tensor]

    @property
    def shown(self) -> str:
        """How messages name it: its expression, or its address."""
        return str(self.top.manifest.get("expression") or self.top.address)


def export_of(store: Store, address: str, *, head: bool = True) -> Export:
    """The module of ``address`` and all it stands on, with its head or without.

    Raises:
        UserError: a module is missing or unsound.
    """
    load = cache(store.load)  # what several operands stand on is read and proven once
    return Export(load(address), tuple(elements(address, load)), load(address).head if head else {})
