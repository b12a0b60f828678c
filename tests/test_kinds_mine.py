"""BUCC: mined pairs against the definition written out in loops, and thresholds worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kinds_common import MINI, batch_of, config, letter_tokenizer, task
from torch import nn
from transformers import XLMRobertaModel

from xadapt.backbone.attention import pack_attention
from xadapt.backbone.encoder import encode
from xadapt.common.errors import UserError
from xadapt.kinds import kind_of, neighbours
from xadapt.kinds.kind import Item
from xadapt.kinds.mining import BitextMining, Match, best_threshold, mined
from xadapt.kinds.vectors import normalised
from xadapt.tasks.examples import Sought

TASK = task("retrieve", name="bucc", metrics=("f1",))
TOKENIZER = letter_tokenizer()
BUCC = MINI.parent / "xtreme" / "bucc2018"


def pool(queries: dict[str, tuple[str, ...] | None], candidates: list[str]) -> list[Sought]:
    """Each text is its own id."""
    asked = [Sought(text, "query", text, "", answers) for text, answers in queries.items()]
    return [*asked, *(Sought(text, "candidate", text, "", None) for text in candidates)]


def vectors(*rows: tuple[float, float]) -> list[np.ndarray]:
    return [np.array(row, dtype=np.float32) for row in rows]


def by_loops(x: np.ndarray, y: np.ndarray, k: int = 4) -> list[tuple[int, int, float]]:
    """The same as ``mined``, one pair after another."""
    cosine = x.astype(float) @ y.astype(float).T
    near_x = [sorted(range(len(y)), key=lambda j, i=i: -cosine[i, j])[:k] for i in range(len(x))]
    near_y = [sorted(range(len(x)), key=lambda i, j=j: -cosine[i, j])[:k] for j in range(len(y))]
    mean_x = [np.mean([cosine[i, j] for j in near]) for i, near in enumerate(near_x)]
    mean_y = [np.mean([cosine[i, j] for i in near]) for j, near in enumerate(near_y)]

    def margin(i: int, j: int) -> float:
        return cosine[i, j] / ((mean_x[i] + mean_y[j]) / 2)

    best = [max((margin(i, j), i, j) for j in near) for i, near in enumerate(near_x)]
    best += [max((margin(i, j), i, j) for i in near) for j, near in enumerate(near_y)]
    pairs: list[tuple[int, int, float]] = []
    for value, i, j in sorted(best, reverse=True):
        if value > 0 and i not in {p[0] for p in pairs} and j not in {p[1] for p in pairs}:
            pairs.append((i, j, value))
    return pairs


@pytest.mark.parametrize(("queries", "candidates"), [(30, 40), (3, 2), (1, 1), (50, 4)])
def test_mined_pairs_are_those_of_the_definition(queries, candidates):
    draw = np.random.default_rng(queries)
    x, y = (normalised((draw.normal(size=(n, 6)) + 0.5).astype(np.float32)) for n in (queries, candidates))
    got, want = list(mined(x, y)), by_loops(x, y)
    assert [(i, j) for i, j, _ in got] == [(i, j) for i, j, _ in want]
    np.testing.assert_allclose([m for *_, m in got], [m for *_, m in want], rtol=1e-4)


@pytest.mark.parametrize("block", [4, 300, 2000])
def test_mined_pairs_are_the_same_however_they_are_cut(monkeypatch, block):
    draw = np.random.default_rng(block)
    # Small whole numbers: products are exact, so that nothing depends on how they are summed.
    x, y = (draw.integers(0, 4, size=(n, 6)).astype(np.float32) for n in (50, 40))
    want = list(mined(x, y))
    monkeypatch.setattr(neighbours, "CPU_BLOCK", block)
    assert list(mined(x, y)) == want


def test_a_fitted_threshold_is_used_where_the_kind_was():
    kind = BitextMining(TASK).decoding_on(torch.device("cpu"))
    dev = pool({"a": ("A",), "b": ()}, ["A", "B", "C"])
    items = kind.encode(dev, TOKENIZER, 20, training=False)
    right = vectors((1, 0), (0.8, 1), (1, 0.1), (0.3, 1), (0.1, 1))
    fitted = kind.fit(dev, items, right)
    assert fitted.device == kind.device
    # What is kept of dev goes along: nothing is mined twice, so a device that is not here is not asked for.
    elsewhere = fitted.decoding_on(torch.device("cuda"))
    assert elsewhere.decode(dev, items, right) == fitted.decode(dev, items, right)
    assert elsewhere.threshold == fitted.threshold


def matches(*margins: float) -> list[Match]:
    return [Match(f"q{k}", f"c{k}", margin) for k, margin in enumerate(margins)]


def test_the_threshold_lies_behind_the_last_pair_that_helps():
    found = matches(1.9, 1.7, 1.4, 1.1)
    # Right, wrong, right, wrong of 3 gold pairs: F1 is 2/4, 2/5, 4/6, 4/7.
    gold = {("q0", "c0"), ("q2", "c2"), ("q9", "c9")}
    assert best_threshold(found, gold) == pytest.approx((1.4 + 1.1) / 2)
    # All right: nothing lies behind the last.
    assert best_threshold(found[:2], {m[:2] for m in found[:2]}) == pytest.approx(1.7)
    # Equally good, 2/4 after one and after three pairs: the highest.
    assert best_threshold(found, {("q0", "c0"), ("q2", "c2"), ("x", "y"), ("z", "y"), ("z", "x")}) == (
        pytest.approx((1.4 + 1.1) / 2)
    )
    assert best_threshold(matches(2, 1.5, 1), {("q0", "c0")}) == pytest.approx(1.75)
    assert best_threshold(found, {("q9", "c9")}) == best_threshold([], gold) == 0.0


def test_a_threshold_from_dev_is_applied_to_other_outputs():
    kind = BitextMining(TASK)
    dev = pool({"a": ("A",), "b": ()}, ["A", "B", "C"])
    items = kind.encode(dev, TOKENIZER, 20, training=False)
    assert [item.example for item in items] == [0, 1, 2, 3, 4]
    right = vectors((1, 0), (0.8, 1), (1, 0.1), (0.3, 1), (0.1, 1))
    with pytest.raises(ValueError, match="fit it on dev"):
        kind.decode(dev, items, right)
    fitted = kind.fit(dev, items, right)
    assert kind.threshold is None
    want = fitted.decode(dev, items, right)
    assert want == ["A", *[None] * 4]
    # In any order of the items, and what is kept of the dev set serves no other outputs.
    assert fitted.decode(dev, items[::-1], right[::-1]) == want
    again = BitextMining(TASK, threshold=fitted.threshold)
    turned = [right[1], right[0], *right[2:]]
    assert fitted.decode(dev, items, turned) == [None, "A", *[None] * 3]
    assert again.decode(dev, items, turned) == [None, "A", *[None] * 3]
    # A threshold that nothing reaches.
    assert BitextMining(TASK, threshold=9.0).decode(dev, items, right) == [None] * 5


def test_a_sentence_that_occurs_twice_is_not_given_out():
    rows = [
        Sought("1", "query", "one", "", ("x",)),
        Sought("2", "query", "two", "", ("y",)),
        Sought("3", "query", "one", "", ()),
        *(Sought(i, "candidate", i, "", None) for i in "xyz"),
    ]
    out = vectors((1, 0.1), (0.1, 1), (1, 0.1), (1, 0), (0, 1), (-1, -1))
    items = BitextMining(TASK).encode(rows, TOKENIZER, 20, training=False)
    assert BitextMining(TASK, threshold=0.0).decode(rows, items, out)[:3] == [None, "y", None]


def test_scores_are_those_of_pairs():
    rows = pool({"a": ("A",), "b": (), "c": ("C",), "d": ("D",)}, ["A", "C", "D"])
    # 2 pairs given out, 1 right, 3 gold.
    assert BitextMining(TASK).score(rows, ["A", "D", *[None] * 5])["f1"] == pytest.approx(100 * 2 / 5)
    with pytest.raises(UserError, match="no labels"):
        BitextMining(TASK).score(pool({"a": None}, ["A"]), ["A", None])


def test_what_is_refused():
    with pytest.raises(UserError, match="trains nothing"):
        BitextMining(TASK).encode(pool({"a": ()}, ["A"]), TOKENIZER, 20, training=True)
    rows = pool({"a": ()}, [])
    items = BitextMining(TASK).encode(rows, TOKENIZER, 20, training=False)
    with pytest.raises(UserError, match="1 queries and 0 candidates"):
        BitextMining(TASK, threshold=0.0).decode(rows, items, vectors((1, 0)))
    assert isinstance(kind_of(TASK), BitextMining)


def test_the_baseline_finds_names_and_numbers():
    rows = pool({"im Jahr 1999 in Tartu": ("in Tartu 1999",), "nichts": ()}, ["in Tartu 1999", "something"])
    assert BitextMining(TASK).baselines([], {"de": rows}) == {"same words": {"de": {"f1": 100.0}}}


def test_identical_sentences_are_mined_end_to_end():
    texts = ["the hen ate in Tartu", "it rained in 1999", "a heart is there", "ten or nine", "hear hear"]
    rows = [Sought(f"q{k}", "query", t, "", (f"c{k}",) if k < 3 else ()) for k, t in enumerate(texts)]
    others = [*texts[:3], "eat", "in in"]
    rows += [Sought(f"c{k}", "candidate", t, "", None) for k, t in enumerate(others)]
    kind = BitextMining(TASK)
    items = kind.encode(rows, TOKENIZER, 64, training=False)
    model = pack_attention(XLMRobertaModel(config(), add_pooling_layer=False)).eval()
    hidden = encode(model, batch_of(items), kind.layer(model.config))
    out = kind.outputs(nn.Identity(), hidden, batch_of(items), items)
    assert kind.fit(rows, items, out).decode(rows, items, out)[:3] == ["c0", "c1", "c2"]


def test_a_real_dev_set_is_mined_in_seconds():
    if not BUCC.is_dir():
        pytest.skip("no BUCC files: shared/xtreme/bucc2018 is not beside the repository")
    gold = dict(line.split("\t") for line in (BUCC / "zh-en.dev.gold").read_text().splitlines())
    rows = []
    for side, name in (("query", "zh"), ("candidate", "en")):
        for line in (BUCC / f"zh-en.dev.{name}").read_text().splitlines():
            number, text = line.split("\t")
            answers = None if side == "candidate" else (gold[number],) if number in gold else ()
            rows.append(Sought(number, side, text, "", answers))
    assert len(rows) == 8624 + 13589
    # Vectors that know the answers, and noise: mining finds what is there, and little else.
    draw = np.random.default_rng(0)
    out = list(draw.normal(size=(len(rows), 32)).astype(np.float32))
    place = {r.id: k for k, r in enumerate(rows)}
    for query, answer in gold.items():
        out[place[query]] = out[place[answer]] + 0.3 * out[place[query]]
    items = [Item(k, ((0, 2),)) for k in range(len(rows))]
    fitted = BitextMining(TASK).fit(rows, items, out)
    assert 90 < fitted.score(rows, fitted.decode(rows, items, out))["f1"] <= 100
