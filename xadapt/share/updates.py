"""LoRA of any make as xadapt's own: one rank, one scale, whole layers of a block.

An update of a linear is ``scale * up @ down``. Several on one linear are one of the summed rank:
``[u1 u2] @ [d1; d2] = u1 @ d1 + u2 @ d2``. A smaller rank, or none, is filled up with zeros. All of
that is exact; only a scale that differs between linears is multiplied into ``up``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from xadapt.errors import UserError
from xadapt.methods import LoRA

# The linears of a block in HF's names, and the last word that methods know them by.
LINEARS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
QV = frozenset({"attention.self.query", "attention.self.value"})
LARGEST_RANK = 1024
_STORED = re.compile(r"base_model\.model\.encoder\.layer\.(\d+)\.(.+)\.lora_([AB])\.weight")


class Place(NamedTuple):
    """A linear of the encoder."""

    layer: int
    linear: str

    @property
    def path(self) -> str:
        """Its name in a bare encoder."""
        return f"encoder.layer.{self.layer}.{self.linear}"

    @classmethod
    def at(cls, path: str) -> Place:
        """The place of such a name."""
        _, _, layer, linear = path.split(".", 3)
        return cls(int(layer), linear)


@dataclass(frozen=True)
class Update:
    """``scale * up @ down`` is added to a weight (out, in).

    Attributes:
        down: (rank, in); peft's lora_A.
        up: (out, rank); peft's lora_B.
    """

    down: Tensor
    up: Tensor
    scale: float

    def delta(self) -> Tensor:
        """(out, in), float64."""
        return self.scale * (self.up.double() @ self.down.double())


def updates_of(method: LoRA, weights: Mapping[str, Tensor]) -> dict[Place, list[Update]]:
    """What a stored LoRA module adds, by linear."""
    halves: dict[Place, dict[str, Tensor]] = {}
    for key, tensor in weights.items():
        match = _STORED.fullmatch(key)
        if match is None:
            raise UserError(f"{key!r} is not a weight of a LoRA module", expected="peft's names")
        halves.setdefault(Place(int(match[1]), match[2]), {})[match[3]] = tensor
    scale = method.alpha / method.r
    return {place: [Update(half["A"], half["B"], scale)] for place, half in halves.items()}


def as_lora(
    updates: Mapping[Place, Sequence[Update]], shapes: Mapping[Place, tuple[int, int]]
) -> tuple[LoRA, dict[str, Tensor]]:
    """xadapt's method and stored weights that add exactly ``updates``.

    Args:
        updates: of the linears that have any.
        shapes: (out, in) of every linear of the encoder.

    Raises:
        UserError: no updates, or more than rank 1024.
    """
    if not updates:
        raise UserError("no LoRA weights on any layer of the encoder", expected="one at least")
    n_layers = 1 + max(place.layer for place in shapes)
    lowest = min(place.layer for place in updates)
    layers = "all" if lowest == 0 else f"top{n_layers - lowest}"
    targets = "qv" if {place.linear for place in updates} <= QV else "all"
    every = [update for each in updates.values() for update in each]
    rank = max(sum(u.down.shape[0] for u in each) for each in updates.values())
    if rank > LARGEST_RANK:
        raise UserError(
            f"LoRA of rank {rank}",
            expected=f"at most {LARGEST_RANK}",
            do="take modules of a smaller rank, or merge them with rank=N",
        )
    scales = {u.scale for u in every}
    alpha = round(every[0].scale * rank)
    if len(scales) > 1 or alpha / rank != every[0].scale or not 1 <= alpha <= 65536:
        alpha = 2 * rank  # the method's own; what differs from it goes into ``up``
    method = LoRA(r=rank, alpha=alpha, targets=targets, layers=layers)
    weights: dict[str, Tensor] = {}
    for place, (out, width) in sorted(shapes.items()):
        if place.layer < lowest or (targets == "qv" and place.linear not in QV):
            continue
        down, up = torch.zeros(rank, width), torch.zeros(out, rank)
        at = 0
        for update in updates.get(place, ()):
            end = at + update.down.shape[0]
            down[at:end] = update.down
            factor = update.scale * rank / alpha
            up[:, at:end] = update.up if factor == 1 else update.up.double() * factor
            at = end
        weights[f"base_model.model.{place.path}.lora_A.weight"] = down
        weights[f"base_model.model.{place.path}.lora_B.weight"] = up
    return method, weights
