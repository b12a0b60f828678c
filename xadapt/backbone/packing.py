"""Packed batches: flat tokens with sequence boundaries, no padding.

A batch of N sequences is one row of T tokens. Attention stays within each
sequence and positions restart in each, so outputs and gradients equal those of
the padded forward (tests/test_packing.py holds them to HF's within 1e-5).

Sequences of one length lie side by side in the row, so that each group is one
attention call over a view, whatever the order in which the caller names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import XLMRobertaModel
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaSelfAttention


@dataclass(frozen=True)
class Packed:
    """N token sequences in one row of T tokens.

    Attributes:
        input_ids: (T,) token ids.
        positions: (T,) index of each token within its sequence, from 0.
        starts: (N,) where sequence i begins in the row; the caller's order.
        lengths: (N,) its length; sequence i is ``row[starts[i] : starts[i] + lengths[i]]``.
        owner: (T,) the sequence i that each token belongs to.
        groups: runs of equal length in the row: (first token, sequences, length).
    """

    input_ids: Tensor
    positions: Tensor
    starts: Tensor
    lengths: Tensor
    owner: Tensor
    groups: tuple[tuple[int, int, int], ...]

    def to(self, device: torch.device | str) -> Packed:
        """The same batch on another device."""
        return replace(
            self,
            input_ids=self.input_ids.to(device, non_blocking=True),
            positions=self.positions.to(device, non_blocking=True),
            starts=self.starts.to(device, non_blocking=True),
            lengths=self.lengths.to(device, non_blocking=True),
            owner=self.owner.to(device, non_blocking=True),
        )

    def __len__(self) -> int:
        return len(self.starts)


def pack(sequences: Sequence[Sequence[int] | np.ndarray]) -> Packed:
    """Lay N non-empty sequences of token ids into one row.

    Raises:
        ValueError: on an empty batch or an empty sequence.
    """
    lengths = np.fromiter((len(s) for s in sequences), dtype=np.int64, count=len(sequences))
    if len(lengths) == 0 or lengths.min() == 0:
        raise ValueError("pack() needs at least one sequence and none of length 0")
    order = np.argsort(lengths, kind="stable")
    laid = lengths[order]
    begins = np.concatenate([[0], np.cumsum(laid)[:-1]])
    starts = np.empty_like(begins)
    starts[order] = begins
    sizes, firsts, counts = np.unique(laid, return_index=True, return_counts=True)
    groups = tuple((int(begins[f]), int(c), int(s)) for s, f, c in zip(sizes, firsts, counts, strict=True))
    owner = np.repeat(order, laid)
    positions = np.arange(len(owner)) - np.repeat(begins, laid)
    ids = np.concatenate([np.asarray(sequences[i], dtype=np.int64) for i in order])
    return Packed(
        input_ids=torch.from_numpy(ids),
        positions=torch.from_numpy(positions),
        starts=torch.from_numpy(starts),
        lengths=torch.from_numpy(lengths),
        owner=torch.from_numpy(owner),
        groups=groups,
    )


class PackedSelfAttention(nn.Module):
    """Self-attention within each sequence of a packed row.

    Takes the place of a layer's ``attention.self`` and keeps that module's own
    ``query``, ``key`` and ``value``, so that whatever peft or adapters put there stays.
    HF's layers hand their argument ``head_mask`` through untouched, and nothing else
    reads it: here it carries the batch's ``groups``, so no state stays between calls.
    """

    def __init__(self, attention: XLMRobertaSelfAttention) -> None:
        super().__init__()
        self.query, self.key, self.value = attention.query, attention.key, attention.value
        self.heads: int = attention.num_attention_heads
        self.dropout: float = attention.dropout.p

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: None = None,
        head_mask: tuple[tuple[int, int, int], ...] = (),
        *_: object,
        **__: object,
    ) -> tuple[Tensor, None]:
        """(1, T, H) -> (1, T, H)"""
        rate = self.dropout if self.training else 0.0
        # Split once: each slice of a row for itself would make a zero gradient of the whole row in backward.
        sizes = [count * length for _first, count, length in head_mask]
        q, k, v = (
            linear(hidden_states).squeeze(0).split(sizes) for linear in (self.query, self.key, self.value)
        )
        rows = []
        for i, (_first, count, length) in enumerate(head_mask):
            # (count * length, H) -> (count, heads, length, H / heads), views all
            qkv = [x[i].view(count, length, self.heads, -1).transpose(1, 2) for x in (q, k, v)]
            out = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], dropout_p=rate)
            rows.append(out.transpose(1, 2).reshape(count * length, -1))
        return torch.cat(rows).unsqueeze(0), None


def encode(model: XLMRobertaModel, batch: Packed, layers: int | None = None) -> Tensor:
    """The hidden states of an ``XLMRobertaModel`` whose attention is packed.

    Args:
        model: an ``XLMRobertaModel`` or ``XLMRobertaXLModel``, with ``PackedSelfAttention`` in every layer.
        batch: N sequences, T tokens.
        layers: how many layers to run; all by default. 0 gives the embeddings, as
            ``hidden_states[0]`` does in HF.

    Returns:
        (T, H), in the row's order.
    """
    for hidden in states(model, batch, layers):
        last = hidden
    return last


def states(model: XLMRobertaModel, batch: Packed, layers: int | None = None) -> Iterator[Tensor]:
    """The same after each layer, the embeddings first: ``layers`` + 1 tensors (T, H), one at a time."""
    # XLM-R's positions start behind the padding index (fairseq's convention).
    position_ids = (batch.positions + model.embeddings.padding_idx + 1).unsqueeze(0)
    hidden = model.embeddings(
        input_ids=batch.input_ids.unsqueeze(0),
        position_ids=position_ids,
        token_type_ids=torch.zeros_like(position_ids),
    )[0]
    yield hidden
    yield from _after_each(model, hidden, batch, 0, layers)


def continued(
    model: XLMRobertaModel, hidden: Tensor, batch: Packed, first: int, layers: int | None = None
) -> Tensor:
    """The rest of ``encode`` from the output of the first ``first`` layers on.

    Args:
        model: as for ``encode``.
        hidden: (T, H) after ``first`` layers; 0 are the embeddings.
        batch: what it was made of.
        first: how many layers are done.
        layers: after how many layers to stop; all by default.

    Returns:
        (T, H)
    """
    for after in _after_each(model, hidden, batch, first, layers):
        last = after
    return last if first < len(model.encoder.layer[:layers]) else hidden


def _after_each(
    model: XLMRobertaModel, hidden: Tensor, batch: Packed, first: int, layers: int | None
) -> Iterator[Tensor]:
    """The hidden states (T, H) after each layer from number ``first`` on, up to ``layers``."""
    # XLM-R XL and XXL norm each block's input, so one norm is left for the end.
    last = getattr(model.encoder, "LayerNorm", None)
    row = hidden.unsqueeze(0)
    for number, layer in enumerate(model.encoder.layer[first:layers], start=first + 1):
        row = layer(row, None, batch.groups)[0]
        if last is not None and number == len(model.encoder.layer):
            row = last(row)
        yield row[0]


def pack_attention(model: XLMRobertaModel) -> XLMRobertaModel:
    """Replace every layer's attention in place, once; returns the model."""
    for layer in model.encoder.layer:
        attention: Any = layer.attention
        if not isinstance(attention.self, PackedSelfAttention):
            attention.self = PackedSelfAttention(attention.self).train(layer.training)
    return model


def budgeted(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Cut 0..len(lengths)-1, in order, into runs of at most ``budget`` tokens.

    An item longer than the budget makes a run of its own.
    """
    run: list[int] = []
    total = 0
    for i, n in enumerate(lengths):
        if run and total + n > budget:
            yield run
            run, total = [], 0
        run.append(i)
        total += n
    if run:
        yield run
