from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from kinds_common import (
    batch_of,
    config,
    letter_tokenizer,
    loss_of,
    mini_tokenizer,
    outputs_of,
    packed_states,
    padded,
    run,
    task,
)
from transformers import XLMRobertaForTokenClassification

from xadapt.common.errors import UserError
from xadapt.kinds.tag import OUTSIDE, Tag
from xadapt.tasks.examples import Tagged

ROWS = [
    Tagged("1", ("Ann", "eats", "in", "Tartu", "."), ("B-PER", "O", "O", "B-LOC", "O")),
    Tagged("2", (), ()),
    Tagged("3", ("\u200b", "the", "\u200b", "hen", "New York"), ("O", "O", "O", "B-PER", "B-LOC")),
    Tagged("4", ("here",) * 30, ("O",) * 30),
]
TOKENIZER = letter_tokenizer()


def word_ids(item):
    """The ids of an item's words, special tokens and following pieces left out."""
    return [item.sequences[0][k] for k in item.note.at]


@pytest.mark.parametrize("make", [letter_tokenizer, mini_tokenizer])
def test_first_pieces_are_the_tokenizers_own(make):
    tokenizer = make()
    items = Tag(task("tag")).encode(ROWS, tokenizer, 200, training=True)
    assert [i.example for i in items] == [0, 2, 3]
    encoded = tokenizer(list(ROWS[0].words), is_split_into_words=True)
    assert list(items[0].sequences[0]) == encoded["input_ids"]
    owner = encoded.word_ids()
    assert items[0].note.at.tolist() == [owner.index(k) for k in range(5)]
    assert items[0].target.tolist() == [1, 0, 0, 3, 0]


def test_a_word_without_a_piece_is_unknown_not_lost():
    item = Tag(task("tag")).encode(ROWS[2:3], TOKENIZER, 200, training=True)[0]
    words = word_ids(item)
    assert len(words) == 5
    assert words[0] == words[2] == TOKENIZER.unk_token_id
    text = TOKENIZER.convert_ids_to_tokens(list(item.sequences[0]))
    assert [t.replace("▁", "") for t in text if t == "<unk>"] == ["<unk>"] * 2
    assert "".join(text).replace("▁", "") == "<s><unk>the<unk>henNewYork</s>"


WORD = st.text(st.sampled_from("abtheinTHE .\u200b中ж"), max_size=12)


@given(st.lists(st.lists(WORD, max_size=25), min_size=1, max_size=4), st.integers(3, 40))
@example([["there"] * 3, [], ["", "\u200b", " "]], 3)
def test_no_word_is_lost_at_any_length(sentences, max_length):
    labels = tuple(f"T{k}" for k in range(25))
    rows = [Tagged(str(i), tuple(ws), labels[: len(ws)]) for i, ws in enumerate(sentences)]
    kind = Tag(task("tag", labels=labels))
    items = kind.encode(rows, TOKENIZER, max_length, training=True)
    whole = {i.example: i for i in kind.encode(rows, TOKENIZER, 10_000, training=True)}
    for i, row in enumerate(rows):
        mine = [item for item in items if item.example == i]
        assert np.concatenate([[], *(m.target for m in mine)]).tolist() == list(range(len(row.words)))
        if row.words:  # every word's first piece is what it is in the uncut sentence
            assert [k for m in mine for k in word_ids(m)] == word_ids(whole[i])
        assert [m.note.first for m in mine] == np.cumsum([0, *(len(m.target) for m in mine)])[:-1].tolist()
    for item in items:
        assert 3 <= len(item) <= max_length
        assert item.sequences[0][0] == 0
        assert item.sequences[0][-1] == 2
        assert len(item.target) == len(item.note.at) >= 1
    assert kind.units(items) == sum(len(r.words) for r in rows)
    # In any order of the items, decoding puts every word's tag where it belongs.
    shuffled = items[::-1]
    decoded = kind.decode(rows, shuffled, [item.target for item in shuffled])
    assert decoded == [r.tags for r in rows]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_hf(dtype):
    model = XLMRobertaForTokenClassification(config(num_labels=5)).eval()
    kind = Tag(task("tag"))
    items = kind.encode(ROWS, TOKENIZER, 60, training=True)
    assert len(items) > 3
    head = kind.head(model.config).eval()
    head.load_state_dict({f"classifier.{k}": v for k, v in model.classifier.state_dict().items()})
    batch = batch_of(items)
    hidden = packed_states(model.roberta, batch).to(dtype)
    tensors = padded(items)
    labels = torch.full_like(tensors["input_ids"], -100)
    for k, item in enumerate(items):
        labels[k, item.note.at] = torch.from_numpy(item.target)
    want = model(**tensors, labels=labels)
    near = 1e-5 if dtype == torch.float32 else 0.05
    loss = loss_of(kind, head, hidden, batch, items) / kind.units(items)
    torch.testing.assert_close(loss, want.loss, atol=near, rtol=near)
    loss.backward()
    assert head.classifier.weight.grad.abs().sum() > 0
    if dtype == torch.float32:
        best = [want.logits[k].argmax(-1)[i.note.at].tolist() for k, i in enumerate(items)]
        assert [o.tolist() for o in outputs_of(kind, head, hidden, batch, items)] == best
        predicted = run(kind, head, hidden, ROWS, items)
        assert [len(p) for p in predicted] == [5, 0, 5, 30]


