from __future__ import annotations

import pytest
import torch
from hypothesis import given
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
from transformers import XLMRobertaForMultipleChoice, XLMRobertaForSequenceClassification

from xadapt.common.errors import UserError
from xadapt.kinds.choose import Choose, longest_first
from xadapt.tasks.examples import Chosen

ROWS = [
    Chosen("1", "the hen ate", "then what?", ("it ran", "it slept in the tent", "rain"), 1),
    Chosen("2", "it rains", "", ("ha", "hats are here"), 0),
    Chosen("3", "inn " * 60, "who is the heir?", ("he", "ten " * 50, "her", "ann"), 3),
]


@pytest.mark.parametrize("make", [letter_tokenizer, mini_tokenizer])
def test_one_sequence_an_option_as_the_tokenizer_pairs_them(make):
    tokenizer = make()
    items = Choose(task("choose")).encode(ROWS, tokenizer, 128, training=True)
    for item, row in zip(items[:2], ROWS, strict=False):
        first = f"{row.context} {row.question}".strip()
        assert [list(s) for s in item.sequences] == [tokenizer(first, o)["input_ids"] for o in row.options]
    assert [i.target for i in items] == [1, 0, 3]


def test_the_question_survives_a_long_context():
    tokenizer = letter_tokenizer()
    question = tokenizer(ROWS[2].question, add_special_tokens=False)["input_ids"]
    for sequence in Choose(task("choose")).encode(ROWS, tokenizer, 64, training=True)[2].sequences:
        ids = list(sequence)
        assert len(ids) <= 64
        end = ids.index(2)
        assert ids[end - len(question) : end] == question


@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.integers(0, 60))
def test_longest_first_fits_and_wastes_nothing(lengths, room):
    left = longest_first(lengths, room)
    assert sum(left) == min(sum(lengths), room)
    assert all(0 <= a <= b for a, b in zip(left, lengths, strict=True))
    # What was cut is no shorter, but by one, than what is left of the others.
    cut = [a for a, b in zip(left, lengths, strict=True) if a < b]
    assert not cut or min(cut) >= max(left) - 1


def test_equals_hfs_multiple_choice_loss_with_the_sequence_head():
    """XLMRobertaForMultipleChoice has a pooler for a head; the rest, options as rows, is the same."""
    model = XLMRobertaForSequenceClassification(config(num_labels=1)).eval()
    kind = Choose(task("choose"))
    items = kind.encode(ROWS, letter_tokenizer(), 40, training=True)
    head = kind.head(model.config).eval()
    head.load_state_dict(model.classifier.state_dict())
    batch = batch_of(items)
    hidden = packed_states(model.roberta, batch)
    logits = model(**padded(items)).logits.squeeze(1).split([3, 2, 4])
    want = sum(
        torch.nn.functional.cross_entropy(x[None], torch.tensor([i.target]), reduction="sum")
        for x, i in zip(logits, items, strict=True)
    )
    loss = loss_of(kind, head, hidden, batch, items)
    torch.testing.assert_close(loss, want, atol=1e-5, rtol=1e-5)
    assert run(kind, head, hidden, ROWS, items) == [int(x.argmax()) for x in logits]
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())
    assert head.dense.weight.grad.abs().sum() > 0


def test_equals_hfs_multiple_choice_with_its_weights():
    model = XLMRobertaForMultipleChoice(config(num_labels=1)).eval()
    rows = ROWS[:1]
    kind = Choose(task("choose"))
    items = kind.encode(rows, letter_tokenizer(), 40, training=True)
    head = kind.head(model.config).eval()
    # HF's pooler is the dense layer with its tanh, its classifier the projection.
    names = {"dense": model.roberta.pooler.dense, "out_proj": model.classifier}
    head.load_state_dict({f"{n}.{k}": v for n, m in names.items() for k, v in m.state_dict().items()})
    tensors = {k: v[None] for k, v in padded(items).items()}
    want = model(**tensors, labels=torch.tensor([rows[0].label]))
    batch = batch_of(items)
    hidden = packed_states(model.roberta, batch)
    torch.testing.assert_close(loss_of(kind, head, hidden, batch, items), want.loss, atol=1e-5, rtol=1e-5)
    scores = torch.tensor(outputs_of(kind, head, hidden, batch, items)[0])
    torch.testing.assert_close(scores, want.logits[0].detach(), atol=1e-5, rtol=1e-5)


def test_refuses_bad_labels_and_missing_ones():
    kind = Choose(task("choose"))
    with pytest.raises(UserError, match="2 options and the label 2"):
        kind.encode([Chosen("1", "a", "", ("b", "c"), 2)], letter_tokenizer(), 32, training=True)
    with pytest.raises(UserError, match="no labels"):
        kind.score([Chosen("1", "a", "", ("b", "c"), None)], [0])
    with pytest.raises(TypeError, match="expected Chosen"):
        kind.encode(["no example"], letter_tokenizer(), 32, training=False)


def test_score_and_baselines():
    kind = Choose(task("choose"))
    assert kind.score(ROWS, [1, 1, 3])["accuracy"] == pytest.approx(200 / 3)
    train = [Chosen(str(i), "a", "", ("b", "c"), i % 3 % 2) for i in range(9)]
    scores = kind.baselines(train, {"en": ROWS})
    assert scores["majority position"]["en"]["accuracy"] == pytest.approx(100 / 3)  # always the first
    assert scores["longest option"]["en"]["accuracy"] == pytest.approx(100 / 3)
