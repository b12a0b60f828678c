"""Each word of a sentence gets one tag: parts of speech, named entities."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xadapt.common.errors import UserError
from xadapt.kinds.answers import Answered, TaggedWords
from xadapt.kinds.checks import check_scored, label_index, readable, typed
from xadapt.kinds.encoding import chunks, compact, tokenized
from xadapt.kinds.kind import Baselines, Item, Kind
from xadapt.kinds.metrics import Counts, entity_f1, words_right
from xadapt.kinds.words import entities_of
from xadapt.tasks.examples import Example, Tagged

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from xadapt.backbone.packing import Packed

OUTSIDE = -1  # in a target: a tag that is not among the task's


class Words(NamedTuple):
    """An item's note: which words of its sentence it holds, and where they begin.

    Attributes:
        first: the index of its first word in the sentence.
        at: (words,) the index in the sequence of each word's first piece.
    """

    first: int
    at: np.ndarray


class Tag(Kind):
    """A word's tag is read from its first piece, as XTREME does. An item is a sentence, or a run of its words
    where it is longer than ``max_length``; its target is (words,) tag indices. No word is ever lost: one
    that the tokenizer turns into nothing is ``<unk>``, one that alone is too long is cut.

    Where the label set is open (``task.open_labels``: supertags), a word whose tag is outside it trains
    nothing and is never right, as usual in supertagging."""

    serves = "tag"
    metrics = ("f1", "accuracy")
    labelled = True
    least = 3  # a piece of a word between two special tokens

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        training: bool,
    ) -> list[Item]:
        """Sentences without words make no item."""
        unlabelled = (lambda r: r.tags is None) if training else None
        rows = readable(examples, Tagged, max_length, least=self.least, unlabelled=unlabelled)
        for row in rows:
            check_tags(row)
        begin, end = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        items = []
        for i, ids, counts in word_pieces(rows, tokenizer, max_length - 2):
            tags = rows[i].tags
            target = None if tags is None else np.array([self._index(t, rows[i].id) for t in tags])
            stops = np.cumsum(counts)
            starts = stops - counts
            for first, last in runs(stops, max_length - 2):
                sequence = compact(np.concatenate([begin, ids[starts[first] : stops[last - 1]], end]))
                at = starts[first:last] - starts[first] + 1
                part = None if target is None else target[first:last]
                items.append(Item(i, (sequence,), part, Words(first, at)))
        return items

    def head(self, config: PretrainedConfig) -> nn.Module:
        from xadapt.kinds.heads import TokenHead, as_hf

        return as_hf(TokenHead(config, len(self.task.labels)), config)

    def reads(self, batch: Packed, items: Sequence[Item]) -> Tensor:
        """The first piece of each word, item by item."""
        from xadapt.kinds.heads import tokens_at

        return tokens_at(batch, [item.note.at for item in items])

    def units(self, items: Sequence[Item]) -> int:
        """Words whose tag is one of the task's."""
        return sum(int((item.target != OUTSIDE).sum()) for item in items)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
        """Cross entropy, summed over the words whose tag is one of the task's."""
        import torch
        import torch.nn.functional as F

        from xadapt.kinds.heads import in_float32

        target = torch.from_numpy(np.concatenate([item.target for item in items])).to(hidden.device)
        return F.cross_entropy(in_float32(head, hidden), target, ignore_index=OUTSIDE, reduction="sum")

    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """An item's tag indices, (words,)."""
        from xadapt.kinds.heads import in_float32

        best = in_float32(head, hidden).argmax(-1).cpu().numpy()
        return np.split(best, np.cumsum([len(item.note.at) for item in items])[:-1])

    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """A sentence's tags, one a word, its items rejoined."""
        rows = typed(examples, Tagged)
        best = [np.full(len(r.words), -1) for r in rows]
        for item, tags in zip(items, outputs, strict=True):
            best[item.example][item.note.first : item.note.first + len(tags)] = tags
        for row, tags in zip(rows, best, strict=True):
            if (tags < 0).any():
                raise ValueError(f"words of {row.id!r} have no output: was an item left out?")
        return [tuple(self.task.labels[t] for t in tags) for tags in best]

    def answers(
        self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]
    ) -> Sequence[Answered]:
        """A tag a word, and what runs of them name."""
        tags = self.decode(examples, items, outputs)
        return [
            TaggedWords(row.words, tagged, None, entities_of(row.words, tagged))
            for row, tagged in zip(typed(examples, Tagged), tags, strict=True)
        ]

    def counts(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, Counts]:
        """Entity F1 (seqeval, as XTREME) and the share of words that are right."""
        rows = typed(examples, Tagged)
        check_scored(rows, predictions, lambda r: r.tags is None)
        gold = [r.tags or () for r in rows]
        for row, guess in zip(rows, predictions, strict=True):
            check_tags(row)
            for tag in set(row.tags or ()):
                self._index(tag, row.id)
            if len(guess) != len(row.words):
                raise ValueError(f"got {len(guess)} tags for the {len(row.words)} words of {row.id!r}")
        made = {"f1": entity_f1, "accuracy": words_right}
        return {metric: made[metric](gold, predictions) for metric in self.task.metrics}

    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """The most frequent tag for every word, and each word's own most frequent tag; ties go to the tag
        that the task lists first."""
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        for row in typed(train, Tagged):
            for word, tag in zip(row.words, row.tags or (), strict=False):
                if self._index(tag, row.id) != OUTSIDE:
                    seen[word][tag] += 1
        if not seen:
            return {}
        total = sum(seen.values(), Counter[str]())
        constant = self._commonest(total)
        own = {word: self._commonest(counts) for word, counts in seen.items()}
        rows = {lang: typed(test, Tagged) for lang, test in tests.items()}
        return {
            "most frequent tag": {
                lang: self.score(test, [(constant,) * len(r.words) for r in test])
                for lang, test in rows.items()
            },
            "most frequent tag of the word": {
                lang: self.score(test, [tuple(own.get(w, constant) for w in r.words) for r in test])
                for lang, test in rows.items()
            },
        }

    def _commonest(self, counts: Counter[str]) -> str:
        return max(counts, key=lambda tag: (counts[tag], -self.ids[tag]))

    def _index(self, tag: str, sentence: str) -> int:
        """The tag's place in the head; ``OUTSIDE`` for one that an open set does not have."""
        if self.task.open_labels:
            return self.ids.get(tag, OUTSIDE)
        return label_index(tag, self.ids, sentence)


