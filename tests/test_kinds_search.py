"""LAReQA and Mewsli-X: pools, the dual encoder's loss, rankings and their score."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kinds_common import MINI, batch_of, config, letter_tokenizer, loss_of, mini_tokenizer, task
from tiny import tiny_backbone
from transformers import XLMRobertaModel

from xadapt.backbone.attention import pack_attention
from xadapt.backbone.encoder import encode
from xadapt.common.errors import UserError
from xadapt.common.randomness import seeded
from xadapt.kinds import kind_of, neighbours
from xadapt.kinds.candidates import as_pool, counted, sentence_around, with_answers
from xadapt.kinds.search import Search
from xadapt.mount import Part, mount
from xadapt.stacks.methods import parse_method
from xadapt.tasks.examples import Answer, Extracted, Sought
from xadapt.train.evaluate import evaluate, predict
from xadapt.train.loop import ModuleTraining, TaskInputs, trained
from xadapt.train.settings import Settings

TOKENIZER = letter_tokenizer()
TRAINED = task("retrieve", name="lareqa", metrics=("map@20",), train="squad_v1")
UNTRAINED = task("retrieve", name="pools", metrics=("map@20",))
STORY = 'Ann ran. "Is it 2.5 hens?" he said. Then Dr. Nina ate it.'
LAREQA = MINI.parent / "xtreme" / "lareqa" / "xquad-r"


def extracted(i: int, question: str, text: str, context: str = STORY) -> Extracted:
    return Extracted(str(i), question, context, (Answer(text, context.index(text)),))


SQUAD = [
    extracted(0, "who ran?", "Ann"),
    extracted(1, "who ate?", "Nina"),
    extracted(2, "what did Nina eat?", "it."),
    extracted(3, "who rained?", "tent", "A tent rained."),
]
POOL = [
    Sought("q1", "query", "ten hens", "", ("b", "d")),
    Sought("a", "candidate", "it rained", "", None),
    Sought("b", "candidate", "ten hens ran", "here", None),
    Sought("q2", "query", "rain", "", ("a",)),
    Sought("c", "candidate", "nothing", "", None),
]


def test_the_sentence_around_an_answer():
    around = {
        text: sentence_around(STORY, Answer(text, STORY.index(text)))
        for text in ("Ann", "2.5", "said", "ran. ")
    }
    assert around["Ann"] == "Ann ran."
    assert around["2.5"] == around["said"] == '"Is it 2.5 hens?" he said.'
    assert around["ran. "] == "Ann ran."
    # An answer over a break keeps all that it touches.
    assert sentence_around(STORY, Answer('ran. "Is', 4)) == 'Ann ran. "Is it 2.5 hens?" he said.'
    assert sentence_around("no stop", Answer("stop", 3)) == "no stop"


def test_squad_becomes_a_pool_of_distinct_sentences():
    rows = as_pool(SQUAD)
    queries, candidates = rows[:4], rows[4:]
    assert [(q.text, q.answers) for q in queries] == [
        ("who ran?", ("sentence-0",)),
        ("who ate?", ("sentence-1",)),
        ("what did Nina eat?", ("sentence-1",)),
        ("who rained?", ("sentence-2",)),
    ]
    assert [c.context for c in candidates] == [STORY, STORY, "A tent rained."]
    assert as_pool(POOL) == POOL


def test_parts_of_a_pool_keep_the_answers():
    assert counted(POOL) == [POOL[0], POOL[3]]
    assert with_answers(counted(POOL)[:1], POOL) == [POOL[0], POOL[2]]
    assert with_answers(SQUAD[:2], SQUAD) == SQUAD[:2] == counted(SQUAD)[:2]


@pytest.mark.parametrize("make", [letter_tokenizer, mini_tokenizer])
def test_texts_are_read_as_the_tokenizer_reads_them(make):
    tokenizer = make()
    items = Search(TRAINED).encode(POOL, tokenizer, 64, training=False)
    assert [item.example for item in items] == [0, 1, 2, 3, 4]
    assert list(items[0].sequences[0]) == tokenizer("ten hens")["input_ids"]
    assert list(items[2].sequences[0]) == tokenizer("ten hens ran", "here")["input_ids"]


def test_training_pairs_a_query_with_its_first_answer_that_is_there():
    items = Search(TRAINED).encode(POOL, TOKENIZER, 64, training=True)
    assert [(item.example, item.target) for item in items] == [(0, (1,)), (3, (0,))]
    assert list(items[0].sequences[1]) == TOKENIZER("ten hens ran", "here")["input_ids"]
    both = Search(TRAINED).encode(SQUAD, TOKENIZER, 128, training=True)
    assert [item.target for item in both] == [(0,), (1,), (1,), (2,)]
    assert list(both[0].sequences[1]) == TOKENIZER("Ann ran.", STORY)["input_ids"]
    long = [Sought("q", "query", "in " * 300, "", ("c",)), Sought("c", "candidate", "in " * 300, "", None)]
    assert [len(s) for s in Search(TRAINED).encode(long, TOKENIZER, 256, training=True)[0].sequences] == [
        96,
        256,
    ]


def test_the_loss_is_a_softmax_over_the_batch_without_other_right_candidates():
    kind = Search(TRAINED)
    items = kind.encode(SQUAD, TOKENIZER, 128, training=True)
    model = pack_attention(XLMRobertaModel(config(), add_pooling_layer=False).eval())
    batch = batch_of(items)
    hidden = encode(model, batch)
    with seeded("head"):
        head = kind.head(model.config)
    states = hidden[batch.starts].detach()
    vectors = F.normalize(torch.tanh(F.linear(states, head.dense.weight, head.dense.bias)), dim=-1)
    logits = 100 * vectors[0::2] @ vectors[1::2].T
    want = torch.zeros(())
    for i, rivals in enumerate(([0, 1, 2, 3], [1, 0, 3], [2, 0, 3], [3, 0, 1, 2])):  # own candidate first
        want = want - torch.log_softmax(logits[i, rivals], 0)[0]
    loss = loss_of(kind, head, hidden, batch, items)
    torch.testing.assert_close(loss, want)
    assert kind.units(items) == 4
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())


def test_ranked_by_cosine():
    kind = Search(UNTRAINED)
    items = kind.encode(POOL, TOKENIZER, 64, training=False)
    out = [np.array(v, dtype=np.float32) for v in ([2, 1], [9, 0], [1, 1], [0, 1], [-1, 1])]
    ranked = kind.decode(POOL, items, out)
    assert ranked == [("b", "a", "c"), (), (), ("b", "c", "a"), ()]
    # b is first of two answers; d is not in the pool. a is third.
    assert kind.score(POOL, ranked)["map@20"] == pytest.approx(100 * (1 / 2 + 1 / 3) / 2)
    assert kind.decode(POOL, items[::-1], out[::-1]) == ranked


def test_squads_dev_set_is_ranked_too():
    kind = Search(TRAINED)
    items = kind.encode(SQUAD, TOKENIZER, 128, training=False)
    assert len(items) == 4 + 3
    out = [np.eye(3, dtype=np.float32)[k] for k in (0, 1, 2, 2, 0, 1, 2)]
    ranked = kind.decode(SQUAD, items, out)
    assert [r[0] for r in ranked] == ["sentence-0", "sentence-1", "sentence-2", "sentence-2"]
    assert kind.score(SQUAD, ranked)["map@20"] > 75


def test_layers_and_heads():
    assert Search(TRAINED).layer(config()) is None
    assert Search(UNTRAINED).layer(config(num_hidden_layers=12)) == 7
    assert Search(UNTRAINED, 3).layer(config(num_hidden_layers=12)) == 3
    assert set(dict(Search(TRAINED).head(config()).named_parameters())) == {
        "dense.weight",
        "dense.bias",
        "logit_scale",
    }
    assert isinstance(kind_of(TRAINED), Search)


def test_the_search_is_where_the_model_is(monkeypatch):
    kind = Search(UNTRAINED)
    placed = kind.decoding_on(torch.device("cuda:1"))
    assert (placed.device, kind.device) == (torch.device("cuda:1"), "cpu")
    assert placed.decoding_on(torch.device("mps")).device == "cpu"
    # Prediction asks for the model's device; no GPU is needed to see which one is searched on.
    backbone = tiny_backbone()
    items = kind.encode(POOL, backbone.tokenizer, 64, training=False)
    mounted = mount(backbone, [], seed=("bare",))
    want = predict(mounted, kind.head(backbone.config), kind, POOL, items)
    search, searched = neighbours.nearest_neighbours, []

    def on_the_cpu(queries, candidates, k, *, device):
        searched.append(device)
        return search(queries, candidates, k)

    monkeypatch.setattr(neighbours, "nearest_neighbours", on_the_cpu)
    monkeypatch.setattr(
        Search, "decoding_on", lambda kind, device: placed if device == mounted.device else kind
    )
    assert predict(mounted, kind.head(backbone.config), kind, POOL, items) == want
    assert searched == [torch.device("cuda:1")]


def test_what_is_refused():
    with pytest.raises(UserError, match="trains nothing"):
        Search(UNTRAINED).encode(POOL, TOKENIZER, 64, training=True)
    unknown = [Sought("q", "query", "ten", "", None), POOL[1]]
    with pytest.raises(UserError, match="to train"):
        Search(TRAINED).encode(unknown, TOKENIZER, 64, training=True)
    with pytest.raises(UserError, match="no labels"):
        Search(TRAINED).score(unknown, [("a",), ()])
    with pytest.raises(UserError, match="0 candidates"):
        Search(UNTRAINED).decode(
            unknown[:1], Search(UNTRAINED).encode(unknown[:1], TOKENIZER, 64, training=False), [0]
        )


def test_the_baseline_counts_shared_words():
    assert Search(UNTRAINED).baselines([], {"en": POOL[:3]}) == {"same words": {"en": {"map@20": 50.0}}}


def test_real_paragraphs_hold_their_answers():
    if not LAREQA.is_dir():
        pytest.skip("no XQuAD-R files: shared/xtreme/lareqa is not beside the repository")
    data = json.loads((LAREQA / "en.json").read_text())["data"]
    kept = total = 0
    for paragraph in (p for article in data for p in article["paragraphs"]):
        context, breaks = paragraph["context"], paragraph["sentence_breaks"]
        for asked in paragraph["qas"]:
            answer = Answer(asked["answers"][0]["text"], asked["answers"][0]["answer_start"])
            mine = sentence_around(context, answer)
            assert answer.text.strip() in mine
            theirs = next(context[a:b].strip() for a, b in breaks if a <= answer.start < b)
            kept, total = kept + (mine == theirs), total + 1
    # Our cutter is simple; that of the benchmark's authors agrees on nearly all sentences.
    assert kept / total > 0.9


def test_a_dual_encoder_learns_to_find_answers():
    backbone, kind = tiny_backbone(), Search(TRAINED)
    names = ["apple", "park", "Anna", "Berlin", "Acme", "man", "woman", "nobody"]
    rows = [extracted(i, f"where is {n} ?", n, f"{n} lives in the old {n} .") for i, n in enumerate(names)]
    items = kind.encode(rows, backbone.tokenizer, 64, training=True)
    dev = (rows, kind.encode(rows, backbone.tokenizer, 64, training=False))
    mounted = mount(backbone, [Part("lareqa", parse_method("lora(r=4)"), None)], seed=("dual",))
    with seeded("head"):
        head = kind.head(backbone.config)
    before = evaluate(mounted, head, kind, *dev)["map@20"]
    settings = Settings(lr=3e-3, epochs=30, batch_size=8, max_length=64, looks=2)
    result = trained(
        ModuleTraining(mounted, [TaskInputs("lareqa", kind, head, items, dev, "map@20")], settings, seed=0)
    )
    assert result.progress.best > max(before, 60)
    assert result.progress.history[-1]["loss"] < 1
