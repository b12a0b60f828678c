"""Scores from predictions, 0 to 100."""

from __future__ import annotations

import re
import string
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Sequence, Set


def percent(hits: Sequence[bool | float]) -> float:
    """The mean of the hits, times 100."""
    return 100.0 * float(sum(hits)) / len(hits)


def binary_f1(gold: Sequence[str], predicted: Sequence[str], positive: str) -> float:
    """F1 of one class, as GLUE scores QQP's duplicates."""
    both = sum(g == p == positive for g, p in zip(gold, predicted, strict=True))
    of_either = sum(g == positive for g in gold) + sum(p == positive for p in predicted)
    return 100.0 * 2 * both / of_either if of_either else 0.0


def entity_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """seqeval's micro F1 in its default (conlleval) mode: what XTREME reports for NER and, although POS
    tags are no entities, for POS, where a run of equal tags counts as one."""
    from seqeval.metrics import f1_score

    with warnings.catch_warnings():
        # "NOUN seems not to be NE tag", and undefined precision where nothing is predicted: both are meant.
        warnings.simplefilter("ignore")
        return 100.0 * float(f1_score([list(tags) for tags in gold], [list(tags) for tags in predicted]))


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


def answer_scores(
    golds: Sequence[Sequence[str]],
    predicted: Sequence[str],
    words: Callable[[str], list[str]] = squad_words,
    *,
    unanswerable: bool = False,
) -> dict[str, float]:
    """Exact match and F1 as SQuAD defines them: the best over a question's golds, the mean over questions.

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
    return {"exact_match": percent(exact), "f1": percent(f1)}


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


def pair_f1(gold: Set[tuple[str, str]], predicted: Set[tuple[str, str]]) -> float:
    """F1 of a set of pairs, as BUCC scores mined translations; 0 where none is right."""
    both = len(gold & predicted)
    return 100.0 * 2 * both / (len(gold) + len(predicted)) if both else 0.0
