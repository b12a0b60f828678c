from __future__ import annotations

import numpy as np
import pytest
import torch
from kinds_common import batch_of, config, letter_tokenizer, mini_tokenizer, padded, run, task
from torch import nn
from transformers import XLMRobertaModel

from xadapt.backbone.attention import pack_attention
from xadapt.backbone.encoder import encode
from xadapt.common.errors import UserError
from xadapt.kinds import neighbours, vectors
from xadapt.kinds.retrieve import Retrieve
from xadapt.tasks.examples import Paired

ROWS = [
    Paired(str(k), s, t)
    for k, (s, t) in enumerate([("the hen", "a hen"), ("ten", "it rains"), ("in", "ann ran")])
]


@pytest.mark.parametrize("make", [letter_tokenizer, mini_tokenizer])
def test_two_sequences_an_item_as_the_tokenizer_makes_them(make):
    tokenizer = make()
    items = Retrieve(task("retrieve")).encode(ROWS, tokenizer, 64, training=False)
    for item, r in zip(items, ROWS, strict=True):
        assert [list(s) for s in item.sequences] == [tokenizer(x)["input_ids"] for x in (r.source, r.target)]


def test_vectors_are_masked_means_of_the_hidden_states_of_that_layer():
    model = XLMRobertaModel(config(num_hidden_layers=4), add_pooling_layer=False).eval()
    kind = Retrieve(task("retrieve"))
    items = kind.encode(ROWS, letter_tokenizer(), 64, training=False)
    layer = kind.layer(model.config)
    assert layer == 2
    tensors = padded(items)
    states = model(**tensors, output_hidden_states=True).hidden_states[layer]
    mask = tensors["attention_mask"].unsqueeze(-1)
    want = ((states * mask).sum(1) / mask.sum(1)).detach().view(len(items), 2, -1)
    packed = pack_attention(model).eval()
    hidden = encode(packed, batch_of(items), layer)
    got = kind.outputs(kind.head(model.config), hidden, batch_of(items), items)
    torch.testing.assert_close(torch.tensor(np.stack(got)), want, atol=1e-5, rtol=1e-5)
    assert kind.outputs(nn.Identity(), hidden.bfloat16(), batch_of(items), items)[0].dtype == np.float32


def test_layers_in_proportion():
    layers = {n: Retrieve(task("retrieve")).layer(config(num_hidden_layers=n)) for n in (1, 2, 4, 12, 24, 36)}
    assert layers == {1: 1, 2: 1, 4: 2, 12: 7, 24: 14, 36: 21}
    assert Retrieve(task("retrieve"), layer=0).layer(config()) == 0
    with pytest.raises(UserError, match="layer 3"):
        Retrieve(task("retrieve"), layer=3).layer(config())


def outputs(source, target):
    return [np.array(pair, dtype=np.float32) for pair in zip(source, target, strict=True)]


def test_nearest_by_cosine_exactly(monkeypatch):
    monkeypatch.setattr(neighbours, "CPU_BLOCK", 16)  # one query, four candidates
    kind = Retrieve(task("retrieve"))
    items = kind.encode(ROWS, letter_tokenizer(), 64, training=False)
    # The target asks, as in XTREME. Long vectors do not win: the angle counts.
    out = outputs(source=[(0, 0.1), (5, 4), (9, 0)], target=[(1, 0), (0, 3), (1, 1)])
    predictions = kind.decode(ROWS, items, out)
    assert predictions == [2, 0, 1]
    assert kind.score(ROWS, predictions) == {"accuracy": 0.0}
    assert kind.score(ROWS, [0, 0, 2])["accuracy"] == pytest.approx(200 / 3)
    # In any order of the items.
    assert kind.decode(ROWS, items[::-1], out[::-1]) == [2, 0, 1]
    # Ties go to the lowest index; zeros do not divide.
    tied = outputs(source=[(0, 1), (2, 0), (2, 0)], target=[(1, 0), (1, 0), (0, 0)])
    assert kind.decode(ROWS, items, tied) == [1, 1, 0]


def test_equal_sources_stand_for_the_first():
    kind = Retrieve(task("retrieve"))
    rows = [Paired("1", "x", "a"), Paired("2", "y", "b"), Paired("3", "x", "c")]
    items = kind.encode(rows, letter_tokenizer(), 64, training=False)
    nearly = outputs([(1, 0), (0, 1), (1, 1e-4)], [(1, 0), (0, 1), (1, 1e-4)])
    assert kind.decode(rows, items, nearly) == [0, 1, 0]


