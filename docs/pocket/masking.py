"""Documents as token ids with words hidden: a pretraining step's batch, from the step's number alone."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from corpus import Corpus, Document
from recipe import Recipe
from transformers import XLMRobertaTokenizerFast

LONGEST = 256  # tokens


def hide(
    ids: np.ndarray, words: np.ndarray, rates: np.ndarray, rng: np.random.Generator, mask_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose whole words; 8 of 10 become ``<mask>``, one a random piece, one stays.

    Args:
        ids: (L,) pieces.
        words: (L,) the word each piece belongs to, -1 for special pieces.
        rates: (words,) how likely each word is hidden.

    Returns:
        (L,) the pieces to read, and (L,) which of them to predict.
    """
    count = int(words.max()) + 1
    chosen = rng.random(count) < rates[:count]
    if not chosen.any():
        chosen[rng.integers(count)] = True
    picked = (words >= 0) & chosen[words]
    kind = rng.random(count)[words]
    read = np.where(picked & (kind < 0.8), mask_id, ids)
    return np.where(picked & (kind >= 0.9), rng.integers(4, mask_id, len(ids)), read), picked


@dataclass(frozen=True)
class Masked:
    """N sequences with words hidden.

    Attributes:
        read, truth: what the model sees and what stood there, (L,) each.
        chosen: (L,) which pieces to predict.
        pointers: (P, 2) hidden piece, and the piece that says the same in the other segment.
    """

    read: list[np.ndarray]
    truth: list[np.ndarray]
    chosen: list[np.ndarray]
    pointers: list[np.ndarray]


def pointers(document: Document, words: np.ndarray, picked: np.ndarray) -> np.ndarray:
    """(P, 2): for each hidden word with a counterpart that is not hidden, see ``Masked``."""
    if not document.links:
        return np.empty((0, 2), dtype=np.int64)
    first = len(document.segments[0])
    firsts = {int(w): i for i, w in reversed(list(enumerate(words)))}
    found = []
    for a, b in document.links:
        one, two = firsts.get(a), firsts.get(first + b)
        if one is not None and two is not None and picked[one] != picked[two]:
            found.append((one, two) if picked[one] else (two, one))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


class Batches:
    """Step number -> its batch; no state between steps."""

    def __init__(self, recipe: Recipe, tokenizer: XLMRobertaTokenizerFast, corpus: Corpus) -> None:
        self.recipe, self.tokenizer, self.corpus = recipe, tokenizer, corpus
        self._pieces: dict[str, list[int]] = {}

    def pieces(self, document: Document) -> tuple[np.ndarray, np.ndarray]:
        """(L,) pieces in XLM-R's layout and (L,) their words, -1 for special pieces.

        The tokenizer splits at spaces and punctuation first, so that a word's pieces do not depend on
        its neighbours and can be remembered.
        """
        ids, words, count = [0], [-1], 0
        for segment in document.segments:
            if len(ids) > 1:
                ids += [2, 2]
                words += [-1, -1]
            for token in segment:
                found = self._pieces.get(token.text)
                if found is None:
                    found = self.tokenizer(token.text, add_special_tokens=False)["input_ids"]
                    self._pieces[token.text] = found
                ids += found
                words += [count] * len(found)
                count += 1
        ids.append(2)
        words.append(-1)
        return np.array(ids[:LONGEST]), np.array(words[:LONGEST])

    def masked(self, step: int) -> Masked:
        """Documents with words hidden, ``recipe.tokens`` in all."""
        recipe = self.recipe
        self.corpus.reseed(random.Random(f"{recipe.seed}/text/{step}"))
        rng = np.random.default_rng([recipe.seed, step])
        batch, total = Masked([], [], [], []), 0
        while total < recipe.tokens:
            document = self.corpus.document()
            ids, words = self.pieces(document)
            rates = [recipe.mask_plain] * len(document.segments)
            if document.aligned:
                rates = [recipe.mask_least, recipe.mask_most]
                if rng.random() < 0.5:
                    rates.reverse()
            each = np.repeat(rates, [len(s) for s in document.segments])
            seen, picked = hide(ids, words, each, rng, len(self.tokenizer) - 1)
            batch.read.append(seen)
            batch.truth.append(ids)
            batch.chosen.append(picked)
            batch.pointers.append(pointers(document, words, picked))
            total += len(ids)
        return batch

    def translations(self, step: int) -> tuple[list[list[int]], list[list[int]]]:
        """Pieces of ``contrast_pairs`` sentences in English, and of their translations."""
        self.corpus.reseed(random.Random(f"{self.recipe.seed}/pairs/{step}"))
        ours, theirs = zip(*self.corpus.pairs(self.recipe.contrast_pairs), strict=True)
        return self.tokenizer(list(ours))["input_ids"], self.tokenizer(list(theirs))["input_ids"]
