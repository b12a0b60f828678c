"""The encoder on a packed row: embeddings, layer by layer, the last one only where it is read.

HF's layers are run part by part, so that a part which a library has replaced is the one that runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import XLMRobertaModel

from xadapt.backbone.attention import pack_attention
from xadapt.backbone.dropout import Dropout
from xadapt.backbone.linear import Linear
from xadapt.backbone.packing import Packed


def encode(
    model: XLMRobertaModel, batch: Packed, layers: int | None = None, rows: Tensor | None = None
) -> Tensor:
    """The hidden states of an ``XLMRobertaModel`` whose attention is packed.

    Args:
        model: an ``XLMRobertaModel`` or ``XLMRobertaXLModel``, with ``PackedSelfAttention`` in every layer.
        batch: N sequences, T tokens.
        layers: how many layers to run; all by default. 0 gives the embeddings, as
            ``hidden_states[0]`` does in HF.
        rows: (R,) the places in the row whose states are wanted; all by default. What comes behind the last
            layer's attention is computed for these alone: two thirds of a layer, which a classifier, reading
            one token a sequence, has no use for.

    Returns:
        (T, H) in the row's order, or (R, H).
    """
    return continued(model, embedded(model, batch), batch, 0, layers, rows)


def embedded(model: XLMRobertaModel, batch: Packed) -> Tensor:
    """(T, H) before the first layer."""
    # XLM-R's positions start behind the padding index (fairseq's convention).
    position_ids = (batch.positions + model.embeddings.padding_idx + 1).unsqueeze(0)
    hidden: Tensor = model.embeddings(
        input_ids=batch.input_ids.unsqueeze(0),
        position_ids=position_ids,
        token_type_ids=torch.zeros_like(position_ids),
    )[0]
    return hidden


def states(model: XLMRobertaModel, batch: Packed, layers: int | None = None) -> Iterator[Tensor]:
    """The same after each layer, the embeddings first: ``layers`` + 1 tensors (T, H), one at a time."""
    hidden = embedded(model, batch)
    yield hidden
    yield from _after_each(model, hidden, batch, 0, layers, None)


def continued(
    model: XLMRobertaModel,
    hidden: Tensor,
    batch: Packed,
    first: int,
    layers: int | None = None,
    rows: Tensor | None = None,
) -> Tensor:
    """The rest of ``encode`` from the output of the first ``first`` layers on.

    Args:
        model: as for ``encode``.
        hidden: (T, H) after ``first`` layers; 0 are the embeddings.
        batch: what it was made of.
        first: how many layers are done.
        layers: after how many layers to stop; all by default.
        rows: as for ``encode``.

    Returns:
        (T, H), or (R, H)
    """
    if first >= len(model.encoder.layer[:layers]):
        return hidden if rows is None else hidden[rows]
    for after in _after_each(model, hidden, batch, first, layers, rows):
        last = after
    return last


def _after_each(
    model: XLMRobertaModel,
    hidden: Tensor,
    batch: Packed,
    first: int,
    layers: int | None,
    rows: Tensor | None,
) -> Iterator[Tensor]:
    """The hidden states (T, H) after each layer from number ``first`` on; (R, H) after the last."""
    # XLM-R XL and XXL norm each block's input, so one norm is left for the end.
    end = getattr(model.encoder, "LayerNorm", None)
    last = len(model.encoder.layer[:layers])
    for number, layer in enumerate(model.encoder.layer[first:layers], start=first + 1):
        hidden = _layer(layer, hidden, batch, rows if number == last else None)
        if end is not None and number == len(model.encoder.layer):
            hidden = end(hidden)
        yield hidden


def _layer(layer: Any, hidden: Tensor, batch: Packed, rows: Tensor | None) -> Tensor:
    """(T, H) -> (T, H), or (R, H)"""
    attention = layer.attention
    before = getattr(attention, "self_attn_layer_norm", None)  # XL's
    mixed = attention.self(hidden if before is None else before(hidden), batch)
    if rows is not None:
        mixed, hidden = mixed[rows], hidden[rows]
    # With a dimension in front, as a batch of one: adapters counts dimensions.
    result: Tensor = layer.feed_forward_chunk(attention.output(mixed.unsqueeze(0), hidden.unsqueeze(0)))
    return result[0]


def prepare(model: XLMRobertaModel) -> XLMRobertaModel:
    """Put the parts of this package into an HF encoder, in place: packed attention, ``Linear`` and
    ``Dropout``. Parameters, and their names, stay. Returns the model."""
    pack_attention(model)
    for parent in list(model.modules()):
        for name, part in parent.named_children():
            if type(part) is nn.Linear:
                setattr(parent, name, Linear(part).train(part.training))
            elif type(part) is nn.Dropout:
                setattr(parent, name, Dropout(part.p).train(part.training))
    return model
