"""SQuAD's and MLQA's scores against cases worked out by hand."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from kinds_common import task
from seqeval.metrics import f1_score
from sklearn.metrics import average_precision_score
from transformers.data.metrics import squad_metrics

from xadapt.kinds.extract import Extract
from xadapt.kinds.metrics import (
    answer_counts,
    average_precision,
    entity_f1,
    mlqa_words,
    pair_f1,
    score_of,
    squad_words,
)
from xadapt.tasks.examples import Answer, Extracted


def scored(*args, **options):
    return {metric: score_of(made) for metric, made in answer_counts(*args, **options).items()}


def pairs_found(gold, predicted):
    return score_of(pair_f1(gold, predicted, sorted({q for q, _ in gold | predicted})))


def test_squads_normalisation():
    assert squad_words(" The  Cat,\tan A-team  (the) ") == ["cat", "ateam"]
    assert squad_words("theatre; another") == ["theatre", "another"]
    assert squad_words("Äpfel。") == ["äpfel。"]  # ASCII punctuation only, as the official script


@pytest.mark.parametrize(
    ("gold", "predicted", "exact", "f1"),
    [
        ("the Norman Conquest", "Norman conquest.", 100, 100),
        ("in the tenth century", "the tenth century", 0, 80),  # 2 of 2 and 2 of 3
        ("a b b c", "b b d", 0, 100 * 2 * 2 / (3 + 3)),  # "a" is an article: b b c; the bags share b b
        ("France", "Spain", 0, 0),
        ("Spain", "", 0, 0),
        ("2,000", "2000", 100, 100),
    ],
)
def test_one_answer(gold, predicted, exact, f1):
    assert scored([[gold]], [predicted]) == pytest.approx({"exact_match": exact, "f1": f1})


@pytest.mark.parametrize(("predicted", "right"), [("", True), ("the", True), ("Spain", False)])
def test_no_answer(predicted, right):
    scores = scored([[]], [predicted], unanswerable=True)
    assert scores == {"exact_match": 100.0 * right, "f1": 100.0 * right}
    with pytest.raises(ValueError, match="without an answer"):
        scored([[]], [predicted])


def test_the_best_gold_counts_and_questions_are_averaged():
    golds = [["red hen", "hen"], [], ["the", "ten"], ["old tent"]]
    scores = scored(golds, ["hen", "", "tent", "tent"], unanswerable=True)
    # 1; 1; 0, as a gold without words is no gold; and 2/3 without being exact.
    assert scores["exact_match"] == pytest.approx(50.0)
    assert scores["f1"] == pytest.approx(100 * (1 + 1 + 0 + 2 / 3) / 4)


def test_a_gold_without_words_counts_in_v1_and_is_dropped_in_v2():
    # v1.1: nothing in common is an F1 of 0, also of nothing with nothing; "the" and "." are equal.
    assert scored([["the"]], ["."]) == {"exact_match": 100.0, "f1": 0.0}
    assert scored([["the", "ten"]], ["an"]) == {"exact_match": 100.0, "f1": 0.0}
    assert scored([["the", "ten"]], ["an"], unanswerable=True) == {"exact_match": 0.0, "f1": 0.0}
    assert scored([["the"]], ["."], unanswerable=True) == {"exact_match": 100.0, "f1": 100.0}


TEXTS = [
    "the hen",
    "a red hen",
    "hen",
    "",
    ".",
    "the",
    "Ten, tents",
    "in 2,000 tents",
    "an",
    "Äpfel。",
    "a hen hen",
]


def test_squad_v2_as_in_transformers():
    for gold, predicted in itertools.product(TEXTS, TEXTS):
        golds = [gold] if squad_metrics.normalize_answer(gold) else []
        want = {
            "exact_match": 100.0 * squad_metrics.compute_exact(golds[0] if golds else "", predicted),
            "f1": 100.0 * squad_metrics.compute_f1(golds[0] if golds else "", predicted),
        }
        assert scored([golds], [predicted], unanswerable=True) == pytest.approx(want)


@pytest.mark.parametrize(
    ("answers", "ranked", "k", "want"),
    [
        ({"a"}, "abc", 20, 1.0),
        ({"c"}, "abc", 20, 1 / 3),
        ({"c"}, "abc", 2, 0.0),
        ({"a", "c"}, "abc", 20, (1 / 1 + 2 / 3) / 2),
        ({"a", "z"}, "abc", 20, 1 / 2),  # z is not found
        ({"b", "c", "d"}, "abc", 2, (1 / 2) / 2),  # two ranks hold at most two answers
        (set("abcd"), "abxy", 3, (1 + 1) / 3),
    ],
)
def test_average_precision(answers, ranked, k, want):
    assert average_precision(answers, list(ranked), k) == pytest.approx(want)
    with pytest.raises(ValueError, match="without answers"):
        average_precision(set(), ranked, k)


def test_average_precision_without_a_limit_is_scikit_learns():
    draw = np.random.default_rng(0)
    for _ in range(20):
        scores, right = draw.permutation(30), draw.random(30) < 0.2
        if right.any():
            ranked = [str(i) for i in np.argsort(-scores)]
            answers = {str(i) for i in np.flatnonzero(right)}
            want = average_precision_score(right, scores)
            assert average_precision(answers, ranked, 30) == pytest.approx(want)


def test_pair_f1():
    gold = {("a", "1"), ("b", "2"), ("c", "3")}
    assert pairs_found(gold, {("a", "1"), ("b", "3")}) == pytest.approx(
        100 * 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3)
    )
    assert pairs_found(gold, set()) == pairs_found(gold, {("a", "2")}) == 0.0
    assert pairs_found(gold, gold) == 100.0


@pytest.mark.parametrize("first", ["NOUN", "B-PER", "CCONJ"])
def test_entity_f1_by_hand(first):
    # Two runs in each; the first is found, the second is found too long: precision and recall are a half.
    gold = [[first, "O", "B-LOC", "O"]]
    assert score_of(entity_f1(gold, [[first, "O", "B-LOC", "I-LOC"]])) == pytest.approx(50.0)


def test_sentences_together_score_as_seqeval_scores_them_together():
    draw = np.random.default_rng(0)
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "NOUN"]
    for _ in range(50):
        gold = [[tags[i] for i in draw.integers(0, 6, size=n)] for n in draw.integers(0, 9, size=20)]
        guess = [[t if draw.random() < 0.6 else tags[draw.integers(0, 6)] for t in row] for row in gold]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = 100 * f1_score(gold, guess)
        assert score_of(entity_f1(gold, guess)) == pytest.approx(want)


def test_mlqas_articles_segmentation_and_punctuation_in_each_language():
    said = {
        "en": ("The “red” hen—an old one!", ["red", "henan", "old", "one"]),
        "es": ("Los perros de las Américas", ["perros", "de", "américas"]),
        "de": ("in den Häusern einer Stadt", ["in", "häusern", "stadt"]),
        "vi": ("những con mèo của tôi", ["con", "mèo", "tôi"]),
        "ar": ("في القاهرة، والمدينة؟", ["في", "قاهرة", "و", "مدينة"]),
        "hi": ("राम का घर॥ (पुराना)", ["राम", "का", "घर", "पुराना"]),
        "zh": ("《红楼梦》 the 120回、GDP增长3.5%", [*"红楼梦", "the", "120", "回", "gdp", "增", "长", "35"]),
    }
    assert {lang: mlqa_words(lang)(text) for lang, (text, _) in said.items()} == {
        lang: words for lang, (_, words) in said.items()
    }


def test_mlqas_words():
    assert mlqa_words("de")("Der Hund, „das“ Haus") == ["hund", "haus"]
    assert mlqa_words("es")("La casa ¿azul?") == ["casa", "azul"]
    assert mlqa_words("zh")("在2013年，NBA 决赛") == ["在", "2013", "年", "nba", "决", "赛"]
    assert mlqa_words("ar")("الكتاب") == ["كتاب"]
    assert mlqa_words("hi")("यह the घर।") == ["यह", "the", "घर"]


def test_mlqa_is_scored_in_its_own_way_where_the_language_is_known():
    rows = [Extracted("1", "q", "在北京市。", (Answer("北京", 1),))]
    mlqa, xquad = Extract(task("extract", name="mlqa")), Extract(task("extract", name="xquad"))
    # Characters: 2 of 3 and 2 of 2. Words between spaces: none in common.
    assert mlqa.score(rows, ["北京市"], language="zh")["f1"] == pytest.approx(80.0)
    assert xquad.score(rows, ["北京市"], language="zh")["f1"] == 0.0
    assert mlqa.score(rows, ["北京市"])["f1"] == 0.0
