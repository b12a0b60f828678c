"""The end of a block with bottlenecks behind it, run without ``adapters``' bookkeeping: the library's own
parameters, and its outputs to rounding.

With h what the block's last linear gives and r its residual, each bottleneck in turn makes

    h = h + U relu(D LN(h + r) + d) + c                  (Pfeiffer et al. 2021, arXiv 2005.00247, section 2.2)

and the block ends in LN(h + r). A fusion over n of them attends with W_q, W_k and V (section 3.2):

    p = softmax over i of (W_q x + b_q) . (W_k u_i + b_k)        h = h + V (sum of p_i u_i),    x = LN(h + r)

``adapters`` applies W_k and V to all n outputs u_i of width H. But q . W_k u_i = (W_k' q) . u_i, and with
u_i = U_i a_i + c_i that is (U_i' W_k' q) . a_i + c_i . (W_k' q); V commutes with the sum. So no output of a
single bottleneck is ever made, and W_k and V are applied once. Gradients are the library's too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from adapters.composition import Fuse
from adapters.methods.modeling import Adapter, BertFusion
from torch import Tensor, nn

from xadapt.backbone.dropout import dropout
from xadapt.backbone.linear import Linear, product
from xadapt.mount.adapter_fusion import LeanFusion


class Step(nn.Module):
    """One bottleneck: what it adds to h."""

    def __init__(self, adapter: Adapter) -> None:
        super().__init__()
        self.down, self.up = Linear(adapter.adapter_down[0]), Linear(adapter.adapter_up)

    def forward(self, x: Tensor) -> Tensor:
        """(..., H) -> (..., H)"""
        out: Tensor = self.up(F.relu(self.down(x)))
        return out


class Fusion(nn.Module):
    """One fusion of bottlenecks, trained or in training: what it adds to h.

    The bottlenecks are frozen: their matrices stand side by side, B units in all.
    """

    def __init__(self, adapters: Sequence[Adapter], fusion: BertFusion) -> None:
        super().__init__()
        self.query, self.key, self.value = fusion.query, fusion.key, fusion.value
        self.rate: float = fusion.dropout.p
        downs, ups = [a.adapter_down[0] for a in adapters], [a.adapter_up for a in adapters]
        with torch.no_grad():
            self.register_buffer("down", torch.cat([d.weight for d in downs]))  # (B, H)
            self.register_buffer("shift", torch.cat([d.bias for d in downs]))  # (B,)
            self.register_buffer("up", torch.cat([u.weight for u in ups], dim=1))  # (H, B)
            self.register_buffer("offset", torch.stack([u.bias for u in ups]))  # (n, H)
        self.sizes = [len(d.bias) for d in downs]
        self.down: Tensor
        self.shift: Tensor
        self.up: Tensor
        self.offset: Tensor

    def attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(..., H) -> p (..., n) and the bottlenecks' activations (..., B)"""
        active = product(x, self.down, self.shift).relu()
        query = product(x, self.query.weight, self.query.bias)
        wanted = product(query, self.key.weight.t(), None)  # W_k' q
        parts = (active * product(wanted, self.up.t(), None)).split(self.sizes, dim=-1)
        scores = torch.stack([part.sum(-1) for part in parts], dim=-1)
        scores = scores + product(wanted, self.offset, None) + product(query, self.key.bias[None], None)
        return dropout(scores, self.rate, self.training).softmax(-1).to(active.dtype), active

    def forward(self, x: Tensor) -> Tensor:
        """(..., H) -> (..., H)"""
        p, active = self.attention(x)
        spread = torch.cat(
            [part * p[..., i, None] for i, part in enumerate(active.split(self.sizes, -1))], dim=-1
        )
        mixed = product(spread, self.up, None) + product(p, self.offset.t(), None)
        return product(mixed, self.value.weight, None)


def steps_of(output: Any) -> nn.ModuleDict:
    """The bottlenecks and fusions that are active at the end of a block, by name, lowest first."""
    setup = output.adapters_config.active_setup
    steps = nn.ModuleDict()
    for name in setup or ():
        if isinstance(name, Fuse):
            parts = [output.adapters[child] for child in name.children if child in output.adapters]
            if parts:
                steps[name.name] = Fusion(parts, output.adapter_fusion_layer[name.name])
        elif name in output.adapters:
            part = output.adapters[name]
            steps[name] = part if isinstance(part, LeanFusion) else Step(part)
    return steps
