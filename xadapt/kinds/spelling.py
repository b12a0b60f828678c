"""Retrieval without a model: what is spelt alike. Names, numbers and related languages give some away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

CELLS = 2**24  # cosines held at once


def spelt_alike(
    queries: Sequence[str],
    candidates: Sequence[str],
    k: int,
    *,
    grams: Literal["characters", "words"] = "characters",
) -> tuple[np.ndarray, np.ndarray]:
    """The cosines and the indices of the ``k`` candidates that are spelt most like each query.

    Counts of character n-grams or words, those that are common among the candidates counting less.

    Returns:
        (Q, min(k, C)) each, the most similar first; of equally similar ones the first.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    how = {"analyzer": "char_wb", "ngram_range": (1, 4)} if grams == "characters" else {"analyzer": "word"}
    counted = HashingVectorizer(n_features=2**18, alternate_sign=False, **how)
    target = counted.transform(candidates)
    weights = TfidfTransformer(sublinear_tf=True).fit(target)
    source = weights.transform(counted.transform(queries))
    target = weights.transform(target).T.tocsr()
    k = min(k, len(candidates))
    scores = np.empty((len(queries), k), dtype=np.float32)
    found = np.empty((len(queries), k), dtype=np.int64)
    step = max(1, CELLS // len(candidates))
    for row in range(0, len(queries), step):
        cosines = (source[row : row + step] @ target).toarray()
        if k == 1:
            places = cosines.argmax(1)[:, None]
        else:
            places = np.sort(np.argpartition(-cosines, k - 1, axis=1)[:, :k], axis=1)
            kept = np.take_along_axis(cosines, places, axis=1)
            places = np.take_along_axis(places, np.argsort(-kept, axis=1, kind="stable"), axis=1)
        found[row : row + step] = places
        scores[row : row + step] = np.take_along_axis(cosines, places, axis=1)
    return scores, found
