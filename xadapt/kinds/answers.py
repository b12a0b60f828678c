"""What a predictor gives for one example: a prediction with what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Labelled:
    """A label of the task's set.

    Attributes:
        label: the likeliest.
        probabilities: label -> 0..1, which add up to 1.
    """

    label: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Entity:
    """Words that one name covers.

    Attributes:
        text: as it stands in the sentence, or its words with spaces between where only words were given.
        type: such as ``PER``.
        first, last: the indices of its first and its last word.
        start, end: characters of the sentence, [start, end); None where only words were given.
    """

    text: str
    type: str
    first: int
    last: int
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class TaggedWords:
    """A tag for each word.

    Attributes:
        words: as they were given, or as the sentence was split (``kinds.tag.split``).
        tags: one a word.
        offsets: the characters [start, end) of each word; None where words were given.
        entities: what tags such as ``B-PER I-PER`` name; empty where tags are of another scheme.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...] | None
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a question.

    Attributes:
        answer: as it stands in the context; "" for no answer.
        start, end: characters of the context, [start, end); None for no answer.
        score: the logits of the best span's first and last token, less those of there being none: above 0
            where the model finds an answer likelier than none.
    """

    answer: str
    start: int | None
    end: int | None
    score: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The best of several options.

    Attributes:
        choice: its index, from 0.
        option: its text.
        probabilities: (options,) 0..1, which add up to 1.
    """

    choice: int
    option: str
    probabilities: tuple[float, ...]


Answered = Labelled | TaggedWords | Found | Choice


def softmax(logits: np.ndarray) -> np.ndarray:
    """(K,) -> (K,), in float64."""
    raised = np.exp(np.asarray(logits, dtype=np.float64) - np.max(logits))
    return raised / raised.sum()
