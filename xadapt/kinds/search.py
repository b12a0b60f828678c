"""Which candidate of a large pool in many languages answers this? LAReQA, Mewsli-X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xadapt.kinds.candidates import as_pool, queries_and_candidates
from xadapt.kinds.checks import (
    check_length,
    check_scored,
    refuse_unlabelled,
)
from xadapt.kinds.encoding import sequences
from xadapt.kinds.kind import Baselines, Item
from xadapt.kinds.metrics import Counts, average_precision, hits
from xadapt.kinds.spelling import spelt_alike
from xadapt.kinds.untrained import Untrained
from xadapt.kinds.vectors import mean_vectors, normalised
from xadapt.tasks.examples import Example, Sought
from xadapt.tasks.task import Task

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from xadapt.backbone.packing import Packed

RANKS = 20
QUERY_TOKENS = 96  # what is kept of a query, as in XTREME-R's LAReQA script


class Search(Untrained):
    """Candidates are ranked by the cosine of their vector with the query's; mAP of the first 20.

    Where the task trains, one encoder with a ``DualHead`` gives both vectors (XTREME-R, Ruder et al. 2021,
    arXiv 2104.07412): each query is to find its candidate among all candidates of the batch. An item is then
    a pair of two sequences, its target the numbers of the candidates that answer it, its own first. Where
    nothing is trained, vectors are means at a middle layer, as for Tatoeba. In evaluation an item is a text.

    SQuAD's examples become pairs of a question and the sentence that holds its first answer, the paragraph
    around it read as context.

    Args:
        task: the row.
        layer: another layer than the usual one, where nothing is trained.
    """

    metrics = ("map@20",)
    separable = False
    pooled = True

    def __init__(self, task: Task, layer: int | None = None) -> None:
        super().__init__(task, layer)
        self.trained = task.train is not None

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        training: bool,
    ) -> list[Item]:
        """``<s> query </s>`` of at most 96 tokens and ``<s> candidate </s></s> context </s>``, cut from the
        longer first. In training, queries whose answer is not among the examples make no item."""
        check_length(max_length, self.least)
        if training and not self.trained:
            raise self.untrainable()
        rows = as_pool(examples)
        queries = [i for i, row in enumerate(rows) if row.side == "query"]
        asked = sequences(tokenizer, [rows[i].text for i in queries], min(max_length, QUERY_TOKENS))
        pool = [i for i, row in enumerate(rows) if row.side == "candidate"]
        read = [(rows[i].text, rows[i].context) if rows[i].context else rows[i].text for i in pool]
        offered = sequences(tokenizer, read, max_length)
        if not training:
            both = [*zip(queries, asked, strict=True), *zip(pool, offered, strict=True)]
            return [Item(i, (s,)) for i, s in sorted(both, key=lambda pair: pair[0])]
        asking = [rows[i] for i in queries]
        refuse_unlabelled(asking, lambda r: r.answers is None, "train")
        number = {rows[i].id: k for k, i in enumerate(pool)}
        items = []
        for i, row, sequence in zip(queries, asking, asked, strict=True):
            if right := tuple(number[a] for a in row.answers or () if a in number):
                items.append(Item(i, (sequence, offered[right[0]]), right))
        return items

    def head(self, config: PretrainedConfig) -> nn.Module:
        from xadapt.kinds.heads import DualHead, as_hf

        return as_hf(DualHead(config), config) if self.trained else super().head(config)

    def layer(self, config: PretrainedConfig) -> int | None:
        return None if self.trained else super().layer(config)

    def reads(self, batch: Packed, items: Sequence[Item]) -> Tensor | None:
        """Each text's ``<s>``; all tokens where their mean is the vector."""
        return batch.starts if self.trained else None

    def units(self, items: Sequence[Item]) -> int:
        """Queries."""
        return len(items)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
        """Cross entropy of each query's own candidate among those of the batch, summed over queries. Others
        that answer the query too, or are the same candidate, are left out of its sum. Items of one step that
        do not fit into one batch of tokens are not set against each other."""
        import torch
        import torch.nn.functional as F

        from xadapt.kinds.heads import in_float32

        if not self.trained:
            raise self.untrainable()
        vectors = in_float32(head, hidden)
        logits = head.get_parameter("logit_scale") * vectors[0::2] @ vectors[1::2].T
        own = [item.target[0] for item in items]
        other = [[j != i and c in item.target for j, c in enumerate(own)] for i, item in enumerate(items)]
        logits = logits.masked_fill(torch.tensor(other, device=logits.device), -torch.inf)
        return F.cross_entropy(logits, torch.arange(len(items), device=logits.device), reduction="sum")

    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """An item's vector, (H,)."""
        from xadapt.kinds.heads import in_float32

        if not self.trained:
            return list(mean_vectors(hidden, batch))
        return list(in_float32(head, hidden).detach().cpu().numpy())

    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """For each query the ids of the 20 nearest candidates, the nearest first; none for candidates."""
        rows = as_pool(examples)
        if len(items) != len(rows):
            raise ValueError(f"got {len(items)} items for {len(rows)} texts: all must be there")
        place = {item.example: k for k, item in enumerate(items)}
        queries, pool = queries_and_candidates(rows)
        asked, offered = (normalised(np.stack([outputs[place[i]] for i in side])) for side in (queries, pool))
        from xadapt.kinds.neighbours import nearest_neighbours

        _, found = nearest_neighbours(asked, offered, RANKS, device=self.device)
        return ranked_ids(rows, queries, pool, found)[: len(examples)]

    def counts(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, Counts]:
        """mAP@20 over the queries."""
        asked = [
            (row, ranked)
            for row, ranked in zip(as_pool(examples)[: len(examples)], predictions, strict=True)
            if row.side == "query"
        ]
        check_scored([row for row, _ in asked], [ranked for _, ranked in asked], lambda r: not r.answers)
        precisions = [average_precision(row.answers or (), ranked, RANKS) for row, ranked in asked]
        return {"map@20": hits(precisions)}

    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """The candidates that share most words with the query, rare words counting more."""
        scores = {}
        for lang, test in tests.items():
            rows = as_pool(test)
            queries, pool = queries_and_candidates(rows)
            texts = [f"{rows[i].text} {rows[i].context}" for i in pool]
            _, found = spelt_alike([rows[i].text for i in queries], texts, RANKS, grams="words")
            scores[lang] = self.score(test, ranked_ids(rows, queries, pool, found)[: len(test)])
        return {"same words": scores}


def ranked_ids(
    rows: Sequence[Sought], queries: Sequence[int], pool: Sequence[int], found: np.ndarray
) -> list[tuple[str, ...]]:
    """For each of ``rows`` the ids of what was found for it; ``()`` for candidates.

    Args:
        queries, pool: the indices of the queries and of the candidates among ``rows``.
        found: (Q, k) indices in ``pool``, the best first.
    """
    ranked: list[tuple[str, ...]] = [()] * len(rows)
    for i, line in zip(queries, found, strict=True):
        ranked[i] = tuple(rows[pool[k]].id for k in line)
    return ranked
