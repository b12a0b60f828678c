"""Which sentences of two texts are translations of each other, if any? BUCC. Nothing is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xadapt.kinds.candidates import queries_and_candidates
from xadapt.kinds.checks import check_scored, readable, refuse_unlabelled, typed
from xadapt.kinds.encoding import sequences
from xadapt.kinds.kind import Baselines, Item
from xadapt.kinds.metrics import Counts, pair_f1, score_of
from xadapt.kinds.spelling import spelt_alike
from xadapt.kinds.untrained import Untrained
from xadapt.kinds.vectors import first_occurrences, mean_vectors, normalised
from xadapt.tasks.examples import Example, Sought
from xadapt.tasks.task import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerFast

    from xadapt.backbone.packing import Packed

NEIGHBOURS = 4


class Match(NamedTuple):
    """A mined pair: the ids of its query and candidate, and its margin."""

    query: str
    candidate: str
    margin: float


class BitextMining(Untrained):
    """Bitext mining with the ratio margin (Artetxe & Schwenk 2019, arXiv 1811.01136, equations 1 and 2), as
    XTREME's BUCC script does it: the margin of a pair is its cosine over the mean of both sides' mean cosines
    with their 4 nearest; each side's best pairs are taken greedily, the highest margin first, no sentence
    twice; what is below a threshold is dropped. An item is a sentence: the mean of its tokens' hidden states.

    Equal sentences of one side stand for one; it can be matched, but pairs with it are not given out, because
    which of its ids is meant cannot be known.

    Args:
        task: the row.
        layer: another layer than the usual one (``vectors.middle_layer``).
        threshold: the least margin of a pair; None until ``fit`` has found it on dev.
    """

    metrics = ("f1",)
    tuned = True

    def __init__(self, task: Task, layer: int | None = None, threshold: float | None = None) -> None:
        super().__init__(task, layer)
        self.threshold = threshold
        self._known: tuple[Sequence[Any], list[Match]] | None = None

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        training: bool,
    ) -> list[Item]:
        """``<s> sentence </s>``."""
        if training:
            raise self.untrainable()
        rows = readable(examples, Sought, max_length)
        encoded = sequences(tokenizer, [r.text for r in rows], max_length)
        return [Item(i, (s,)) for i, s in enumerate(encoded)]

    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """An item's sentence vector, (H,)."""
        return list(mean_vectors(hidden, batch))

    def fit(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> BitextMining:
        """The same with the threshold that gives the best F1 here.

        Raises:
            UserError: the gold pairs are not known.
        """
        rows = typed(examples, Sought)
        matches = self._matches(rows, items, outputs)
        threshold = best_threshold(matches, gold_pairs(rows))
        fitted = BitextMining(self.task, self._layer, threshold)
        fitted.device = self.device
        # Mining a large dev set takes minutes, and fitting is mostly followed by scoring the same outputs.
        fitted._known = (outputs, matches)
        return fitted

    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """For each query the id of its candidate, or None; None for candidates."""
        if self.threshold is None:
            raise ValueError("no threshold: fit it on dev first")
        rows = typed(examples, Sought)
        pairs = {
            m.query: m.candidate for m in self._matches(rows, items, outputs) if m.margin >= self.threshold
        }
        return [pairs.get(r.id) if r.side == "query" else None for r in rows]

    def counts(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, Counts]:
        """F1 of the pairs."""
        rows = typed(examples, Sought)
        check_scored(rows, predictions, lambda r: r.side == "query" and r.answers is None)
        found = {(r.id, p) for r, p in zip(rows, predictions, strict=True) if p is not None}
        return {"f1": pair_f1(gold_pairs(rows), found, [r.id for r in rows if r.side == "query"])}

    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """Pairs that are each other's most similar in spelling, above the similarity that is best on this
        very test: what names and numbers give away at most."""
        scores = {}
        for lang, test in tests.items():
            rows = typed(test, Sought)
            queries, candidates = ([rows[i] for i in side] for side in queries_and_candidates(rows))
            forward, to = spelt_alike(
                [q.text for q in queries], [c.text for c in candidates], 1, grams="words"
            )
            _, back = spelt_alike([c.text for c in candidates], [q.text for q in queries], 1, grams="words")
            mutual = [i for i, j in enumerate(to[:, 0]) if back[j, 0] == i and forward[i, 0] > 0]
            mutual.sort(key=lambda i: -forward[i, 0])
            matches = [Match(queries[i].id, candidates[to[i, 0]].id, float(forward[i, 0])) for i in mutual]
            gold = gold_pairs(rows)
            least = best_threshold(matches, gold)
            mined = {m[:2] for m in matches if m.margin >= least}
            scores[lang] = {"f1": score_of(pair_f1(gold, mined, [q.id for q in queries]))}
        return {"same words": scores}

    def _matches(self, rows: Sequence[Sought], items: Sequence[Item], outputs: Sequence[Any]) -> list[Match]:
        """All pairs of a margin above 0, the highest first."""
        if self._known is not None and self._known[0] is outputs:
            return self._known[1]
        if len(items) != len(rows):
            raise ValueError(f"got {len(items)} items for {len(rows)} sentences: all must be there")
        place = {item.example: k for k, item in enumerate(items)}
        vectors: list[np.ndarray] = []
        names: list[list[str | None]] = []
        for side in queries_and_candidates(rows):
            texts = [rows[i].text for i in side]
            firsts = first_occurrences(texts)
            vectors.append(normalised(np.stack([outputs[place[side[k]]] for k in firsts])))
            times = Counter(text.strip() for text in texts)
            names.append([rows[side[k]].id if times[texts[k].strip()] == 1 else None for k in firsts])
        matches = []
        for i, j, margin in mined(*vectors, device=self.device):
            query, candidate = names[0][i], names[1][j]
            if query is not None and candidate is not None:
                matches.append(Match(query, candidate, margin))
        return matches


def mined(
    queries: np.ndarray, candidates: np.ndarray, *, device: torch.device | str = "cpu"
) -> Iterator[tuple[int, int, float]]:
    """Pairs (query, candidate, margin) of a margin above 0, the highest first, no index twice on its side.

    Args:
        queries: (Q, H) rows of length 1, float32.
        candidates: (C, H) likewise.
        device: where their cosines are computed.
    """
    from xadapt.kinds.neighbours import nearest_both_ways

    (forward, to), (backward, back) = nearest_both_ways(queries, candidates, NEIGHBOURS, device=device)
    about_query, about_candidate = forward.mean(1), backward.mean(1)
    margins, pairs = [], []
    for cosines, at, own, others in (
        (forward, to, about_query, about_candidate),
        (backward, back, about_candidate, about_query),
    ):
        scale = (own[:, None] + others[at]) / 2
        ratio = np.divide(cosines, scale, out=np.zeros_like(cosines), where=scale != 0)
        best = ratio.argmax(1)
        every = np.arange(len(ratio))
        margins.append(ratio[every, best])
        pairs.append((every, at[every, best]))
    query = np.concatenate([pairs[0][0], pairs[1][1]])
    candidate = np.concatenate([pairs[0][1], pairs[1][0]])
    margin = np.concatenate(margins)
    taken_queries, taken_candidates = (
        np.zeros(len(queries), dtype=bool),
        np.zeros(len(candidates), dtype=bool),
    )
    for k in np.argsort(-margin, kind="stable"):
        i, j = query[k], candidate[k]
        if margin[k] > 0 and not taken_queries[i] and not taken_candidates[j]:
            taken_queries[i] = taken_candidates[j] = True
            yield int(i), int(j), float(margin[k])


def best_threshold(matches: Sequence[Match], gold: Set[tuple[str, str]]) -> float:
    """The margin above which the pairs have the best F1: halfway between the last pair that is kept and the
    first that is not; of equally good ones the highest. 0 where no pair is right.

    Args:
        matches: the highest margin first.
    """
    right = np.cumsum([match[:2] in gold for match in matches])
    if not len(right) or not right[-1]:
        return 0.0
    f1 = 2 * right / (np.arange(1, len(right) + 1) + len(gold))
    last = int(f1.argmax())
    return (matches[last].margin + matches[min(last + 1, len(matches) - 1)].margin) / 2


def gold_pairs(rows: Sequence[Sought]) -> set[tuple[str, str]]:
    """The ids of all queries with those of their answers.

    Raises:
        UserError: the answers of a query are not known.
    """
    queries = [row for row in rows if row.side == "query"]
    refuse_unlabelled(queries, lambda r: r.answers is None, "score pairs")
    return {(row.id, answer) for row in queries for answer in row.answers or ()}
