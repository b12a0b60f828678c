"""The linears of a frozen encoder, and the low-rank updates beside them.

    y = x W' + b + sum over i of s_i (x A_i') B_i'

Nearly all the time of an encoder goes here, so each of the products is made in the way that costs least, and
nothing else is made: one autograd node a linear, that keeps x only where a gradient needs it, adds the thin
products into the large one's result, and makes no gradient that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xadapt.backbone.dropout import dropout

Factors = tuple[Tensor, Tensor, float]  # A (R, in), B (out, R), s
Update = tuple[float, slice]  # s, and the rows of x that it is for
ALL = slice(None)


class LowRank(nn.Module):
    """``s B A x`` beside a linear (Hu et al. 2022, arXiv 2106.09685, equation 3).

    Attributes:
        down: (R, in); peft's lora_A.
        up: (out, R); peft's lora_B.
        scale: s.
        dropout: rate on the input, in training.
    """

    def __init__(
        self, down: nn.Parameter, up: nn.Parameter, scale: float = 1.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.down, self.up = down, up
        self.scale, self.dropout = scale, dropout

    @property
    def plain(self) -> bool:
        """Whether the input needs no dropout: then it is computed together with the linear."""
        return not (self.training and self.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        return F.linear(F.linear(dropout(x, self.dropout, self.training), self.down) * self.scale, self.up)


class Linear(nn.Linear):
    """A linear with terms that are added to its output; it shares the very parameters of another.

    A linear by class, so that peft and adapters can put modules of their own on top.

    Attributes:
        terms: each takes the linear's input.
    """

    def __init__(self, base: nn.Linear) -> None:
        super().__init__(base.in_features, base.out_features, bias=base.bias is not None, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.terms = nn.ModuleList()

    def forward(self, x: Tensor, gelu: bool = False) -> Tensor:
        """(..., in) -> (..., out), through ``gelu`` where that is asked for."""
        inside: list[Factors] = []
        beside: list[nn.Module] = []
        for term in self.terms:
            if isinstance(term, LowRank) and term.plain:
                inside.append((term.down, term.up, term.scale))
            else:
                beside.append(term)
        if not beside:
            return product(x, self.weight, self.bias, inside, gelu=gelu)
        out = product(x, self.weight, self.bias, inside)
        for term in beside:
            out = out + term(x)
        return F.gelu(out) if gelu else out


def product(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    factors: Sequence[Factors] = (),
    rows: Sequence[slice] | None = None,
    gelu: bool = False,
) -> Tensor:
    """The formula above, in the type that autocast asks for.

    Args:
        x: (..., in).
        weight: (out, in).
        bias: (out,) or None.
        factors: of each update A (R, in), B (out, R) and s.
        rows: of each update the rows of x, as (T, in), that it is for; all by default.
        gelu: give gelu(y) (Hendrycks and Gimpel 2016, arXiv 1606.08415, its exact form).

    Returns:
        (..., out)
    """
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    tensors = [t for down, up, _ in factors for t in (down, up)]
    updates = tuple(zip((scale for _, _, scale in factors), rows or [ALL] * len(factors), strict=True))
    flat = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, weight, bias, *tensors) if t is not None):
        out: Tensor = _Product.apply(flat, weight, bias, dtype, updates, *tensors)
        out = F.gelu(out) if gelu else out
    else:
        out, _ = _forward(flat.to(dtype), weight, bias, updates, [t.to(dtype) for t in tensors], gelu)
    return out if x.ndim == 2 else out.view(*x.shape[:-1], out.shape[-1])


class _Product(torch.autograd.Function):
    """``product`` with gradients of what asks for them."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype,
        updates: tuple[Update, ...],
        *factors: Tensor,
    ) -> Tensor:
        cast, thin = x.to(dtype), [t.to(dtype) for t in factors]
        out, inner = _forward(cast, weight, bias, updates, thin)
        asked = ctx.needs_input_grad
        reads_x = asked[1] or any(asked[5::2])
        ctx.save_for_backward(cast if reads_x else None, weight, *factors, *inner)
        ctx.updates, ctx.dtypes = updates, (x.dtype, None if bias is None else bias.dtype)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, weight, *rest = ctx.saved_tensors
        count = len(ctx.updates)
        factors, inner = rest[: 2 * count], rest[2 * count :]
        asked, dtype = ctx.needs_input_grad, grad.dtype
        found: list[Tensor | None] = [None] * len(asked)
        if asked[0]:
            found[0] = grad @ weight.to(dtype)
        if asked[1]:
            found[1] = (grad.t() @ x).to(weight.dtype)
        if asked[2]:
            found[2] = grad.sum(0).to(ctx.dtypes[1])
        for i, (scale, rows) in enumerate(ctx.updates):
            down, up, own = factors[2 * i], factors[2 * i + 1], grad[rows]
            if found[0] is not None or asked[5 + 2 * i]:
                back = _linear(own, up.to(dtype).t(), None).mul_(scale)  # (T, R)
                if found[0] is not None:
                    found[0][rows].addmm_(back, down.to(dtype))
                if asked[5 + 2 * i]:
                    found[5 + 2 * i] = (back.t() @ x[rows]).to(down.dtype)
            if asked[6 + 2 * i]:
                # This way round: a tall result of few columns is several times slower to write.
                found[6 + 2 * i] = (inner[i].t() @ own).t().to(up.dtype)
        if found[0] is not None:
            found[0] = found[0].to(ctx.dtypes[0])
        return tuple(found)


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    updates: Sequence[Update],
    factors: Sequence[Tensor],
    gelu: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """(T, out), and ``s x A'`` (its rows, R) of each update; all in the type of x."""
    out = _linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), gelu and not updates)
    inner = []
    for i, (scale, rows) in enumerate(updates):
        thin = _linear(x[rows], factors[2 * i], None)
        inner.append(thin if scale == 1 else thin.mul_(scale))
        out[rows].addmm_(inner[i], factors[2 * i + 1].t())
    return F.gelu(out) if gelu and updates else out, inner


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> Tensor:
    """(T, in) -> (T, out), without a gradient."""
    if _onednn_is_faster(x):
        # Its gelu is made while a tile of the product is still at hand: no pass of its own over the memory.
        activation, form = ("gelu", "none") if gelu else ("none", "")
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], form)
    out = F.linear(x, weight, bias)
    return F.gelu(out) if gelu else out


def _onednn_is_faster(x: Tensor) -> bool:
    """Float32 on the CPU: torch sends these products to BLAS, where oneDNN's, which torch has too, take 5 to
    20% less time (against MKL, 64 to 1,500 tokens of width 768). In bf16 torch takes oneDNN itself."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()