def test_scores_are_seqevals_and_quiet():
    kind = Tag(task("tag"))
    gold = [Tagged("1", ("a", "b", "c", "d"), ("B-PER", "I-PER", "O", "B-LOC"))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # One of two entities found, one wrong: F1 50; three of four words right.
        assert kind.score(gold, [("B-PER", "I-PER", "O", "B-PER")]) == {"f1": 50.0, "accuracy": 75.0}
        assert kind.score(gold, [("O",) * 4])["f1"] == 0.0
        # Raw POS tags: a run of equal tags is one entity, as in XTREME. Gold runs: DET, NOUN NOUN, VERB.
        pos = Tag(task("tag", labels=("DET", "NOUN", "VERB")))
        row = [Tagged("1", ("a", "b", "c", "d"), ("DET", "NOUN", "NOUN", "VERB"))]
        scores = pos.score(row, [("DET", "NOUN", "VERB", "VERB")])
        assert scores["accuracy"] == 75.0
        assert scores["f1"] == pytest.approx(100 / 3)  # only DET of three runs is right on both sides


def test_baselines():
    kind = Tag(task("tag"))
    train = [Tagged("1", ("Ann", "and", "Ann", "in", "Rome"), ("B-PER", "O", "B-PER", "O", "B-LOC"))]
    test = [Tagged("1", ("Ann", "saw", "Rome"), ("B-PER", "O", "B-LOC")), Tagged("2", (), ())]
    scores = kind.baselines(train, {"en": test})
    # B-PER and O are equally frequent: the task lists O first.
    assert scores["most frequent tag"]["en"]["accuracy"] == pytest.approx(100 / 3)
    assert scores["most frequent tag of the word"]["en"] == {"f1": 100.0, "accuracy": 100.0}
    assert kind.baselines([], {"en": test}) == {}


def test_refuses_what_it_cannot_score_or_read():
    kind = Tag(task("tag"))
    with pytest.raises(UserError, match="no labels"):
        kind.score([Tagged("1", ("a",), None)], [("O",)])
    with pytest.raises(UserError, match="unknown label 'B-ORG'"):
        kind.encode([Tagged("1", ("a",), ("B-ORG",))], TOKENIZER, 20, training=True)
    with pytest.raises(UserError, match="unknown label 'B-ORG'"):
        kind.score([Tagged("1", ("a",), ("B-ORG",))], [("O",)])
    with pytest.raises(UserError, match="2 words and 1 tags"):
        kind.encode([Tagged("1", ("a", "b"), ("O",))], TOKENIZER, 20, training=False)
    with pytest.raises(ValueError, match="got 1 tags for the 2 words"):
        kind.score([Tagged("1", ("a", "b"), ("O", "O"))], [("O",)])
    row = [Tagged("1", ("a", "b"), None)]
    assert kind.encode(row, TOKENIZER, 20, training=False)[0].target is None
    with pytest.raises(ValueError, match="was an item left out"):
        kind.decode(row, [], [])


def test_an_open_label_set_takes_tags_that_it_does_not_have_and_never_finds_them_right():
    kind = Tag(task("tag", labels=("N", "NP"), open_labels=True, metrics=("accuracy",)))
    rows = [Tagged("1", ("the", "hen", "ran"), ("N", "S\\NP", "NP")), Tagged("2", ("in",), ("PP",))]
    items = kind.encode(rows, TOKENIZER, 20, training=True)
    assert [item.target.tolist() for item in items] == [[0, OUTSIDE, 1], [OUTSIDE]]
    assert kind.units(items) == 2
    assert kind.score(rows, [("N", "NP", "NP"), ("N",)]) == {"accuracy": 50.0}
    hidden = torch.randn(sum(map(len, items)), 24)
    head = kind.head(config())
    both, one = (loss_of(kind, head.eval(), hidden, batch_of(items), items) for _ in range(2))
    alone = loss_of(kind, head, hidden[-len(items[0]) :], batch_of(items[:1]), items[:1])
    assert both == one
    torch.testing.assert_close(both, alone)  # the longer sentence lies last; the shorter adds nothing
    assert loss_of(kind, head, hidden[: len(items[1])], batch_of(items[1:]), items[1:]) == 0
    scores = kind.baselines(rows, {"en": rows})
    assert scores["most frequent tag"]["en"] == {"accuracy": 25.0}


def test_a_thousand_labels_are_as_easy_as_ten():
    labels = tuple(f"T{i}" for i in range(1200))
    kind = Tag(task("tag", labels=labels, open_labels=True, metrics=("accuracy",)))
    rows = [
        Tagged(str(i), ("hen",) * 40, tuple(labels[(i * 40 + k) % 1200] for k in range(40)))
        for i in range(100)
    ]
    began = time.process_time()
    items = kind.encode(rows, TOKENIZER, 128, training=True)
    hidden = torch.randn(sum(map(len, items)), 24, requires_grad=True)
    head = kind.head(config())
    loss_of(kind, head, hidden, batch_of(items), items).backward()
    predictions = run(kind, head, hidden, rows, items)
    assert kind.score(rows, predictions)["accuracy"] < 5
    assert len(predictions[0]) == 40
    assert time.process_time() - began < 10
