"""The pocket world's rounds of inference, choices, documents and pools, and its tasks in translation."""

from __future__ import annotations

import numpy as np
import pytest

from xadapt.data.pocket.choices import RULES, leads_to
from xadapt.data.pocket.derive import SHAPES
from xadapt.data.pocket.lexicon import LANGUAGES
from xadapt.data.pocket.source import Pocket
from xadapt.tasks.examples import Chosen, Classified, Extracted, Sought, Text

CHOICES = {"copa": 2, "siqa": 3, "cosmos_qa": 4, "hellaswag": 4, "commonsense_qa": 5}


@pytest.fixture(scope="module")
def pocket() -> Pocket:
    return Pocket()


def bag(text: str) -> set[str]:
    return set(text.replace(".", " ").replace("?", " ").split())


# --- translation ----------------------------------------------------------------------------------
@pytest.mark.parametrize("task", [t for t, s in SHAPES.items() if s.translated])
def test_translated_training_data_is_parallel(pocket: Pocket, task: str) -> None:
    assert pocket.languages(task, "train") == pocket.languages(task, "dev") == LANGUAGES
    assert pocket.test_split(task) == "dev"
    columns = [pocket.load(task, lang, "train", size=60) for lang in LANGUAGES]
    for row in zip(*columns, strict=True):
        assert len({e.id for e in row}) == 1
        assert len({e.label for e in row if isinstance(e, Classified | Chosen)}) <= 1
        assert len({bool(e.answers) for e in row if isinstance(e, Extracted)}) <= 1
    texts = [repr(e) for column in columns for e in column]
    assert len(set(texts)) > 0.95 * len(texts)


def test_targets_train_in_english(pocket: Pocket) -> None:
    assert pocket.languages("xnli", "train") == ("en",)
    assert pocket.languages("tydiqa", "train") == ("en",)
    assert pocket.languages("ccg", "train") == ("en",)
    assert pocket.languages("ccg", "test") == ()


# --- inference and choices --------------------------------------------------------------------------
def test_overlap_says_little_of_anli(pocket: Pocket) -> None:
    from sklearn.linear_model import LogisticRegression

    def rows(split: str, size: int) -> tuple[np.ndarray, list[str | None]]:
        items = [e for e in pocket.load("anli", "en", split, size) if isinstance(e, Classified)]
        found = []
        for e in items:
            a, b = bag(e.text), bag(e.pair or "")
            found.append([len(a & b) / len(b), len(b - a), len(a), len(b)])
        return np.array(found), [e.label for e in items]

    x, y = rows("train", 2000)
    fitted = LogisticRegression(max_iter=2000).fit((x - x.mean(0)) / x.std(0), y)
    test, labels = rows("dev", 600)
    assert fitted.score((test - x.mean(0)) / x.std(0), labels) < 0.52
    assert all(abs(np.mean([v == label for v in y]) - 1 / 3) < 0.05 for label in set(y))


@pytest.mark.parametrize("task", list(CHOICES))
def test_choices_are_well_formed(pocket: Pocket, task: str) -> None:
    items = [e for e in pocket.load(task, "en", "train", 400) if isinstance(e, Chosen)]
    count = CHOICES[task]
    assert all(len(e.options) == len(set(e.options)) == count for e in items)
    share = np.bincount([e.label for e in items if e.label is not None], minlength=count) / len(items)
    assert np.abs(share - 1 / count).max() < 0.1
    # the option with most words in common with what is read is seldom the right one
    best = [max(range(count), key=lambda i, e=e: len(bag(e.options[i]) & bag(e.context))) for e in items]
    assert np.mean([b == e.label for b, e in zip(best, items, strict=True)]) < 1 / count + 0.15
    # nor is the longest or the shortest
    for extreme in (np.argmax, np.argmin):
        found = [extreme([len(o) for o in e.options]) == e.label for e in items]
        assert np.mean(found) < 1 / count + 0.1


