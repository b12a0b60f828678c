"""Low-rank updates as plain factors: what LoRA adds to a linear, ``s B A x`` (Hu et al. 2021).

Several on one linear are one of the summed rank: ``[u1 u2] @ [d1; d2] = u1 @ d1 + u2 @ d2``. A smaller rank,
or none, is filled up with zeros. All of that is exact. Everything is float32 on the CPU.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xadapt.common.errors import UserError
from xadapt.mount.elements import Part
from xadapt.mount.weights import check_weights
from xadapt.stacks.methods import LARGEST_ALPHA, LARGEST_RANK, LoRA, layer_range

# Which linears a LoRA's option ``targets`` means: the last word of their name.
LINEARS = {"all": "query|key|value|dense", "qv": "query|value"}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")


@dataclass(frozen=True)
class Factors:
    """The update ``scale * up @ down`` of one linear layer.

    Attributes:
        down: (R, in); peft's lora_A.
        up: (out, R); peft's lora_B.
        scale: of what was merged 1.
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

    @property
    def scaled(self) -> Tensor:
        """(out, R): ``up`` with the scale in it."""
        return self.up * self.scale

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """(out, in)"""
        return (self.up.to(dtype) * self.scale) @ self.down.to(dtype)


# By the name of the linear in the bare encoder: encoder.layer.0.attention.self.query
Effect = dict[str, Factors]


def layer_of(linear: str) -> int:
    """The layer that a linear stands in."""
    match = _LAYER.match(linear)
    if match is None:
        raise ValueError(f"{linear} is not a linear of an encoder layer")
    return int(match[1])


def depth(shapes: Mapping[str, tuple[int, int]]) -> int:
    """The number of layers of the encoder whose linears have these shapes."""
    return 1 + max(map(layer_of, shapes))


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
    targets = _targets(method, shapes)
    expected = {
        key: shape
        for n in targets
        for key, shape in zip(_keys(n), ((method.r, shapes[n][1]), (shapes[n][0], method.r)), strict=True)
    }
    check_weights(weights, expected, part.label)
    plain = {key: weights[key].detach().to("cpu", torch.float32) for key in expected}
    return {n: Factors(plain[_keys(n)[0]], plain[_keys(n)[1]], scale) for n in targets}


def lora_of(
    effects: Sequence[Effect], shapes: Mapping[str, tuple[int, int]]
) -> tuple[LoRA, dict[str, Tensor]]:
    """The sum of effects as one LoRA module, of one rank in whole layers, as peft stores it.

    Exact; the factors of a single module keep their bits. Only a scale that differs between linears, or that
    no ``alpha`` can say, is multiplied into ``up``.

    Args:
        shapes: (out, in) of each linear of the encoder's layers.

    Raises:
        UserError: no effect on any linear, or more than the largest rank that a LoRA can have.
    """
    terms = {n: each for n in shapes if (each := [effect[n] for effect in effects if n in effect])}
    if not terms:
        raise UserError("no LoRA weights on any layer of the encoder", expected="one at least")
    rank = max(sum(f.rank for f in each) for each in terms.values())
    if rank > LARGEST_RANK:
        raise UserError(
            f"LoRA of rank {rank}",
            expected=f"at most {LARGEST_RANK}",
            do="take modules of a smaller rank, or merge them with rank=N",
        )
    lowest, layers = min(map(layer_of, terms)), depth(shapes)
    every = [factors for each in terms.values() for factors in each]
    scale = every[0].scale
    alpha = round(scale * rank)
    if any(f.scale != scale for f in every) or alpha / rank != scale or not 1 <= alpha <= LARGEST_ALPHA:
        alpha = 2 * rank  # the method's own
    method = LoRA(
        r=rank,
        alpha=alpha,
        targets="qv" if all(_is_target(n, "qv") for n in terms) else "all",
        layers="all" if lowest == 0 else f"top{layers - lowest}",
    )
    weights: dict[str, Tensor] = {}
    for name in _targets(method, shapes):
        out, width = shapes[name]
        down, up = torch.zeros(rank, width), torch.zeros(out, rank)
        at = 0
        for factors in terms.get(name, ()):
            end = at + factors.rank
            down[at:end] = factors.down
            left = factors.scale * rank / alpha
            up[:, at:end] = factors.up if left == 1 else factors.up.double() * left
            at = end
        weights |= zip(_keys(name), (down, up), strict=True)
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
    up = torch.cat([f.scaled * w for w, f in terms], dim=1)
    summed = Factors(down, up)
    return from_dense(summed.dense()) if summed.rank > min(up.shape[0], down.shape[1]) else summed


def total(effects: Iterable[tuple[float, Effect]]) -> Effect:
    """The weighted sum of effects; a linear that only some of them have counts as well."""
    terms: dict[str, list[tuple[float, Factors]]] = {}
    for weight, effect in effects:
        for name, factors in effect.items():
            terms.setdefault(name, []).append((weight, factors))
    return {name: concatenated(each) for name, each in terms.items()}


def inner_product(a: Factors, b: Factors) -> float:
    """The Frobenius product of two updates, without forming them:
    <B1 A1, B2 A2> = sum of (B1' B2) * (A1 A2'), entry by entry, in float64."""
    left = a.scaled.double().T @ b.scaled.double()
    right = a.down.double() @ b.down.double().T
    return float((left * right).sum())


def acts(effect: Effect) -> bool:
    """Whether any linear's update is other than zero."""
    return any(inner_product(f, f) > 0 for f in effect.values())


def _targets(method: LoRA, shapes: Mapping[str, tuple[int, int]]) -> list[str]:
    """The linears that a LoRA of ``method`` stands on."""
    kept = set(layer_range(method.layers, depth(shapes)))
    return [name for name in shapes if layer_of(name) in kept and _is_target(name, method.targets)]


def _is_target(linear: str, targets: str) -> bool:
    return re.fullmatch(LINEARS[targets], linear.rpartition(".")[2]) is not None


def _keys(linear: str) -> tuple[str, str]:
    return f"base_model.model.{linear}.lora_A.weight", f"base_model.model.{linear}.lora_B.weight"
