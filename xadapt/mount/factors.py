"""Low-rank updates as plain factors, their scaling folded in.

LoRA adds ``s B A x`` to a linear layer's output (Hu et al. 2021). Here ``down`` is ``A`` and
``up`` is ``s B``, both float32 on the CPU, so that adding, comparing and merging need no scale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xadapt.errors import UserError
from xadapt.methods import LoRA, layer_range
from xadapt.mount.parts import Part

# Which linears a LoRA's option ``targets`` means: the last word of their name.
LINEARS = {"all": "query|key|value|dense", "qv": "query|value"}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")


@dataclass(frozen=True)
class Factors:
    """The update ``up @ down`` of one linear layer.

    Attributes:
        down: (R, in).
        up: (out, R).
        scale: the s in ``up``; of what was merged 1.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0

    @property
    def rank(self) -> int:
        """R; of a merge it may exceed that of the matrix."""
        return self.down.shape[0]

    @property
    def thin(self) -> bool:
        """Whether two products by the factors cost less than one by the matrix."""
        out, width = self.up.shape[0], self.down.shape[1]
        return self.rank * (out + width) < out * width

    def dense(self) -> Tensor:
        """(out, in)"""
        return self.up @ self.down


# By the name of the linear in the bare encoder: encoder.layer.0.attention.self.query
Effect = dict[str, Factors]


def layer_of(linear: str) -> int:
    """The layer that a linear stands in."""
    match = _LAYER.match(linear)
    if match is None:
        raise ValueError(f"{linear} is not a linear of an encoder layer")
    return int(match[1])


def effect_of_lora(part: Part, shapes: Mapping[str, tuple[int, int]]) -> Effect:
    """The factors of a LoRA module's stored weights, named as peft names them.

    Args:
        part: with weights.
        shapes: (out, in) of each linear of the encoder's layers.

    Raises:
        UserError: names missing or too many, or another shape.
    """
    method, weights = part.method, part.weights
    if not isinstance(method, LoRA) or weights is None:
        raise ValueError(f"{part.label!r} is no LoRA module with weights")
    scale = method.alpha / method.r if part.scaling is None else part.scaling
    kept = set(layer_range(method.layers, 1 + max(map(layer_of, shapes))))
    ending = re.compile(rf".*\.({LINEARS[method.targets]})")
    targets = [n for n in shapes if layer_of(n) in kept and ending.fullmatch(n)]
    expected = {
        key: shape
        for n in targets
        for key, shape in zip(_keys(n), ((method.r, shapes[n][1]), (shapes[n][0], method.r)), strict=True)
    }
    wrong = sorted(expected.keys() ^ weights.keys()) or [
        f"{key} with the shape {tuple(weights[key].shape)} for {shape}"
        for key, shape in expected.items()
        if tuple(weights[key].shape) != shape
    ]
    if wrong:
        raise UserError(
            f"module {part.label!r} does not fit this backbone: {len(wrong)} weights, such as {wrong[0]}",
            expected="exactly the weights that its method has on this backbone",
            do="mount it on the backbone that it was trained on",
        )
    plain = {key: weights[key].detach().to("cpu", torch.float32) for key in expected}
    return {n: Factors(plain[_keys(n)[0]], plain[_keys(n)[1]] * scale, scale) for n in targets}


def lora_of(effect: Effect, layers: int) -> tuple[LoRA, dict[str, Tensor]]:
    """The effect as one LoRA module of one rank in all layers and linears, as peft stores it.

    For saving or exporting a merge. What is narrower is filled up with zeros, which changes no
    output.

    Raises:
        UserError: the rank exceeds what a module can have.
    """
    rank = max(f.rank for f in effect.values())
    if rank > 1024:
        raise UserError(f"a merge of rank {rank}", expected="at most 1024", do="merge with rank=N")
    first = min(map(layer_of, effect))
    every = {n.split(".")[-1] for n in effect} <= set(LINEARS["qv"].split("|"))
    method = LoRA(
        r=rank,
        alpha=rank,
        targets="qv" if every else "all",
        layers=f"top{layers - first}" if first else "all",
    )
    shapes = {n.split(".", 3)[3]: (f.up.shape[0], f.down.shape[1]) for n, f in effect.items()}
    weights: dict[str, Tensor] = {}
    for i in range(first, layers):
        for tail, (out, width) in shapes.items():
            down, up = torch.zeros(rank, width), torch.zeros(out, rank)
            factors = effect.get(f"encoder.layer.{i}.{tail}")
            if factors is not None:
                down[: factors.rank], up[:, : factors.rank] = factors.down, factors.up
            a, b = _keys(f"encoder.layer.{i}.{tail}")
            weights[a], weights[b] = down, up
    return method, weights


def from_dense(update: Tensor) -> Factors:
    """(out, in) as factors, exactly: one of them is the identity."""
    out, width = update.shape
    if out < width:
        return Factors(update, torch.eye(out))
    return Factors(torch.eye(width), update)


def concatenated(terms: Sequence[tuple[float, Factors]]) -> Factors:
    """The weighted sum of updates, exactly, ranks added up.

    Above the rank of the matrix itself the sum is written out.
    """
    down = torch.cat([f.down for _, f in terms])
    up = torch.cat([f.up * w for w, f in terms], dim=1)
    summed = Factors(down, up)
    return from_dense(summed.dense()) if summed.rank > min(up.shape[0], down.shape[1]) else summed


def total(effects: Iterable[tuple[float, Effect]]) -> Effect:
    """The weighted sum of effects; a linear that only some of them have counts as well."""
    terms: dict[str, list[tuple[float, Factors]]] = {}
    for weight, effect in effects:
        for name, factors in effect.items():
            terms.setdefault(name, []).append((weight, factors))
    return {name: concatenated(each) for name, each in terms.items()}


def inner(a: Factors, b: Factors) -> float:
    """The Frobenius product of two updates, without forming them:
    <B1 A1, B2 A2> = sum of (B1' B2) * (A1 A2'), entry by entry, in float64."""
    left = a.up.double().T @ b.up.double()
    right = a.down.double() @ b.down.double().T
    return float((left * right).sum())


def acts(effect: Effect) -> bool:
    """Whether any linear's update is other than zero."""
    return any(inner(f, f) > 0 for f in effect.values())


def _keys(linear: str) -> tuple[str, str]:
    return f"base_model.model.{linear}.lora_A.weight", f"base_model.model.{linear}.lora_B.weight"
