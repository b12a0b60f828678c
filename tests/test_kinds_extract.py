from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kinds_common import batch_of, config, letter_tokenizer, mini_tokenizer, packed_states, padded, run, task
from torch import nn
from transformers import XLMRobertaForQuestionAnswering

from xadapt.common.errors import UserError
from xadapt.kinds.extract import ANSWER_TOKENS, Extract, Span, windows
from xadapt.tasks.examples import Answer, Extracted

TOKENIZER = letter_tokenizer()
STORY = "the hen Ann ate a nut in the tent. then it rained there, and the heir of Tartu ran here at 10."


def row(answer: str | None, question: str = "who ate?", context: str = STORY, id: str = "1") -> Extracted:
    answers = () if answer is None else (Answer(answer, context.index(answer)),)
    return Extracted(id, question, context, answers)


class Told(nn.Module):
    """A head whose logits are the hidden states: tests say what it sees."""

    def forward(self, states):
        return states


def told(items, wishes):
    """Hidden states (T, 2): 0, but for the (start, end) logits wished, by item and index in its sequence."""
    batch = batch_of(items)
    hidden = torch.zeros(len(batch.input_ids), 2)
    for item, logits in wishes.items():
        for at, values in logits.items():
            hidden[int(batch.starts[item]) + at] = torch.tensor(values)
    return hidden


@pytest.mark.parametrize("make", [letter_tokenizer, mini_tokenizer])
@pytest.mark.parametrize(("max_length", "stride"), [(40, 8), (64, 0), (400, 8), (30, 12)])
def test_windows_are_hfs(make, max_length, stride):
    tokenizer = make()
    rows = [row("Ann"), row("Tartu", "where?", STORY * 2), row(None, "", "")]
    items = Extract(task("extract", stride=stride)).encode(rows, tokenizer, max_length, training=True)
    want = tokenizer(
        [r.question for r in rows],
        [r.context for r in rows],
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert [list(i.sequences[0]) for i in items] == want["input_ids"]
    assert [i.example for i in items] == want["overflow_to_sample_mapping"]
    for k, item in enumerate(items):
        context = [n for n, side in enumerate(want.sequence_ids(k)) if side == 1]
        assert len(item.note.offsets) == len(context)
        if context:
            assert item.note.at == context[0]
            assert [tuple(o) for o in item.note.offsets.tolist()] == [
                want["offset_mapping"][k][n] for n in context
            ]


@pytest.mark.parametrize("make", [letter_tokenizer, mini_tokenizer])
@given(data=st.data())
def test_the_answer_comes_back_from_every_window_that_holds_it(make, data):
    tokenizer = TOKENIZER if make is letter_tokenizer else make()
    words = data.draw(st.lists(st.text("abtheinTHE½中,.", min_size=1, max_size=9), min_size=1, max_size=40))
    context = " ".join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, min(first + 3, len(words) - 1)))
    start = len(" ".join([*words[:first], ""]))
    answer = context[start : start + len(" ".join(words[first : last + 1]))]
    example = Extracted("1", data.draw(st.text("who ", max_size=30)), context, (Answer(answer, start),))
    stride, max_length = data.draw(st.integers(0, 30)), data.draw(st.integers(8, 60))
    kind = Extract(task("extract", stride=stride))
    items = kind.encode([example], tokenizer, max_length, training=True)
    uncut = kind.encode([example], tokenizer, 10_000, training=True)[0]
    gold = [t - uncut.note.at for t in uncut.target]
    cuts = windows(len(uncut.note.offsets), max_length - 1 - items[0].note.at, stride)
    for item, (low, high) in zip(items, cuts, strict=True):
        assert len(item) <= max_length
        covered = item.note.offsets
        a, b = item.target
        assert (a > 0) == (low <= gold[0] and gold[1] < high)
        if a == 0:
            assert b == 0
            continue
        assert item.note.at <= a <= b < len(item) - 1
        got = context[covered[a - item.note.at, 0] : covered[b - item.note.at, 1]]
        assert got.strip() == answer
        if b - a < ANSWER_TOKENS:
            only = told([item], {0: {a: (9.0, 0.0), b: (0.0, 9.0)} if a < b else {a: (9.0, 9.0)}})
            assert run(kind, Told(), only, [example], [item]) == [answer]


