"""Sentence vectors from hidden states: shared by all retrieval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xadapt.common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig

    from xadapt.backbone.packing import Packed


def middle_layer(config: PretrainedConfig, layer: int | None) -> int:
    """``layer`` if it is named; else the one that XTREME and jiant pool: 14 of 24 in XLM-R large (0 is the
    embeddings; PAPER.md, "Retrieval"), and as deep in proportion elsewhere: 7 of 12."""
    if layer is None:
        return max(1, round(14 / 24 * config.num_hidden_layers))
    if not 0 <= layer <= config.num_hidden_layers:
        raise UserError(f"layer {layer}", expected=f"0 (the embeddings) to {config.num_hidden_layers}")
    return layer


def mean_vectors(hidden: Tensor, batch: Packed) -> np.ndarray:
    """(T, H) -> (N, H): the mean over each sequence's tokens, special tokens included; float32."""
    from xadapt.kinds.heads import per_sequence

    return per_sequence(batch, hidden.detach().float(), lambda x: x.mean(1)).cpu().numpy()


def normalised(vectors: np.ndarray) -> np.ndarray:
    """(N, H) rows of length 1; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def first_occurrences(texts: list[str]) -> np.ndarray:
    """The index of each distinct text's first occurrence, ascending."""
    first: dict[str, int] = {}
    for i, text in enumerate(texts):
        first.setdefault(text, i)
    return np.fromiter(first.values(), dtype=np.int64, count=len(first))