@pytest.mark.parametrize(("task", "bound"), [("copa", 0.7), ("siqa", 0.54), ("hellaswag", 0.61)])
def test_options_alone_say_little_of_the_right_one(pocket: Pocket, task: str, bound: float) -> None:
    """Words and neighbours of words, without what the options are about. Chance is 1/2, 1/3 and 1/4."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    def loaded(split: str, size: int) -> list[Chosen]:
        return [e for e in pocket.load(task, "en", split, size) if isinstance(e, Chosen)]

    train, dev = loaded("train", 2_000), loaded("dev", 600)
    words = CountVectorizer(ngram_range=(1, 3), binary=True, min_df=3)
    fitted = LogisticRegression(C=0.3, max_iter=400).fit(
        words.fit_transform([o for e in train for o in e.options]),
        [i == e.label for e in train for i in range(CHOICES[task])],
    )
    scores = fitted.decision_function(words.transform([o for e in dev for o in e.options]))
    best = scores.reshape(len(dev), -1).argmax(1)
    assert np.mean(best == [e.label for e in dev]) < bound


def test_a_cause_and_its_effects_are_told_apart() -> None:
    assert {"seek", "find"} <= leads_to("want")
    assert "want" not in leads_to("find")
    assert len({(r.cause.verb, r.effect.verb) for r in RULES}) == len(RULES)
    assert not any(r.cause.verb in leads_to(r.cause.verb) for r in RULES)


# --- running text -----------------------------------------------------------------------------------
def test_running_text_is_in_every_language(pocket: Pocket) -> None:
    for lang in LANGUAGES:
        train, dev = (pocket.load("mlm", lang, s, 200) for s in ("train", "dev"))
        assert all(isinstance(e, Text) and len(e.text.split()) > 1 for e in (*train, *dev))
        longer = [{e.text for e in part if isinstance(e, Text) and len(e.text) > 40} for part in (train, dev)]
        assert not longer[0] & longer[1]


# --- pools ------------------------------------------------------------------------------------------
def sides(items: object) -> tuple[list[Sought], dict[str, Sought]]:
    assert isinstance(items, tuple)
    queries = [e for e in items if e.side == "query"]
    candidates = {e.id: e for e in items if e.side == "candidate"}
    assert len(queries) + len(candidates) == len(items)
    assert len({e.id for e in queries}) == len(queries)
    return queries, candidates


def test_bucc(pocket: Pocket) -> None:
    assert "en" not in pocket.languages("bucc", "dev")
    queries, candidates = sides(pocket.load("bucc", "de", "dev"))
    assert (len(queries), len(candidates)) == (1_000, 1_500)
    gold = [e.answers[0] for e in queries if e.answers]
    assert len(gold) == len(set(gold)) == 250
    assert all(c in candidates for c in gold)
    assert len({e.text for e in candidates.values()}) > 1_490
    other, _ = sides(pocket.load("bucc", "tr", "dev"))
    assert [e.answers for e in other] == [e.answers for e in queries]
    test, _ = sides(pocket.load("bucc", "de", "test"))
    assert not {e.text for e in test} & {e.text for e in queries}
    # distractors are near: most candidates have a neighbour that shares most of its words
    bags = [bag(e.text) for e in list(candidates.values())[:150]]
    every = [bag(e.text) for e in candidates.values()]
    near = [sorted((len(b & o) / len(b | o) for o in every), reverse=True)[1] for b in bags]
    assert np.mean(near) > 0.6


def test_lareqa(pocket: Pocket) -> None:
    queries, candidates = sides(pocket.load("lareqa", "ru", "test"))
    assert len(queries) > 250
    for e in queries:
        assert e.answers is not None
        found = [candidates[a] for a in e.answers]
        assert sorted(a.id[:2] for a in found) == sorted(LANGUAGES)
        assert all(a.text in a.context for a in found)
    assert len(candidates) == 7 * 300
    assert sides(pocket.load("lareqa", "en", "test"))[1] == candidates


def test_mewslix(pocket: Pocket) -> None:
    queries, candidates = sides(pocket.load("mewslix", "en", "test"))
    assert len(queries) == 300
    assert all(e.text in e.context for e in queries)
    assert all(e.answers and e.answers[0] in candidates for e in queries)
    given = [e.text.split()[0] for e in candidates.values()]
    assert len(given) / len(set(given)) > 4  # many bear one name
    german, _ = sides(pocket.load("mewslix", "de", "test", size=50))
    assert [e.answers for e in german] == [e.answers for e in queries[:50]]
    train, known = sides(pocket.load("mewslix", "en", "train"))
    assert len(train) == 6_000
    assert not {e.context for e in train} & {e.context for e in queries}
    assert not {e.context for e in known.values()} & {e.context for e in candidates.values()}
