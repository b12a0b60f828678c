"""Modules to mount that look trained: what is measured does not depend on their values, but a module at its
first weights changes nothing, and is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xadapt import Backbone, Store
from xadapt.mount import Fused, Part, mount
from xadapt.mount.weights import weights_file_of
from xadapt.stacks.methods import Method, parse_method
from xadapt.store.store import Saved, address_of

NINE = 9  # tasks on one input, as the intermediate tasks of XTREME's studies


def parts_of(backbone: Backbone, method: str, count: int) -> list[Part]:
    """``count`` different modules of a method, such as ``lora(layers=top4)``."""
    made = parse_method(method)
    first = mount(backbone, [Part("new", made, None)], seed=("benchmark",)).weights()
    return [Part(f"module {n}", made, moved(first, n)) for n in range(count)]


def fusion_of(backbone: Backbone, parts: list[Part]) -> Fused:
    """A fusion of them that looks trained."""
    fresh = mount(backbone, [Fused("fuse", tuple(parts), None)], seed=("benchmark",))
    return Fused("fuse", tuple(parts), moved(fresh.weights(), len(parts)))


def moved(weights: Mapping[str, Tensor], n: int) -> dict[str, Tensor]:
    """As after training: nothing is where it began."""
    draw = torch.Generator().manual_seed(n)
    return {k: t + torch.randn(t.shape, generator=draw) * 0.02 for k, t in weights.items()}


def stored(
    store: Store, method: Method, weights: Mapping[str, Tensor], head: Mapping[str, Tensor],
    config: Mapping[str, Any], label: str = "",
) -> Saved:  # fmt: skip
    """A module as a run would write it."""
    determinants = {"below": None, "method": str(method), "label": label}
    return store.write(
        address_of(determinants),
        weights=dict(weights),
        head=dict(head),
        config=dict(config),
        manifest={"determinants": determinants},
        weights_file=weights_file_of(method),
    )
