"""Which words were hidden? Continued multilingual masked language modelling on running text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xadapt.common.errors import UserError
from xadapt.common.randomness import generator
from xadapt.kinds.checks import readable
from xadapt.kinds.encoding import chunks, compact, tokenized
from xadapt.kinds.kind import TOGETHER, Baselines, Item, Kind
from xadapt.kinds.metrics import Counts
from xadapt.tasks.examples import Example, Text

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from xadapt.backbone.packing import Packed

HIDDEN = 0.15  # of the tokens (Devlin et al. 2019, arXiv 1810.04805, section 3.1)
AS_MASK, AS_RANDOM = 0.8, 0.1  # of the hidden ones; the rest stays as it is


class Vocabulary(NamedTuple):
    """What masking needs of a tokenizer: the id of ``<mask>``, how many ids there are, and which of them are
    special tokens."""

    mask: int
    size: int
    special: tuple[int, ...]


class Passage(NamedTuple):
    """An item's note: plain numbers, so that items can be kept on disk.

    Attributes:
        number: the item's place among those of its run of ``TOGETHER`` texts: names the draw of its masks.
        owner: (tokens,) the example that each token belongs to, counted from the item's own; -1 for special
            tokens.
        vocabulary: the same in all items.
    """

    number: int
    owner: np.ndarray
    vocabulary: Vocabulary


@cache
def ordinary(vocabulary: Vocabulary) -> np.ndarray:
    """The ids that are no special tokens, sorted."""
    return np.setdiff1d(np.arange(vocabulary.size, dtype=np.int32), np.array(vocabulary.special))


class Mlm(Kind):
    """Texts are packed one after another, ``</s>`` between them, into sequences of ``max_length`` tokens
    (RoBERTa's full sentences: Liu et al. 2019, arXiv 1907.11692, section 4.2), and 15% of the tokens are
    hidden, anew in each step. An item is a sequence: in evaluation its masks are drawn when it is encoded, in
    training by ``draw``. Its target is where the hidden tokens are and what they were. No sequence spans two
    runs of ``TOGETHER`` texts."""

    serves = "mlm"
    metrics = ("accuracy",)

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        training: bool,
    ) -> list[Item]:
        """``<s> text </s> text ... </s>``; a text is cut where a sequence is full and goes on in the next.

        Raises:
            UserError: a tokenizer without ``<mask>``.
        """
        rows = readable(examples, Text, max_length)
        if tokenizer.mask_token_id is None:
            raise UserError("the tokenizer has no mask token", do="take an XLM-R checkpoint's own tokenizer")
        special = tuple(sorted(tokenizer.all_special_ids))
        vocabulary = Vocabulary(tokenizer.mask_token_id, len(tokenizer), special)
        begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
        items: list[Item] = []
        for run in chunks(len(rows), TOGETHER):
            texts = [rows[i] for i in run]
            for number, (ids, owner) in enumerate(packed_texts(texts, tokenizer, max_length - 2, end)):
                sequence = compact(np.concatenate([[begin], ids, [end]]))
                counted = np.where(owner < 0, -1, owner - owner[0])
                note = Passage(number, np.concatenate([[-1], counted, [-1]]), vocabulary)
                item = Item(run.start + int(owner[0]), (sequence,), None, note)
                items.append(item if training else hidden_words(item, "mlm", "evaluation", number))
        return items

    def draw(self, items: Sequence[Item], *key: object) -> Sequence[Item]:
        """Masks that depend on the key and on each item's place alone."""
        # Which run an item is of, its example says, also where each run was encoded by itself.
        places = (((item.example // TOGETHER) << 32) + item.note.number for item in items)
        return [hidden_words(item, *key, place) for item, place in zip(items, places, strict=True)]

    def head(self, config: PretrainedConfig) -> nn.Module:
        from xadapt.kinds.heads import as_hf
        from xadapt.kinds.word_head import WordHead

        return as_hf(WordHead(config), config)

    def reads(self, batch: Packed, items: Sequence[Item]) -> Tensor:
        """The hidden tokens, item by item."""
        from xadapt.kinds.heads import tokens_at

        return tokens_at(batch, [item.target[0] for item in items])

    def units(self, items: Sequence[Item]) -> int:
        """Hidden tokens."""
        return sum(len(item.target[0]) for item in items)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
        """Cross entropy, summed over hidden tokens; logits are made for these only, and for a large
        vocabulary a few at a time, once more in the backward pass."""
        import torch
        from torch.utils.checkpoint import checkpoint

        from xadapt.kinds.word_head import word_head

        words = word_head(head)
        target = torch.from_numpy(np.concatenate([item.target[1] for item in items])).to(hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            ready = words(hidden.float())
            if len(ready) <= words.rows():
                return words.loss(ready, target)
            parts = zip(ready.split(words.rows()), target.split(words.rows()), strict=True)
            return torch.stack([checkpoint(words.loss, r, t, use_reentrant=False) for r, t in parts]).sum()

    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """An item's likeliest tokens, (hidden,)."""
        import torch

        from xadapt.kinds.word_head import word_head

        words = word_head(head)
        with torch.autocast(hidden.device.type, enabled=False):
            ready = words(hidden.float())
            best = torch.cat([words.logits(part).argmax(-1) for part in ready.split(words.rows())])
        return np.split(best.cpu().numpy(), np.cumsum([len(item.target[0]) for item in items])[:-1])

    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """For each text how many of its tokens were hidden, and how many of them were found."""
        counts = np.zeros((len(examples), 2), dtype=np.int64)
        for item, found in zip(items, outputs, strict=True):
            at, truth = item.target
            owner = item.example + item.note.owner[at]
            np.add.at(counts, (owner, 0), 1)
            np.add.at(counts, (owner, 1), found == truth)
        return [(int(hidden), int(right)) for hidden, right in counts]

    def counts(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, Counts]:
        """The share of hidden tokens that were found."""
        made = np.array([(right, hidden) for hidden, right in predictions], dtype=np.float64).reshape(-1, 2)
        if not made[:, 1].any():
            raise UserError("no text to score", do="look whether the split's file is empty")
        return {"accuracy": made}

    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """None: tokens are a tokenizer's, and none is at hand. See ``most_frequent_token``."""
        return {}


def packed_texts(
    rows: Sequence[Text], tokenizer: PreTrainedTokenizerFast, room: int, between: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Runs of at most ``room`` tokens: (tokens,) ids, ``between`` standing between texts, and (tokens,) the
    index of the text that each is of, -1 for ``between``."""
    ids: list[np.ndarray] = []
    owner: list[np.ndarray] = []
    filled = 0

    def add(tokens: np.ndarray, text: int) -> None:
        nonlocal filled
        ids.append(tokens)
        owner.append(np.full(len(tokens), text))
        filled += len(tokens)

    for part in chunks(len(rows)):
        encoded = tokenized(tokenizer, [rows[i].text for i in part])
        for i, text in zip(part, encoded["input_ids"], strict=True):
            left = np.asarray(text, dtype=np.int32)
            if len(left) and filled + 2 > room:
                yield np.concatenate(ids), np.concatenate(owner)
                ids, owner, filled = [], [], 0
            elif len(left) and filled:
                add(np.array([between], dtype=np.int32), -1)
            while len(left):
                taken, left = left[: room - filled], left[room - filled :]
                add(taken, i)
                if filled == room and len(left):
                    yield np.concatenate(ids), np.concatenate(owner)
                    ids, owner, filled = [], [], 0
    if filled:
        yield np.concatenate(ids), np.concatenate(owner)


def hidden_words(item: Item, *key: object) -> Item:
    """The item with 15% of its tokens hidden, at least one: 80% of them behind ``<mask>``, 10% behind any
    token, 10% left as they are."""
    note = item.note
    draw = generator(*key)
    places = np.flatnonzero(note.owner >= 0)
    chosen = draw.random(len(places)) < HIDDEN
    chosen[draw.integers(len(places))] |= not chosen.any()
    at = places[chosen]
    ids = np.array(item.sequences[0], dtype=np.int64)
    truth = ids[at]
    fate = draw.random(len(at))
    any_token = draw.choice(ordinary(note.vocabulary), len(at))
    ids[at] = np.where(
        fate < AS_MASK, note.vocabulary.mask, np.where(fate < AS_MASK + AS_RANDOM, any_token, truth)
    )
    return Item(item.example, (compact(ids),), (at, truth), note)


def most_frequent_token(train: Sequence[Item], test: Sequence[Item]) -> float:
    """The baseline: the accuracy, 0..100, of answering with the commonest token of ``train`` always.

    Args:
        train: items as ``encode`` gives them for training.
        test: items with hidden tokens.
    """
    seen: Counter[int] = Counter()
    for item in train:
        seen.update(np.array(item.sequences[0])[item.note.owner >= 0].tolist())
    token = max(sorted(seen), key=lambda t: seen[t])
    truth = np.concatenate([item.target[1] for item in test])
    return 100.0 * float((truth == token).mean())
