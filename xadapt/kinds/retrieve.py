"""Which of these sentences is the translation of that one? Tatoeba. Nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xadapt.kinds.checks import check_scored, readable, typed
from xadapt.kinds.encoding import sequences
from xadapt.kinds.kind import Baselines, Item
from xadapt.kinds.metrics import Counts, hits
from xadapt.kinds.spelling import spelt_alike
from xadapt.kinds.untrained import Untrained
from xadapt.kinds.vectors import first_occurrences, mean_vectors, normalised
from xadapt.tasks.examples import Example, Paired

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerFast

    from xadapt.backbone.packing import Packed


class Retrieve(Untrained):
    """The English sentence asks, as in XTREME's and jiant's scripts: its translation is the source sentence
    of the highest cosine. An item is a pair with two sequences, source and target (English)."""

    metrics = ("accuracy",)

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        training: bool,
    ) -> list[Item]:
        """``<s> sentence </s>`` for either side."""
        if training:
            raise self.untrainable()
        rows = readable(examples, Paired, max_length)
        both = sequences(tokenizer, [side for r in rows for side in (r.source, r.target)], max_length)
        return [Item(i, (both[2 * i], both[2 * i + 1])) for i in range(len(rows))]

    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """An item's two sentence vectors, (2, H)."""
        return list(mean_vectors(hidden, batch).reshape(len(items), 2, -1))

    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """For each English sentence the index of the nearest source sentence; of equally near ones the first.
        Equal source sentences stand for one, the first: only that one's own translation can be right, as
        with XTREME's comparison of indices."""
        rows = typed(examples, Paired)
        if not rows:
            return []
        if len(items) != len(rows):
            raise ValueError(f"got {len(items)} items for {len(rows)} pairs: all sentences must be there")
        vectors = np.empty((2, len(rows), outputs[0].shape[1]), dtype=np.float32)
        for item, pair in zip(items, outputs, strict=True):
            vectors[:, item.example] = pair
        firsts = first_occurrences([r.source for r in rows])
        from xadapt.kinds.neighbours import nearest_neighbours

        _, found = nearest_neighbours(
            normalised(vectors[1]), normalised(vectors[0][firsts]), 1, device=self.device
        )
        return firsts[found[:, 0]].tolist()

    def counts(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, Counts]:
        """The share of sentences whose own index is found."""
        rows = typed(examples, Paired)
        check_scored(rows, predictions, lambda _: False)
        return {"accuracy": hits([i == p for i, p in enumerate(predictions)])}

    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """The source sentence with the most similar spelling."""
        scores = {}
        for lang, test in tests.items():
            if rows := typed(test, Paired):
                firsts = first_occurrences([r.source for r in rows])
                _, found = spelt_alike([r.target for r in rows], [rows[i].source for i in firsts], 1)
                scores[lang] = self.score(rows, firsts[found[:, 0]].tolist())
        return {"same words": scores}
