"""Updates of frozen linears at run time: beside the weight as two thin products or one dense one, or
inside a copy of the weight.

A weight of bf16 has 8 significant bits, and an update is often smaller than one step of it: inside the
weight, 5 to 24% of an update of usual size is lost. Beside it, rounded by itself, 0.2%.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from adapters.methods.lora import LoRALinearTorch
from peft.tuners.lora import Linear as PeftLinear
from torch import Tensor, nn

from xadapt.backbone.linear import Linear, LowRank
from xadapt.mount.low_rank import Effect, Factors


class Weighed(nn.Module):
    """``up @ (c * (down @ x))``; ``c`` is a row of a mixture's coefficients, spread over the ranks of each
    module."""

    def __init__(self, term: LowRank, coefficients: nn.Parameter, layer: int, owner: Tensor) -> None:
        super().__init__()
        self.term, self.coefficients, self.layer, self.owner = term, coefficients, layer, owner

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        weight = self.coefficients[self.layer][self.owner]
        return F.linear(F.linear(x, self.term.down) * weight, self.term.up)


class Dense(nn.Module):
    """``update @ x``: what has too high a rank for two thin products."""

    def __init__(self, factors: Factors, like: Tensor) -> None:
        super().__init__()
        self.update = nn.Parameter(factors.dense().to(like.device, like.dtype), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        return F.linear(x, self.update)


def install(model: nn.Module, effect: Effect, dtype: torch.dtype) -> None:
    """Add an effect to ``model``'s linears, each in the cheapest way that loses nothing of it.

    Args:
        dtype: what the linears run in, whatever their weights are in now.
    """
    for name, factors in effect.items():
        if factors.thin:
            add_term(model, name, factors)
        elif dtype == torch.float32:
            fold(model, {name: factors}, dtype)
        else:
            linear = _with_terms(model, name)
            linear.terms.append(Dense(factors, linear.weight))


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
    linear = _with_terms(model, name)
    like = linear.weight
    # Frozen: in the backbone's own type, so that autocast has nothing to do in each call.
    down = nn.Parameter(factors.down.to(like.device, like.dtype), requires_grad=False)
    up = nn.Parameter(factors.scaled.to(like.device, like.dtype), requires_grad=False)
    term = LowRank(down, up)
    if coefficients is None:
        linear.terms.append(term)
    else:
        assert owner is not None
        linear.terms.append(Weighed(term, coefficients, layer, owner))


def fold(model: nn.Module, effect: Effect, dtype: torch.dtype) -> dict[str, float]:
    """Add an effect to copies of the linears' weights: summed in float32, then rounded once.

    Args:
        dtype: what the linears run in, whatever their weights are in now.

    Returns:
        by linear, how much of the update is lost by rounding:
        ``|| (round(W + D) - round(W)) - D || / || D ||`` in the Frobenius norm. 0 loses nothing, 1 as much
        as the update itself.
    """
    lost: dict[str, float] = {}
    for name, factors in effect.items():
        linear = getattr(*_holder_of(model, name))
        weight = linear.weight.detach()
        update = factors.dense().to(weight.device)
        summed = weight.float() + update
        arrived = summed.to(dtype).float() - weight.to(dtype).float()
        lost[name] = float((arrived - update).norm() / update.norm().clamp_min(1e-30))
        linear.weight = nn.Parameter(summed.to(weight.dtype), requires_grad=False)
    return lost


def as_terms(model: nn.Module) -> None:
    """peft's modules in ``model`` as terms of the linears that they stand on: the same parameters, and the
    same outputs for less. So are the linears that ``adapters`` made."""
    for parent in list(model.modules()):
        for name, part in parent.named_children():
            if (linear := _as_linear(part)) is not None:
                setattr(parent, name, linear.train(part.training))


def _as_linear(part: nn.Module) -> Linear | None:
    """None for what is none, or runs in a way of its own."""
    if type(part) is Linear:
        return part
    if type(part) in (nn.Linear, LoRALinearTorch) and not getattr(part, "loras", None):
        return Linear(cast(nn.Linear, part))
    if type(part) is not PeftLinear or part.lora_variant or (base := _as_linear(part.base_layer)) is None:
        return None
    for name in part.active_adapters:
        if name in part.lora_A:
            rate = float(getattr(part.lora_dropout[name], "p", 0.0))
            down, up = (cast(nn.Parameter, each[name].weight) for each in (part.lora_A, part.lora_B))
            base.terms.append(LowRank(down, up, part.scaling[name], rate).train(part.training))
    return base


def _with_terms(model: nn.Module, name: str) -> Linear:
    """The linear ``name`` as one that takes terms."""
    holder, attribute = _holder_of(model, name)
    linear = getattr(holder, attribute)
    if not isinstance(linear, Linear):
        linear = Linear(linear).train(linear.training)
        setattr(holder, attribute, linear)
    return linear


def _holder_of(model: nn.Module, name: str) -> tuple[Any, str]:
    """Where the linear ``name`` of the bare encoder is held; peft keeps it inside its own layer."""
    parent, attribute = name.rsplit(".", 1)
    holder: Any = model.get_submodule(parent)
    if hasattr(getattr(holder, attribute), "base_layer"):
        return getattr(holder, attribute), "base_layer"
    return holder, attribute
