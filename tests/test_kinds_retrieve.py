from __future__ import annotations

import numpy as np
import pytest
import torch
from kinds_common import batch_of, config, letter_tokenizer, mini_tokenizer, padded, run, task
from torch import nn
from transformers import XLMRobertaModel

from xadapt.backbone.encoder import encode, pack_attention
from xadapt.common.errors import UserError
from xadapt.kinds import vectors
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
    monkeypatch.setattr(vectors, "QUERIES", 2)
    monkeypatch.setattr(vectors, "CANDIDATES", 2)
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


@pytest.mark.parametrize("k", [1, 3, 50])
def test_the_nearest_are_the_same_however_they_are_cut(monkeypatch, k):
    draw = np.random.default_rng(0)
    asked, offered = (vectors.normalised(draw.normal(size=(n, 8)).astype(np.float32)) for n in (7, 23))
    cosines = asked @ offered.T
    want = np.argsort(-cosines, axis=1)[:, :k]
    monkeypatch.setattr(vectors, "QUERIES", 3)
    for size in (2, 5, 100):
        monkeypatch.setattr(vectors, "CANDIDATES", size)
        scores, found = vectors.nearest_neighbours(asked, offered, k)
        assert (found == want).all()
        np.testing.assert_allclose(scores, np.take_along_axis(cosines, want, 1), rtol=1e-5)


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
