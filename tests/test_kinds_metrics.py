"""SQuAD's and MLQA's scores against cases worked out by hand."""

from __future__ import annotations

import pytest
from kinds_common import task

from xadapt.data.examples import Answer, Extracted
from xadapt.kinds.extract import Extract
from xadapt.kinds.metrics import answer_scores, mlqa_words, squad_words


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
    assert answer_scores([[gold]], [predicted]) == pytest.approx({"exact_match": exact, "f1": f1})


@pytest.mark.parametrize(("predicted", "right"), [("", True), ("the", True), ("Spain", False)])
def test_no_answer(predicted, right):
    assert answer_scores([[]], [predicted]) == {"exact_match": 100.0 * right, "f1": 100.0 * right}


def test_the_best_gold_counts_and_questions_are_averaged():
    golds = [["red hen", "hen"], [], ["the", "ten"], ["old tent"]]
    scores = answer_scores(golds, ["hen", "", "tent", "tent"])
    # 1; 1; 0, as a gold without words is no gold; and 2/3 without being exact.
    assert scores["exact_match"] == pytest.approx(50.0)
    assert scores["f1"] == pytest.approx(100 * (1 + 1 + 0 + 2 / 3) / 4)


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
