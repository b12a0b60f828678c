from __future__ import annotations

import pytest
import torch
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
from transformers import XLMRobertaForSequenceClassification

from xadapt.common.errors import UserError
from xadapt.kinds import KINDS, kind_of
from xadapt.kinds.classify import Classify, overlap_features
from xadapt.kinds.encoding import chunks
from xadapt.kinds.words import words
from xadapt.tasks.examples import Classified

PAIRS = [
    Classified("1", "the hen is in the tent", "a hen", "yes"),
    Classified("2", "rain", "it rains here today, then it ends", "no"),
    Classified("3", "", "nothing", "perhaps"),
    Classified("4", "ten hens " * 30, "eat " * 40, "yes"),
]


@pytest.mark.parametrize("make", [letter_tokenizer, mini_tokenizer])
def test_sequences_are_the_tokenizers_own(make):
    tokenizer = make()
    items = Classify(task("classify")).encode(PAIRS, tokenizer, 32, training=True)
    for item, row in zip(items, PAIRS, strict=True):
        want = tokenizer(row.text, row.pair, truncation="longest_first", max_length=32)["input_ids"]
        assert list(item.sequences[0]) == want
        assert len(item) <= 32
    assert [i.target for i in items] == [0, 2, 1, 0]


def test_texts_without_a_pair_and_with_one_can_be_mixed():
    tokenizer = letter_tokenizer()
    rows = [Classified("1", "a hen", None, None), PAIRS[0]]
    items = Classify(task("classify")).encode(rows, tokenizer, 32, training=False)
    assert list(items[0].sequences[0]) == tokenizer("a hen")["input_ids"]
    assert list(items[1].sequences[0]) == tokenizer(PAIRS[0].text, PAIRS[0].pair)["input_ids"]
    assert items[0].target is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_hf(dtype):
    model = XLMRobertaForSequenceClassification(config(num_labels=3)).eval()
    kind = Classify(task("classify"))
    items = kind.encode(PAIRS, letter_tokenizer(), 40, training=True)
    head = kind.head(model.config).eval()
    head.load_state_dict(model.classifier.state_dict())  # strict: it fits by name
    batch = batch_of(items)
    hidden = packed_states(model.roberta, batch).to(dtype)
    want = model(**padded(items), labels=torch.tensor([i.target for i in items]))
    loss = loss_of(kind, head, hidden, batch, items) / kind.units(items)
    near = 1e-5 if dtype == torch.float32 else 0.05
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, want.loss, atol=near, rtol=near)
    logits = torch.tensor(outputs_of(kind, head, hidden, batch, items)[1])
    torch.testing.assert_close(logits, want.logits[1].detach(), atol=near, rtol=near)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())
    best = [kind.task.labels[k] for k in want.logits.argmax(1)]
    if dtype == torch.float32:
        assert run(kind, head, hidden, PAIRS, items) == best


def test_head_stays_in_float32_under_autocast():
    kind, head = Classify(task("classify")), Classify(task("classify")).head(config())
    items = kind.encode(PAIRS, letter_tokenizer(), 40, training=True)
    hidden = torch.randn(sum(map(len, items)), 24)
    plain = loss_of(kind, head.eval(), hidden, batch_of(items), items)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss_of(kind, head, hidden, batch_of(items), items), plain)


def test_heads_start_as_hfs_do():
    head = Classify(task("classify")).head(config(hidden_size=64))
    assert head.out_proj.bias.abs().max() == 0
    assert abs(head.dense.weight.std().item() - 0.2) < 0.02


def test_score_refuses_placeholders_unknown_labels_and_nothing():
    kind = Classify(task("classify"))
    assert kind.score(PAIRS, ["yes", "no", "no", "yes"]) == {"accuracy": 75.0}
    hidden = [*PAIRS, Classified("5", "a", "b", None)]
    with pytest.raises(UserError, match="1 of 5 examples have no labels"):
        kind.score(hidden, ["yes"] * 5)
    with pytest.raises(UserError, match="unknown label 'ja'"):
        kind.score([Classified("1", "a", "b", "ja")], ["yes"])
    with pytest.raises(UserError, match="no examples"):
        kind.score([], [])
    with pytest.raises(UserError, match="to train"):
        kind.encode(hidden, letter_tokenizer(), 32, training=True)
    with pytest.raises(UserError, match="did you mean 'perhaps'"):
        kind.encode([Classified("1", "a", "b", "perhap")], letter_tokenizer(), 32, training=True)
    with pytest.raises(UserError, match="max_length 4"):
        kind.encode(PAIRS, letter_tokenizer(), 4, training=True)


def test_f1_is_that_of_the_second_label():
    kind = Classify(task("classify", labels=("no", "yes"), metrics=("accuracy", "f1")))
    rows = [Classified(str(i), "a", "b", g) for i, g in enumerate(["yes", "yes", "no", "no", "no"])]
    # 1 true positive, 1 false positive, 1 false negative
    assert kind.score(rows, ["yes", "no", "yes", "no", "no"]) == {"accuracy": 60.0, "f1": 50.0}


def test_baselines_find_what_the_data_gives_away():
    overlap = [
        Classified(str(i), "a b c d", "a b" if i % 2 else "x y", "yes" if i % 2 else "no") for i in range(40)
    ]
    scores = Classify(task("classify")).baselines(overlap, {"en": overlap[:20]})
    assert scores["majority class"]["en"]["accuracy"] == 50.0
    assert scores["overlap only"]["en"]["accuracy"] == 100.0
    artefact = [
        Classified(str(i), "a b", "not x" if i % 3 else "so x", "no" if i % 3 else "yes") for i in range(40)
    ]
    assert (
        Classify(task("classify")).baselines(artefact, {"en": artefact})["second text only"]["en"]["accuracy"]
        == 100.0
    )
    single = [Classified("1", "a", None, "no"), Classified("2", "b", None, "yes")]
    assert set(Classify(task("classify")).baselines(single, {"en": single})) == {"majority class"}
    assert Classify(task("classify")).baselines([], {"en": single}) == {}


def test_words_in_any_script():
    assert words("It rains, Joe's!") == ["it", "rains", "joe", "s"]
    assert words("你好 abc中") == ["你", "好", "abc", "中"]
    assert words("नमस्ते दुनिया।") == ["नमस्ते", "दुनिया"]
    assert len(words("สวัสดี")) == 6
    row = overlap_features([Classified("1", "a b c d", "A b", None), Classified("2", "", "", None)])
    assert row.tolist() == [[0.5, 1.0, 0.5, 0.5], [0, 0, 0, 0]]


def test_kind_of_builds_what_the_row_says():
    for name in KINDS:
        assert kind_of(task(name)).__class__.__name__.lower() == name
    with pytest.raises(UserError, match="unknown kind 'clasify'; did you mean 'classify'"):
        kind_of(task("classify", name="odd", kind="clasify"))
    with pytest.raises(UserError, match="metrics that 'classify' does not have: bleu"):
        kind_of(task("classify", metrics=("bleu",)))
    with pytest.raises(UserError, match="no labels"):
        kind_of(task("tag", labels=()))


def test_chunks_cover_everything_once():
    assert [list(c) for c in chunks(5, 2)] == [[0, 1], [2, 3], [4]]
    assert list(chunks(0)) == []
