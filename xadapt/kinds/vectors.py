"""Sentence vectors from hidden states, and which of them are near: shared by all retrieval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xadapt.common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig

    from xadapt.backbone.packing import Packed

# Queries and candidates compared at once: 64 MiB of cosines, however many there are in all.
QUERIES, CANDIDATES = 1024, 16_384


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


def nearest_neighbours(queries: np.ndarray, candidates: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The cosines and the indices of each query's ``k`` nearest candidates, the nearest first.

    Of equally near ones the first comes first. No more than ``QUERIES`` x ``CANDIDATES`` cosines are held.

    Args:
        queries: (Q, H) rows of length 1, float32.
        candidates: (C, H) likewise.

    Returns:
        (Q, min(k, C)) each.
    """
    import torch

    k = min(k, len(candidates))
    scores = np.empty((len(queries), k), dtype=np.float32)
    found = np.empty((len(queries), k), dtype=np.int64)
    for row in range(0, len(queries), QUERIES):
        asked = torch.from_numpy(np.ascontiguousarray(queries[row : row + QUERIES]))
        best = torch.empty((len(asked), 0))
        at = torch.empty((len(asked), 0), dtype=torch.int64)
        for first in range(0, len(candidates), CANDIDATES):
            block = torch.from_numpy(np.ascontiguousarray(candidates[first : first + CANDIDATES]))
            cosines = asked @ block.T
            if k == 1:  # argmax is exact on ties, topk is not
                places = torch.from_numpy(cosines.numpy().argmax(1)).unsqueeze(1)
            else:
                places = cosines.topk(min(k, len(block)), dim=1).indices.sort(dim=1).values
            best = torch.cat([best, cosines.gather(1, places)], dim=1)
            at = torch.cat([at, places + first], dim=1)
            order = best.sort(dim=1, descending=True, stable=True).indices[:, :k]
            best, at = best.gather(1, order), at.gather(1, order)
        scores[row : row + QUERIES], found[row : row + QUERIES] = best.numpy(), at.numpy()
    return scores, found


def first_occurrences(texts: list[str]) -> np.ndarray:
    """The index of each distinct text's first occurrence, ascending."""
    first: dict[str, int] = {}
    for i, text in enumerate(texts):
        first.setdefault(text, i)
    return np.fromiter(first.values(), dtype=np.int64, count=len(first))
