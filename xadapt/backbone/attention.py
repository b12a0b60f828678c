"""Self-attention within each sequence of a packed row.

On the CPU, one call for each group of equally long sequences, over views. On a GPU in half precision, one
call for all, whatever their lengths: flash attention's variable-length form (Dao 2023, arXiv 2307.08691).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import XLMRobertaModel
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaSelfAttention

from xadapt.backbone.dropout import dropout
from xadapt.backbone.packing import Packed

FLASH_CAPABILITY = (8, 0)  # of the GPU; the kernel needs it, and at most ``FLASH_WIDTH`` a head
FLASH_WIDTH = 256


class PackedSelfAttention(nn.Module):
    """Takes the place of a layer's ``attention.self`` and keeps that module's own ``query``, ``key`` and
    ``value``, so that whatever peft or adapters put there stays."""

    def __init__(self, attention: XLMRobertaSelfAttention) -> None:
        super().__init__()
        self.query, self.key, self.value = attention.query, attention.key, attention.value
        self.heads: int = attention.num_attention_heads
        self.dropout: float = attention.dropout.p

    def forward(self, hidden: Tensor, batch: Packed) -> Tensor:
        """(T, H) -> (T, H)"""
        return self.attend(self.query(hidden), self.key(hidden), self.value(hidden), batch)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, batch: Packed) -> Tensor:
        """What comes behind the three linears: (T, H) each -> (T, H)"""
        rate = self.dropout if self.training else 0.0
        if flash_serves(q, self.heads):
            return in_one_call(q, k, v, batch, self.heads, rate)
        return by_groups(q, k, v, batch, self.heads, rate)


def by_groups(q: Tensor, k: Tensor, v: Tensor, batch: Packed, heads: int, rate: float) -> Tensor:
    """A call for each length: ``softmax(q k' / sqrt(d)) v`` of each sequence and head, with dropout on the
    softmax (Vaswani et al. 2017, section 3.2).

    Args:
        q, k, v: (T, H).
        rate: of dropout.

    Returns:
        (T, H)
    """
    # Split once: each slice of a row for itself would make a zero gradient of the whole row in backward.
    sizes = [count * length for _, count, length in batch.groups]
    rows = []
    for (_, count, length), *parts in zip(
        batch.groups, q.split(sizes), k.split(sizes), v.split(sizes), strict=True
    ):
        # (count * length, H) -> (count, heads, length, H / heads), views all
        one, two, three = (x.view(count, length, heads, -1).transpose(1, 2) for x in parts)
        if rate and q.device.type == "cpu":
            # torch's own call draws a number for each weight, one by one.
            weights = (one @ two.transpose(-2, -1)).mul_(one.shape[-1] ** -0.5).softmax(-1)
            out = dropout(weights, rate) @ three
        else:
            out = F.scaled_dot_product_attention(one, two, three, dropout_p=rate)
        rows.append(out.transpose(1, 2).reshape(count * length, -1))
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def flash_serves(q: Tensor, heads: int) -> bool:
    """Whether the variable-length kernel takes these queries (T, H)."""
    return (
        q.is_cuda
        and q.dtype in (torch.bfloat16, torch.float16)
        and q.shape[-1] // heads <= FLASH_WIDTH
        and q.shape[-1] // heads % 8 == 0  # others would have to be padded
        and torch.version.hip is None
        and torch.backends.cuda.is_flash_attention_available()
        and torch.backends.cuda.flash_sdp_enabled()
        and torch.cuda.get_device_capability(q.device) >= FLASH_CAPABILITY
    )


def in_one_call(q: Tensor, k: Tensor, v: Tensor, batch: Packed, heads: int, rate: float) -> Tensor:
    """The same in one call. The kernel draws its dropout itself, by the device's generator."""
    # The kernel takes one type; what a method of a user's own makes of k or v may be of another.
    rows = (x.to(q.dtype).view(len(x), heads, -1) for x in (q, k, v))
    longest = batch.groups[-1][2]  # groups go from short to long
    out: Tensor = torch.ops.aten._flash_attention_forward(
        *rows, batch.bounds, batch.bounds, longest, longest, rate, False, False
    )[0]
    return out.reshape(q.shape)


def pack_attention(model: XLMRobertaModel) -> XLMRobertaModel:
    """Replace every layer's attention in place, once; returns the model."""
    for layer in model.encoder.layer:
        attention: Any = layer.attention
        if not isinstance(attention.self, PackedSelfAttention):
            attention.self = PackedSelfAttention(attention.self).train(layer.training)
    return model
