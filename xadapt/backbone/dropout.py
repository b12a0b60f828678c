"""Dropout for less: on the CPU torch draws a number for each value, one by one, which takes as long as the
product before it (width 768). Here a value takes 16 random bits, four values a draw."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """As torch's, from ``dropout``."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """Values are zero with probability ``rate``, rounded to a 65,536th; all others are divided by that of
    not being so. Drawn from torch's global generator, as its own is: name it by ``common.randomness.seeded``.
    """
    if not training or rate == 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    out: Tensor = _Dropout.apply(x, rate)
    return out


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        count, dropped = x.numel(), round(rate * 2**16)
        draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = (draws.view(torch.int16)[:count] >= dropped - 2**15).view(x.shape)
        ctx.save_for_backward(kept)
        ctx.scale = 2**16 / (2**16 - dropped)
        return torch.where(kept, x, 0.0).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return torch.where(kept, grads[0], 0.0).mul_(ctx.scale), None