def first_of_equal(cosines: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What ``nearest_neighbours`` is to give, from all cosines at once."""
    found = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, found, axis=1), found


BLOCKS = [4, 16, 100, 600, 5000, 2**26]  # bytes: from one cosine at once to all


@pytest.mark.parametrize("k", [1, 3, 50])
@pytest.mark.parametrize("block", BLOCKS)
def test_the_nearest_are_the_same_however_they_are_cut(monkeypatch, k, block):
    draw = np.random.default_rng(0)
    asked, offered = (vectors.normalised(draw.normal(size=(n, 8)).astype(np.float32)) for n in (7, 23))
    monkeypatch.setattr(neighbours, "CPU_BLOCK", block)
    scores, found = neighbours.nearest_neighbours(asked, offered, k)
    want_scores, want = first_of_equal(asked @ offered.T, k)
    assert (found == want).all()
    np.testing.assert_allclose(scores, want_scores, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 4, 20, 99])
@pytest.mark.parametrize("block", BLOCKS)
def test_of_equally_near_ones_the_first_come_first_however_they_are_cut(monkeypatch, k, block):
    draw = np.random.default_rng(k)
    # Small whole numbers: products are exact, and nearly every query has ties at its last place.
    asked, offered = (draw.integers(-1, 2, size=(n, 5)).astype(np.float32) for n in (41, 67))
    asked[3] = 0  # equally near to all
    monkeypatch.setattr(neighbours, "CPU_BLOCK", block)
    there, back = first_of_equal(asked @ offered.T, k), first_of_equal(offered @ asked.T, k)
    both = neighbours.nearest_both_ways(asked, offered, k)
    found = [(neighbours.nearest_neighbours(asked, offered, k), there), (both[0], there), (both[1], back)]
    for got, want in found:
        assert (got[0] == want[0]).all()
        assert (got[1] == want[1]).all()


def test_never_more_cosines_than_a_block_are_held(monkeypatch):
    sizes = []
    product = neighbours._product
    monkeypatch.setattr(
        neighbours, "_product", lambda x, y: sizes.append(len(x) * len(y) * 4) or product(x, y)
    )
    monkeypatch.setattr(neighbours, "CPU_BLOCK", 4096)
    draw = np.random.default_rng(0)
    neighbours.nearest_both_ways(*(draw.normal(size=(n, 3)).astype(np.float32) for n in (90, 700)), 4)
    assert max(sizes) <= 4096
    assert sum(sizes) == 4 * 90 * 700  # each cosine once for both ways


def test_shorter_numbers_allowed_in_training_are_not_used_in_search(monkeypatch):
    allowed, during = torch.get_float32_matmul_precision(), []
    matmul = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor,
        "__matmul__",
        lambda x, y: during.append(torch.get_float32_matmul_precision()) or matmul(x, y),
    )
    try:
        torch.set_float32_matmul_precision("high")
        neighbours.nearest_neighbours(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 1)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(allowed)
    assert during == ["highest"]


def test_nothing_is_trained():
    kind = Retrieve(task("retrieve"))
    items = kind.encode(ROWS, letter_tokenizer(), 64, training=False)
    with pytest.raises(UserError, match="trains nothing"):
        kind.encode(ROWS, letter_tokenizer(), 64, training=True)
    with pytest.raises(UserError, match="trains nothing"):
        kind.units(items)
    with pytest.raises(UserError, match="trains nothing"):
        kind.loss(nn.Identity(), torch.zeros(1, 2), batch_of(items), items)


def test_all_sentences_must_be_there():
    kind = Retrieve(task("retrieve"))
    items = kind.encode(ROWS, letter_tokenizer(), 64, training=False)
    with pytest.raises(ValueError, match="all sentences"):
        kind.decode(ROWS, items[:2], outputs([(1, 0)] * 2, [(1, 0)] * 2))
    assert kind.decode([], [], []) == []


def test_end_to_end_identical_sentences_are_found():
    rows = [Paired(str(k), s, s) for k, s in enumerate(["the hen ate", "it rained", "Tartu in 1999"])]
    kind = Retrieve(task("retrieve"))
    items = kind.encode(rows, letter_tokenizer(), 64, training=False)
    model = pack_attention(XLMRobertaModel(config(), add_pooling_layer=False)).eval()
    hidden = encode(model, batch_of(items), kind.layer(model.config))
    assert run(kind, nn.Identity(), hidden, rows, items) == [0, 1, 2]


def test_baseline_finds_shared_spelling():
    rows = [Paired("1", "Anna in Berlin", "Anna ist in Berlin"), Paired("2", "1999 it ran", "es lief 1999")]
    assert Retrieve(task("retrieve")).baselines([], {"de": rows}) == {
        "same words": {"de": {"accuracy": 100.0}}
    }
    assert Retrieve(task("retrieve")).baselines([], {"de": []}) == {"same words": {}}
