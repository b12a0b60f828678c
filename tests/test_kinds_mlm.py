"""Masked language modelling: packing, masks, the loss as HF has it, and a few steps of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kinds_common import batch_of, loss_of, outputs_of, task
from tiny import SHARED, TEXT, save_tiny, tiny_backbone, tiny_config, tiny_tokenizer
from transformers import XLMRobertaForMaskedLM

from xadapt.backbone.attention import pack_attention
from xadapt.backbone.backbone import Backbone
from xadapt.backbone.encoder import encode
from xadapt.common.errors import UserError
from xadapt.common.randomness import seeded
from xadapt.kinds import kind_of, mlm, word_head
from xadapt.kinds.flat import FlatItems, flatten
from xadapt.kinds.mlm import Mlm, hidden_words, most_frequent_token
from xadapt.kinds.word_head import WordHead
from xadapt.mount import Part, mount
from xadapt.stacks.methods import parse_method
from xadapt.tasks.examples import Text
from xadapt.train.loop import ModuleTraining, TaskInputs, trained
from xadapt.train.settings import Settings

TASK = task("mlm")
TOKENIZER = tiny_tokenizer()
ROWS = [Text(str(i), text) for i, text in enumerate([*TEXT, "", *TEXT])]


def items(max_length: int = 24, *, training: bool = True, rows: list[Text] = ROWS):
    return Mlm(TASK).encode(rows, TOKENIZER, max_length, training=training)


@pytest.mark.parametrize("max_length", [8, 11, 24, 100])
def test_texts_are_packed_whole_and_nothing_is_lost(max_length):
    found: dict[int, list[int]] = {}
    encoded = items(max_length)
    for k, item in enumerate(encoded):
        (sequence,) = item.sequences
        assert len(sequence) <= max_length
        assert (sequence[0], sequence[-1], item.note.number) == (0, 2, k)
        for token, owner in zip(sequence, item.note.owner, strict=True):
            if owner >= 0:
                found.setdefault(item.example + int(owner), []).append(token)
            else:
                assert token in (0, 2)
    plain = {
        i: TOKENIZER(r.text, add_special_tokens=False)["input_ids"] for i, r in enumerate(ROWS) if r.text
    }
    assert found == plain
    # Full but for the last, and for a place too small for a separator and a token.
    assert all(len(item) >= max_length - 1 for item in encoded[:-1])


def test_a_large_set_can_be_encoded_in_parts_and_kept(monkeypatch):
    """The same items, and the same masks, whether all are encoded in one call or each part in its own."""
    monkeypatch.setattr(mlm, "TOGETHER", 4)
    kind = Mlm(TASK)
    assert kind.separable
    for training in (True, False):
        whole = items(training=training)
        parts = [
            item
            for first in range(0, len(ROWS), 4)
            for item in FlatItems(flatten(items(rows=ROWS[first : first + 4], training=training), first))
        ]
        if training:
            whole, parts = kind.draw(whole, 7), kind.draw(parts, 7)
        for a, b in zip(whole, parts, strict=True):
            assert (a.example, list(a.sequences[0])) == (b.example, list(b.sequences[0]))
            assert all((x == y).all() for x, y in zip(a.target, b.target, strict=True))
        right = [kind.decode(ROWS, found, [item.target[1] for item in found]) for found in (whole, parts)]
        assert right[0] == right[1]


def test_masks_depend_on_the_key_and_the_item_alone():
    encoded = items()
    one = Mlm(TASK).draw(encoded, 7, "draw", 3)
    other = Mlm(TASK).draw(encoded[::-1], 7, "draw", 3)[::-1]
    assert [list(a.sequences[0]) for a in one] == [list(b.sequences[0]) for b in other]
    assert [list(a.sequences[0]) for a in one] != [
        list(b.sequences[0]) for b in Mlm(TASK).draw(encoded, 7, "draw", 4)
    ]
    fixed = [[list(i.sequences[0]) for i in items(training=False)] for _ in range(2)]
    assert fixed[0] == fixed[1]
    assert encoded[0].target is None  # what was encoded stays as it was


def test_fifteen_percent_eighty_ten_ten():
    (item,) = items(5000, rows=[Text("1", " ".join(TEXT * 60))])
    (plain,) = item.sequences
    hidden = kept = masked = total = 0
    for k in range(20):
        drawn = hidden_words(item, k)
        at, truth = drawn.target
        now = np.array(drawn.sequences[0])
        untouched = np.setdiff1d(np.arange(len(plain)), at)
        assert (now[untouched] == np.array(plain)[untouched]).all()
        assert (np.array(plain)[at] == truth).all()
        assert 0 not in at
        assert len(plain) - 1 not in at
        hidden, total = hidden + len(at), total + len(plain)
        masked += int((now[at] == TOKENIZER.mask_token_id).sum())
        kept += int((now[at] == truth).sum())
    assert hidden / total == pytest.approx(0.15, abs=0.01)
    assert masked / hidden == pytest.approx(0.8, abs=0.02)
    assert kept / hidden == pytest.approx(0.1, abs=0.02)
    (short,) = items(24, rows=[Text("1", "a")])
    assert all(len(hidden_words(short, k).target[0]) >= 1 for k in range(20))


@pytest.mark.parametrize("held", [2**25, 3 * 300])
def test_the_loss_and_the_answers_are_hfs(held, monkeypatch):
    monkeypatch.setattr(word_head, "LOGITS", held)
    model = XLMRobertaForMaskedLM(tiny_config()).eval()
    encoded = items(training=False)
    labels, width = [], max(map(len, encoded))
    for item in encoded:
        row = np.full(width, -100)
        row[item.target[0]] = item.target[1]
        labels.append(row)
    ids = torch.tensor([[*i.sequences[0], *[1] * (width - len(i))] for i in encoded])
    theirs = model(ids, attention_mask=(ids != 1).long(), labels=torch.tensor(np.array(labels)))
    kind = kind_of(TASK)
    head = kind.head(model.config)
    with pytest.raises(ValueError, match="no word embeddings"):
        head.logits(torch.zeros(1, 32))
    start = {k: p for k, p in model.lm_head.named_parameters() if not k.startswith("decoder.")}
    head.tie(model.roberta.embeddings.word_embeddings.weight, start)
    batch = batch_of(encoded)
    hidden = encode(pack_attention(model.roberta), batch)
    mine = loss_of(kind, head, hidden, batch, encoded) / kind.units(encoded)
    torch.testing.assert_close(mine, theirs.loss, atol=1e-5, rtol=1e-5)
    mine.backward()
    assert all(p.grad is not None for p in head.parameters())
    out = outputs_of(kind, head, hidden, batch, encoded)
    best = theirs.logits.argmax(-1).numpy()
    hits = sum(int((best[k][i.target[0]] == i.target[1]).sum()) for k, i in enumerate(encoded))
    decided = kind.decode(ROWS, encoded, out)
    assert sum(right for _, right in decided) == hits
    assert decided[5] == (0, 0)  # the empty text
    assert kind.score(ROWS, decided)["accuracy"] == pytest.approx(100 * hits / kind.units(encoded))


def test_scores_and_refusals():
    assert Mlm(TASK).score(ROWS[:2], [(4, 1), (0, 0)]) == {"accuracy": 25.0}
    with pytest.raises(UserError, match="no text to score"):
        Mlm(TASK).score(ROWS[:1], [(0, 0)])
    assert Mlm(TASK).baselines(ROWS, {"en": ROWS}) == {}
    seen = items(rows=[Text("1", "eats eats the")])
    (token,) = TOKENIZER("eats", add_special_tokens=False)["input_ids"][:1]
    test = [hidden_words(seen[0], k) for k in range(30)]
    share = float((np.concatenate([i.target[1] for i in test]) == token).mean())
    assert most_frequent_token(seen, test) == pytest.approx(100 * share)


def test_a_head_starts_as_the_checkpoints_own_where_it_has_one(tmp_path):
    whole = XLMRobertaForMaskedLM(tiny_config())
    whole.save_pretrained(tmp_path / "with")
    TOKENIZER.save_pretrained(tmp_path / "with")
    start = Backbone.from_pretrained(str(tmp_path / "with")).lm_head()
    head = WordHead(tiny_config())
    head.tie(torch.zeros(300, 32), start)
    torch.testing.assert_close(head.dense.weight, whole.lm_head.dense.weight)
    assert set(start) == set(dict(head.named_parameters()))
    bare = Backbone.from_pretrained(str(save_tiny(tmp_path / "without")))
    assert bare.lm_head() is None
    assert bare.lm_head_digest() is None
    assert tiny_backbone().lm_head() is None


def test_training_learns_words_and_a_cut_changes_no_bit(tmp_path):
    backbone = tiny_backbone()
    kind, settings = kind_of(TASK), Settings(lr=5e-3, epochs=8, batch_size=4, max_length=24, looks=2)
    encoded = items(rows=ROWS * 3)

    def run(die_at: int | None = None):
        mounted = mount(backbone, [Part("mlm", parse_method("lora(r=4)"), None)], seed=("mlm",))
        with seeded("head"):
            head = kind.head(backbone.config)
        head.tie(mounted.model.embeddings.word_embeddings.weight, backbone.lm_head())

        def tick(step, total, facts):
            if step == die_at:
                raise KeyboardInterrupt

        return trained(
            ModuleTraining(
                mounted,
                [TaskInputs(TASK.name, kind, head, encoded, (ROWS, items(training=False)), "accuracy")],
                settings,
                seed=0,
                checkpoint=tmp_path / "checkpoint"
                if die_at is not None or (tmp_path / "checkpoint").exists()
                else None,
                checkpoint_seconds=0.0,
                tick=tick,
            )
        )

    whole = run()
    assert whole.progress.best > most_frequent_token(encoded, items(training=False))
    with pytest.raises(KeyboardInterrupt):
        run(die_at=5)
    rest = run()
    assert 0 < rest.resumed_at <= 5
    assert all(torch.equal(rest.weights[k], whole.weights[k]) for k in whole.weights)
    assert all(torch.equal(rest.head[k], whole.head[k]) for k in whole.head)
    assert set(whole.head) == {"dense.weight", "dense.bias", "layer_norm.weight", "layer_norm.bias", "bias"}


def test_a_real_checkpoint_knows_words_before_any_training():
    folder = SHARED / "mini-xlmr"
    if not folder.is_dir():
        pytest.skip("no real checkpoint: shared/mini-xlmr is not beside the repository")
    backbone = Backbone.from_pretrained(str(folder))
    rows = [
        Text("1", "Paris is the capital and the largest city of France."),
        Text("2", "He was born in the city of London in 1950 and died there."),
    ]
    kind = kind_of(TASK)
    encoded = kind.encode(rows * 8, backbone.tokenizer, 32, training=False)
    head = kind.head(backbone.config)
    head.tie(backbone.model.embeddings.word_embeddings.weight, backbone.lm_head())
    with torch.no_grad():
        hidden = encode(backbone.model, batch_of(encoded))
        out = outputs_of(kind, head, hidden, batch_of(encoded), encoded)
    score = kind.score(rows * 8, kind.decode(rows * 8, encoded, out))["accuracy"]
    assert score > most_frequent_token(encoded, encoded)
