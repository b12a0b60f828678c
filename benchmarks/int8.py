"""The frozen linears of a mounted stack in int8, for the page that asks what that gives.

A part of the benchmarks and not of the package: what is served in int8 leaves xadapt as an ONNX file
(``xadapt modules export --to onnx``), and no study computes in it.

Only the weights of the bare encoder's linears change. What modules add to them (low-rank terms, bottlenecks)
runs in float32 beside them, and so do embeddings, norms and attention. All forms are for inference: none has
gradients.

- ``weights``: one int8 a weight and one scale a row (symmetric: row = scale * int8, the largest weight is
  127). Each call makes the float32 matrix anew and multiplies as the float form does: a quarter of the bytes,
  and more work.
- ``weights, bf16``: the same weights in torch's own product of bf16 and int8. Torch's op takes float32 too,
  but only as a plain loop on a CPU, so that the form above does without it.
- ``dynamic``: torch's own quantised linear for the CPU, with a scale a row. It rounds the input to int8 as
  well, in one range for all tokens of a call: what an item gives depends a little on which others are packed
  with it.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xadapt import Backbone, Mounted
from xadapt.backbone.linear import Linear, product
from xadapt.mount import linear_shapes

Int8 = Literal["weights", "weights, bf16", "dynamic"]
TOP = 127  # the largest int8; -128 is not used, as its positive is none


class WeightOnly(nn.Module):
    """``y = x (s * Q)' + b``.

    Attributes:
        weight: Q, (out, in), int8.
        scale: s, (out,), in the type that the product is made in.
        bias: (out,), float32.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        """``dtype``: float32, or bfloat16 for torch's own product."""
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / TOP
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale.to(dtype))
        self.register_buffer("bias", linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        if self.scale.dtype == torch.float32:
            return product(x, self.weight.float().mul_(self.scale[:, None]), self.bias)
        flat = x.reshape(-1, x.shape[-1]).to(self.scale.dtype)
        out = torch._weight_int8pack_mm(flat, self.weight, self.scale).to(x.dtype) + self.bias
        return out.view(*x.shape[:-1], -1)


class Dynamic(nn.Module):
    """Torch's own, and what it holds: its packed weights are no tensors that could be counted.

    Attributes:
        bytes: of a weight one, of a row's scale, zero point and bias four each.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        from torch.ao.nn.quantized.dynamic import Linear as Quantised
        from torch.ao.quantization import per_channel_dynamic_qconfig

        plain: Any = nn.Linear(linear.in_features, linear.out_features, device="meta")
        plain.weight, plain.bias = linear.weight, linear.bias
        plain.qconfig = per_channel_dynamic_qconfig
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch means to move this to torchao
            self.linear = Quantised.from_float(plain)
        self.bytes = linear.weight.numel() + 3 * 4 * linear.out_features

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        out: Tensor = self.linear(x)
        return out


class Beside(nn.Module):
    """A linear in int8, and the terms of the one whose place it takes, as they were."""

    def __init__(self, linear: nn.Module, terms: nn.ModuleList) -> None:
        super().__init__()
        self.linear, self.terms = linear, terms

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        out: Tensor = self.linear(x)
        for term in self.terms:
            out = out + term(x)
        return out


def in_int8(backbone: Backbone, mounted: Mounted, form: Int8) -> Mounted:
    """``mounted``, its frozen linears replaced in place. The backbone keeps its own.

    Args:
        backbone: the one that it is mounted on, in float32.
        mounted: in inference, and not folded: what is inside a copy of the weights would be rounded with
            them.

    Raises:
        ValueError: a backbone in another type, or a stack that is to be trained.
    """
    if backbone.dtype != torch.float32 or mounted.trainable:
        what = "a stack that is to be trained" if mounted.trainable else f"a backbone in {backbone.dtype}"
        raise ValueError(f"{what}: int8 is made of trained stacks on a backbone in float32")
    for name in linear_shapes(backbone):
        holder, attribute = name.rsplit(".", 1)
        parent = mounted.model.get_submodule(holder)
        linear = getattr(parent, attribute)
        assert isinstance(linear, Linear), f"{name} is {type(linear).__name__}"
        setattr(parent, attribute, Beside(_made(linear, form), linear.terms).eval())
    return mounted


def _made(linear: nn.Linear, form: Int8) -> nn.Module:
    if form == "dynamic":
        return Dynamic(linear)
    return WeightOnly(linear, torch.bfloat16 if form == "weights, bf16" else torch.float32)


def bytes_of(part: nn.Module) -> int:
    """What a part of a model holds, modules on it included; each tensor once."""
    tensors = {t.data_ptr(): t.nbytes for t in (*part.parameters(), *part.buffers())}
    return sum(tensors.values()) + sum(p.bytes for p in part.modules() if isinstance(p, Dynamic))
