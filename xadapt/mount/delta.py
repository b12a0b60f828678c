"""Updates of frozen linears at run time: beside the weight as two thin products, or inside a copy of it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xadapt.mount.factors import Effect, Factors


class Term(nn.Module):
    """``up @ (c * (down @ x))``; ``c``, if there is one, is a row of a mixture's coefficients, spread
    over the ranks of each module."""

    def __init__(
        self,
        factors: Factors,
        like: Tensor,
        coefficients: nn.Parameter | None,
        layer: int,
        owner: Tensor | None,
    ) -> None:
        super().__init__()
        # Frozen: in the backbone's own type, so that autocast has nothing to do in each call.
        self.down = nn.Parameter(factors.down.to(like.device, like.dtype), requires_grad=False)
        self.up = nn.Parameter(factors.up.to(like.device, like.dtype), requires_grad=False)
        self.coefficients, self.layer, self.owner = coefficients, layer, owner

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        inner = F.linear(x, self.down)
        if self.coefficients is not None:
            inner = inner * self.coefficients[self.layer][self.owner]
        return F.linear(inner, self.up)


class Delta(nn.Linear):
    """A linear with the very weight of ``base`` and terms added to its output.

    A linear by class, so that peft can put a module of its own on top.
    """

    def __init__(self, base: nn.Linear) -> None:
        super().__init__(base.in_features, base.out_features, bias=base.bias is not None, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.terms = nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        out = super().forward(x)
        for term in self.terms:
            out = out + term(x)
        return out


def install(model: nn.Module, effect: Effect) -> None:
    """Add an effect to ``model``'s linears, each in the cheaper of the two ways."""
    for name, factors in effect.items():
        out, width = factors.up.shape[0], factors.down.shape[1]
        if factors.rank * (out + width) < out * width:
            add_term(model, name, factors)
        else:
            fold(model, {name: factors})


def add_term(
    model: nn.Module,
    name: str,
    factors: Factors,
    coefficients: nn.Parameter | None = None,
    layer: int = 0,
    owner: Tensor | None = None,
) -> None:
    """One more term beside the linear ``name``.

    Args:
        coefficients: (layers, modules) of a mixture.
        layer: which row of them.
        owner: (R,) the module that each rank belongs to.
    """
    holder, attribute = _place(model, name)
    linear = getattr(holder, attribute)
    if not isinstance(linear, Delta):
        linear = Delta(linear).train(linear.training)
        setattr(holder, attribute, linear)
    linear.terms.append(Term(factors, linear.weight, coefficients, layer, owner))


def fold(model: nn.Module, effect: Effect) -> None:
    """Add an effect to copies of the linears' weights: summed in float32, then rounded once."""
    for name, factors in effect.items():
        linear = getattr(*_place(model, name))
        weight = linear.weight.detach()
        update = factors.dense().to(weight.device)
        linear.weight = nn.Parameter((weight.float() + update).to(weight.dtype), requires_grad=False)


def folded_drift(model: nn.Module, effect: Effect, dtype: torch.dtype = torch.bfloat16) -> dict[str, float]:
    """How much of an effect is lost by folding it into weights of ``dtype``.

    A weight of bf16 has 8 significant bits, and an update is often smaller than one step of it.

    Returns:
        per linear ``|| (round(W + D) - round(W)) - D || / || D ||`` in the Frobenius norm: 0 loses
        nothing, 1 as much as the update itself.
    """
    lost: dict[str, float] = {}
    for name, factors in effect.items():
        weight = getattr(*_place(model, name)).weight.detach().float()
        update = factors.dense().to(weight.device)
        arrived = (weight + update).to(dtype).float() - weight.to(dtype).float()
        lost[name] = float((arrived - update).norm() / update.norm().clamp_min(1e-30))
    return lost


def _place(model: nn.Module, name: str) -> tuple[Any, str]:
    """Where the linear ``name`` of the bare encoder is held; peft keeps it inside its own layer."""
    parent, attribute = name.rsplit(".", 1)
    holder: Any = model.get_submodule(parent)
    if hasattr(getattr(holder, attribute), "base_layer"):
        return getattr(holder, attribute), "base_layer"
    return holder, attribute
