"""Which of these sentences is the translation of that one? Tatoeba. Nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from xadapt.data.examples import Example, Paired
from xadapt.errors import UserError
from xadapt.kinds.checks import check_length, check_scored, check_task, typed
from xadapt.kinds.encoding import sequences
from xadapt.kinds.heads import per_sequence
from xadapt.kinds.kind import Baselines, Item
from xadapt.kinds.metrics import percent
from xadapt.packing import Packed
from xadapt.tasks.task import Task

CHUNK = 1024  # sources compared with all targets at once


class Retrieve:
    """A sentence is the mean of its tokens' hidden states at a middle layer, special tokens included; its
    translation is the target of the highest cosine. An item is a pair with two sequences, source and target.

    The layer is 14 of 24 in XLM-R large (index 0 is the embeddings), as in jiant's and XTREME's Tatoeba
    (PAPER.md, "Retrieval"), and as deep in proportion elsewhere: 7 of 12. Scores depend on it strongly.

    Args:
        task: the row.
        layer: another layer.
    """

    def __init__(self, task: Task, layer: int | None = None) -> None:
        check_task(task, "retrieve", ("accuracy",))
        self.task = task
        self._layer = layer

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        training: bool,
    ) -> list[Item]:
        """``<s> sentence </s>`` for either side."""
        check_length(max_length, 8)
        if training:
            raise self._untrainable()
        rows = typed(examples, Paired)
        both = sequences(tokenizer, [side for r in rows for side in (r.source, r.target)], max_length)
        return [Item(i, (both[2 * i], both[2 * i + 1])) for i in range(len(rows))]

    def head(self, config: PretrainedConfig) -> nn.Module:
        return nn.Identity()

    def layer(self, config: PretrainedConfig) -> int | None:
        if self._layer is None:
            return max(1, round(14 / 24 * config.num_hidden_layers))
        if not 0 <= self._layer <= config.num_hidden_layers:
            raise UserError(
                f"layer {self._layer}", expected=f"0 (the embeddings) to {config.num_hidden_layers}"
            )
        return self._layer

    def units(self, items: Sequence[Item]) -> int:
        raise self._untrainable()

    def loss(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
        raise self._untrainable()

    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """An item's two sentence vectors, (2, H)."""
        means = per_sequence(batch, hidden.detach().float(), lambda x: x.mean(1))
        return list(means.cpu().numpy().reshape(len(items), 2, -1))

    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """For each source the index of the nearest target; of equally near ones the first. Equal target
        sentences stand for one, the first: only that one's own source can be right, as with XTREME's
        comparison of indices."""
        rows = typed(examples, Paired)
        if not rows:
            return []
        if len(items) != len(rows):
            raise ValueError(f"got {len(items)} items for {len(rows)} pairs: all targets must be there")
        vectors = np.empty((2, len(rows), outputs[0].shape[1]), dtype=np.float32)
        for item, pair in zip(items, outputs, strict=True):
            vectors[:, item.example] = pair
        vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
        firsts = first_of_each([r.target for r in rows])
        source, target = vectors[0], vectors[1][firsts]
        near = [(source[k : k + CHUNK] @ target.T).argmax(1) for k in range(0, len(rows), CHUNK)]
        return firsts[np.concatenate(near)].tolist()

    def score(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, float]:
        """The share of sources whose own index is found."""
        rows = typed(examples, Paired)
        check_scored(rows, predictions, lambda _: False)
        return {"accuracy": percent([i == p for i, p in enumerate(predictions)])}

    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """The target with the most similar spelling, by the cosine of character n-gram counts, those that
        are common among the targets counting less: names, numbers and related languages give some away."""
        return {
            "same words": {
                lang: self._same_words(typed(test, Paired)) for lang, test in tests.items() if test
            }
        }

    def _same_words(self, rows: Sequence[Paired]) -> dict[str, float]:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        grams = HashingVectorizer(
            analyzer="char_wb", ngram_range=(1, 4), n_features=2**18, alternate_sign=False
        )
        firsts = first_of_each([r.target for r in rows])
        target = grams.transform([rows[i].target for i in firsts])
        weights = TfidfTransformer(sublinear_tf=True).fit(target)
        source = weights.transform(grams.transform([r.source for r in rows]))
        target = weights.transform(target).T.tocsr()
        near = [(source[k : k + CHUNK] @ target).toarray().argmax(1) for k in range(0, len(rows), CHUNK)]
        return self.score(rows, firsts[np.concatenate(near)].tolist())

    def _untrainable(self) -> UserError:
        return UserError(
            f"{self.task.name!r} trains nothing: it compares sentence vectors of the encoder as it is",
            do="name a trained task in the stack, and this one only as what is evaluated",
        )


def first_of_each(texts: Sequence[str]) -> np.ndarray:
    """The index of each distinct text's first occurrence, ascending."""
    first: dict[str, int] = {}
    for i, text in enumerate(texts):
        first.setdefault(text, i)
    return np.fromiter(first.values(), dtype=np.int64, count=len(first))
