"""What each item adds to a score, and the score: 0 to 100."""

from __future__ import annotations

import operator
import re
import string
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Sequence, Set

import numpy as np

# (n, 2) what each item adds to the two sums whose ratio is the score: right and possible.
Counts = np.ndarray


def score_of(counts: Counts) -> float:
    """The score, 0..100, of all items together; 0 where there is nothing that could be right."""
    right, possible = counts.sum(0).tolist()
    return 100.0 * right / possible if possible else 0.0


def hits(values: Sequence[bool | float]) -> Counts:
    """(n, 2) where the score is the mean of the items' own values, 0..1."""
    return np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)


def binary_f1(gold: Sequence[str], predicted: Sequence[str], positive: str) -> Counts:
    """(n, 2) for the F1 of one class, as GLUE scores QQP's duplicates."""
    of_gold = np.array([g == positive for g in gold], dtype=np.float64)
    of_predicted = np.array([p == positive for p in predicted], dtype=np.float64)
    return np.stack([2 * of_gold * of_predicted, of_gold + of_predicted], axis=1)


def entity_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Counts:
    """(sentences, 2) for seqeval's micro F1 in its default (conlleval) mode: what XTREME reports for NER and,
    although POS tags are no entities, for POS, where a run of equal tags counts as one."""
    from seqeval.metrics.sequence_labeling import get_entities

    made = np.zeros((len(gold), 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "NOUN seems not to be NE tag": it is meant
        for row, (tags, guess) in enumerate(zip(gold, predicted, strict=True)):
            right, found = set(get_entities(list(tags))), set(get_entities(list(guess)))
            made[row] = 2 * len(right & found), len(right) + len(found)
    return made


def words_right(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Counts:
    """(sentences, 2) for the share of words whose tag is right."""
    rows = zip(gold, predicted, strict=True)
    made = [(sum(map(operator.eq, tags, guess)), len(tags)) for tags, guess in rows]
    return np.array(made, dtype=np.float64).reshape(-1, 2)


def squad_words(text: str) -> list[str]:
    """An answer's words as SQuAD compares them: lower case, no ASCII punctuation, no English articles.
    XQuAD and TyDiQA are scored with the same, in every language."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


# Lewis et al. 2020, arXiv 1910.07475, section 5: each language's own articles; Hindi and Chinese have none.
# Arabic's is a prefix, and MLQA's script takes these two letters away wherever they stand.
_MLQA_ARTICLES = {
    "en": r"\b(?:a|an|the)\b",
    "es": r"\b(?:un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(?:của|là|cái|chiếc|những)\b",
    "de": r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "ar": "ال",
}


def mlqa_words(language: str) -> Callable[[str], list[str]]:
    """An answer's words as MLQA compares them: no punctuation of any script, no articles of the language,
    Chinese by the character."""
    articles = _MLQA_ARTICLES.get(language)

    def words(text: str) -> list[str]:
        text = "".join(
            c for c in text.lower() if c not in string.punctuation and unicodedata.category(c)[0] != "P"
        )
        if articles:
            text = re.sub(articles, " ", text)
        if language == "zh":
            text = re.sub("([\u4e00-\u9fa5])", r" \1 ", text)
        return text.split()

    return words


def word_f1(gold: list[str], predicted: list[str]) -> float:
    """F1 over the bags of words; 0 where either is empty."""
    if not gold or not predicted:
        return 0.0
    return 2 * (Counter(gold) & Counter(predicted)).total() / (len(gold) + len(predicted))


def answer_counts(
    golds: Sequence[Sequence[str]],
    predicted: Sequence[str],
    words: Callable[[str], list[str]] = squad_words,
    *,
    unanswerable: bool = False,
) -> dict[str, Counts]:
    """(questions, 2) for exact match and F1 as SQuAD defines them: the best over a question's golds, the mean
    over questions.

    Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1 (v1.1; XTREME scores XQuAD and TyDiQA with it, and
    MLQA's script follows it): a gold without words ("the") can be met exactly, and has an F1 of 0 always.

    Args:
        unanswerable: as v2.0 instead (Rajpurkar et al. 2018, arXiv 1806.03822, section 5): golds without
            words are dropped, a question that has none left has the one gold "", whose F1 is its exact match.

    Raises:
        ValueError: a question without golds, where all must have some.
    """
    if not unanswerable and not all(golds):
        raise ValueError("a question without an answer, where all have one")
    exact, f1 = [], []
    for answers, text in zip(golds, predicted, strict=True):
        guess = words(text)
        kept = [words(text) for text in answers]
        if unanswerable:
            kept = [w for w in kept if w] or [[]]
        exact.append(float(guess in kept))
        f1.append(float(not guess) if kept == [[]] and unanswerable else max(word_f1(w, guess) for w in kept))
    return {"exact_match": hits(exact), "f1": hits(f1)}


def average_precision(answers: Collection[str], ranked: Sequence[str], k: int) -> float:
    """Average precision at k, 0..1: the mean of the precisions at each rank that holds an answer, over as
    many answers as k ranks can hold. XTREME-R's mAP@20 for LAReQA, and with one answer Mewsli-X's reciprocal
    rank (Ruder et al. 2021, arXiv 2104.07412, section 3).

    Raises:
        ValueError: no answers.
    """
    if not answers:
        raise ValueError("a query without answers has no average precision")
    hits, total = 0, 0.0
    for rank, found in enumerate(ranked[:k], start=1):
        if found in answers:
            hits += 1
            total += hits / rank
    return total / min(len(answers), k)


def pair_f1(gold: Set[tuple[str, str]], predicted: Set[tuple[str, str]], queries: Sequence[str]) -> Counts:
    """(queries, 2) for the F1 of a set of pairs, as BUCC scores mined translations.

    Args:
        queries: the first of every pair is among them.
    """
    both, either = Counter(q for q, _ in gold & predicted), Counter(q for q, _ in (*gold, *predicted))
    return np.array([(2.0 * both[q], float(either[q])) for q in queries]).reshape(-1, 2)