def test_windows_cover_everything_and_overlap():
    assert list(windows(0, 5, 2)) == [(0, 0)]
    assert list(windows(5, 5, 2)) == [(0, 5)]
    assert list(windows(12, 5, 2)) == [(0, 5), (3, 8), (6, 11), (9, 12)]
    assert list(windows(6, 4, 99)) == [(0, 4), (1, 5), (2, 6)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_hf_without_padding(dtype):
    """HF's padded loss has the padding in its denominator: so each window goes through HF alone."""
    model = XLMRobertaForQuestionAnswering(config(num_labels=2)).eval()
    kind = Extract(task("extract"))
    rows = [row("Ann"), row("the heir", id="2"), row(None, id="3"), row("b", "q", "a b c", "4")]
    items = kind.encode(rows, TOKENIZER, 40, training=True)
    assert len(items) > len(rows)
    assert (0, 0) in [i.target for i in items]
    head = kind.head(model.config).eval()
    head.load_state_dict({f"qa_outputs.{k}": v for k, v in model.qa_outputs.state_dict().items()})
    batch = batch_of(items)
    hidden = packed_states(model.roberta, batch).to(dtype)
    near = 1e-5 if dtype == torch.float32 else 0.05
    total = torch.zeros(())
    for k, item in enumerate(items):
        a, b = (torch.tensor([t]) for t in item.target)
        alone = model(**padded([item]), start_positions=a, end_positions=b)
        total = total + alone.loss
        own = head(hidden[batch.owner == k].float())
        torch.testing.assert_close(own[:, 0], alone.start_logits[0], atol=near, rtol=near)
        torch.testing.assert_close(own[:, 1], alone.end_logits[0], atol=near, rtol=near)
    loss = kind.loss(head, hidden, batch, items)
    torch.testing.assert_close(loss, total, atol=near * len(items), rtol=near)
    loss.backward()
    assert head.qa_outputs.weight.grad.abs().sum() > 0
    assert kind.units(items) == len(items)


def test_outputs_are_the_exhaustive_best():
    torch.manual_seed(0)
    kind = Extract(task("extract", stride=4))
    rows = [row("Ann"), row("Tartu", "", STORY * 3, "2"), row(None, "who", "", "3")]
    items = kind.encode(rows, TOKENIZER, 70, training=False)
    batch = batch_of(items)
    hidden = torch.randn(len(batch.input_ids), 2)
    for k, (item, span) in enumerate(zip(items, kind.outputs(Told(), hidden, batch, items), strict=True)):
        mine = hidden[int(batch.starts[k]) :][: len(item)]
        n = len(item.note.offsets)
        best = [
            (float(mine[item.note.at + i, 0] + mine[item.note.at + j, 1]), i, j)
            for i in range(n)
            for j in range(i, min(i + ANSWER_TOKENS, n))
        ]
        score, i, j = max(best, default=(float("-inf"), 0, 0))
        assert span.score == pytest.approx(score)
        assert span.null == pytest.approx(float(mine[0].sum()))
        if n:
            assert (span.start, span.stop) == (item.note.offsets[i, 0], item.note.offsets[j, 1])


def test_answers_never_come_from_the_question_or_special_tokens():
    kind = Extract(task("extract"))
    example = row("Ann", question="who ate the nut in the tent?")
    items = kind.encode([example], TOKENIZER, 300, training=False)
    at, n = items[0].note.at, len(items[0])
    outside = dict.fromkeys([*range(at), n - 1], (50.0, 50.0))
    hidden = told(items, {0: outside | {at + 5: (1.0, 1.0)}})
    a, b = items[0].note.offsets[5]
    assert run(kind, Told(), hidden, [example], items) == [STORY[a:b].strip()]


def test_an_answer_does_not_cross_windows_nor_run_backwards_nor_exceed_its_length():
    kind = Extract(task("extract", stride=0))
    example = row("Ann")
    items = kind.encode([example], TOKENIZER, 40, training=False)
    at, n = items[0].note.at, len(items[0].note.offsets)
    offsets = items[0].note.offsets
    # The end before the start: each alone, with a zero, is what remains; the first of the equals.
    hidden = told(items[:1], {0: {at + 9: (5.0, 0.0), at + 3: (0.0, 5.0)}})
    got = run(kind, Told(), hidden, [example], items[:1])[0]
    assert got == STORY[offsets[0, 0] : offsets[3, 1]].strip()
    # Start in the first window, end in the second.
    hidden = told(items, {0: {at + n - 1: (5.0, 0.0)}, 1: {at: (0.0, 5.0)}})
    spans = kind.outputs(Told(), hidden, batch_of(items), items)
    assert max(s.score for s in spans) == 5.0
    # 40 tokens from start to end.
    long = kind.encode([example], TOKENIZER, 300, training=False)
    hidden = told(long, {0: {at: (5.0, 0.0), at + 40: (0.0, 5.0)}})
    assert kind.outputs(Told(), hidden, batch_of(long), long)[0].score == 5.0


def test_no_answer_competes_only_where_the_task_has_it():
    example = row("Ann")
    sure = Span(2.0, 5.0, 8, 11)
    unsure = Span(1.0, 1.5, 0, 3)
    kind, v2 = Extract(task("extract")), Extract(task("extract", unanswerable=True))
    items = kind.encode([example], TOKENIZER, 60, training=False)[:2]
    assert kind.decode([example], items, [sure, unsure]) == ["Ann"]
    # The lowest null score counts: 1.5 of the second window, below the span's 2.
    assert v2.decode([example], items, [sure, unsure]) == ["Ann"]
    assert v2.decode([example], items[:1], [sure]) == [""]
    assert v2.decode([example], items, [unsure, sure]) == ["Ann"]


@pytest.mark.parametrize("make", [letter_tokenizer, mini_tokenizer])
def test_empty_contexts_and_endless_questions(make):
    tokenizer = make()
    kind = Extract(task("extract", stride=128))
    rows = [
        Extracted("1", "who?", "", None),
        Extracted("2", "", "   ", None),
        Extracted("3", "why then? " * 100, STORY * 3, None),
    ]
    items = kind.encode(rows, tokenizer, 50, training=False)
    assert max(map(len, items)) == 50
    # At least half the room is left to the context.
    assert min(len(i.note.offsets) for i in items if i.example == 2 and len(i) == 50) >= 23
    hidden = torch.randn(sum(map(len, items)), 2)
    predictions = run(kind, Told(), hidden, rows, items)
    assert predictions[:2] == ["", ""]
    assert predictions[2] in STORY * 3
    assert all(i.target is None for i in items)


def test_an_answer_that_no_token_covers_points_to_the_start():
    context = "a  \u200b  b"
    example = Extracted("1", "q", context, (Answer("\u200b", 3),))
    assert Extract(task("extract")).encode([example], TOKENIZER, 30, training=True)[0].target == (0, 0)


def test_scores_and_refusals():
    kind = Extract(task("extract", metrics=("f1", "exact_match")))
    assert kind.score([row("the hen")], ["hen"]) == {"f1": 100.0, "exact_match": 100.0}
    either = Extract(task("extract", unanswerable=True))
    assert either.score([row("the hen"), row(None)], ["hen", ""]) == {"f1": 100.0, "exact_match": 100.0}
    with pytest.raises(UserError, match="has no answer"):
        kind.score([row("the hen"), row(None)], ["hen", ""])
    with pytest.raises(UserError, match="no labels"):
        kind.score([Extracted("1", "q", "c", None)], ["c"])
    with pytest.raises(UserError, match="to train"):
        kind.encode([Extracted("1", "q", "c", None)], TOKENIZER, 30, training=True)


def test_baselines():
    rows = [row("the heir of Tartu ran here at 10", "did the heir of Tartu run?"), row(None)]
    assert "no answer" not in Extract(task("extract")).baselines([], {"en": rows[:1]})
    scores = Extract(task("extract", unanswerable=True)).baselines([], {"en": rows})
    assert scores["no answer"]["en"]["exact_match"] == 50.0
    assert 0 < scores["likeliest sentence"]["en"]["f1"] < 50
    empty = [Extracted("1", "", "", ())]
    empty_too = Extract(task("extract", unanswerable=True)).baselines([], {"en": empty})
    assert empty_too["likeliest sentence"]["en"]["f1"] == 100.0
