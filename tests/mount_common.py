"""What the tests of mounting share: trained-looking modules on a tiny backbone."""

from __future__ import annotations

import torch
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.packing import pack
from xadapt.mount import Element, Mounted, Part, mount
from xadapt.stacks.methods import Method

BATCH = pack([[0, 5, 6, 7, 2], [0, 9, 2]])


def trained(backbone: Backbone, method: Method, seed: int = 0) -> dict[str, Tensor]:
    """A module's weights after something like training."""
    weights = mount(backbone, [Part("new", method, None)], seed=(seed,)).weights()
    generator = torch.Generator().manual_seed(seed)
    return {k: w + torch.randn(w.shape, generator=generator) * 0.1 for k, w in weights.items()}


def module(backbone: Backbone, method: Method, seed: int, scaling: float | None = None) -> Part:
    """A module with such weights."""
    return Part(f"module {seed}", method, trained(backbone, method, seed), scaling)


def run(mounted: Mounted) -> Tensor:
    """(T, H) of the batch."""
    with torch.no_grad():
        return mounted.encode(BATCH)


def outputs(backbone: Backbone, *elements: Element, fold: bool | str = False) -> Tensor:
    """(T, H) under a stack."""
    return run(mount(backbone, elements, fold=fold))  # type: ignore[arg-type]