def word_pieces(
    rows: Sequence[Tagged], tokenizer: PreTrainedTokenizerFast, room: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each sentence that has words: its index, its token ids without special tokens, and (words,) how many
    of them each word has: 1 to ``room``."""
    spoken = [i for i, row in enumerate(rows) if row.words]
    for part in chunks(len(spoken)):
        sentences = [list(rows[spoken[k]].words) for k in part]
        encoded = tokenized(tokenizer, sentences, is_split_into_words=True)
        for k, i in enumerate(spoken[part.start : part.stop]):
            ids = np.asarray(encoded["input_ids"][k], dtype=np.int32)
            owner = np.asarray(encoded.word_ids(k), dtype=np.int64)
            counts = np.bincount(owner, minlength=len(rows[i].words))
            lost = np.flatnonzero(counts == 0)
            if len(lost):  # zero-width characters and the like
                ids = np.insert(ids, np.cumsum(counts)[lost], tokenizer.unk_token_id)
                counts[lost] = 1
            if counts.max() > room:
                within = np.arange(len(ids)) - np.repeat(np.cumsum(counts) - counts, counts)
                ids, counts = ids[within < room], np.minimum(counts, room)
            yield i, ids, counts


def runs(stops: np.ndarray, room: int) -> Iterator[tuple[int, int]]:
    """Cut words 0..n-1, word k ending before piece ``stops[k]``, into runs [first, last) of at most ``room``
    pieces, each as long as it can be. No word has more than ``room``."""
    first = 0
    while first < len(stops):
        begun = stops[first - 1] if first else 0
        last = int(np.searchsorted(stops, begun + room, side="right"))
        yield first, last
        first = last


def check_tags(row: Tagged) -> None:
    """Refuse a sentence whose tags are not one a word."""
    if row.tags is not None and len(row.tags) != len(row.words):
        raise UserError(
            f"sentence {row.id!r} has {len(row.words)} words and {len(row.tags)} tags",
            expected="one tag a word",
        )
