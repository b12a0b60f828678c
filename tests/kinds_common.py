"""Tiny models and tokenizers for the tests of the kinds: built on the spot, nothing downloaded."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast, XLMRobertaConfig

from xadapt.backbone.attention import pack_attention
from xadapt.backbone.encoder import encode
from xadapt.backbone.packing import Packed, pack
from xadapt.kinds.kind import Item, Kind
from xadapt.tasks.task import KindName, Task

MINI = Path(__file__).parents[2] / "shared" / "minilm-xlmr"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!'-éßñ中文字"


def letter_tokenizer() -> PreTrainedTokenizerFast:
    """Shaped like XLM-R's: ids 0..3, Metaspace words, the pair template; a piece is a letter or two.
    Zero-width spaces vanish, as they do in XLM-R's normaliser."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS]
    pieces += [a + b for a in "thein" for b in "thearn"] + ["▁" + c for c in LETTERS]
    vocabulary = {p: i for i, p in enumerate(dict.fromkeys(pieces))}
    merges = [(p[0], p[1]) for p in vocabulary if len(p) == 2]
    inner = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    inner.normalizer = normalizers.Replace(Regex("\u200b"), "")
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
    )


def mini_tokenizer() -> PreTrainedTokenizerFast:
    if not (MINI / "tokenizer.json").is_file():
        pytest.skip(f"no real tokenizer: {MINI.name} is not beside the repository")
    return AutoTokenizer.from_pretrained(MINI)


def config(vocabulary: int = 24000, **changes: Any) -> XLMRobertaConfig:
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return XLMRobertaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=514,
        pad_token_id=1,
        type_vocab_size=1,
        # Larger than usual, so that logits differ visibly.
        initializer_range=0.2,
        **(shape | changes),
    )


def task(of: KindName, **changes: Any) -> Task:
    """A row of that kind."""
    rows: dict[str, dict[str, Any]] = {
        "classify": {"metrics": ("accuracy",), "labels": ("yes", "perhaps", "no")},
        "choose": {"metrics": ("accuracy",)},
        "tag": {"metrics": ("f1", "accuracy"), "labels": ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")},
        "extract": {"metrics": ("f1", "exact_match"), "stride": 8},
        "retrieve": {"metrics": ("accuracy",)},
        "mlm": {"metrics": ("accuracy",)},
    }
    basics = {"role": "target", "summary": "", "languages": ("en",), "train": None}
    return Task(**({"name": f"some_{of}", "kind": of} | basics | rows[of] | changes))


def batch_of(items: Sequence[Item]) -> Packed:
    return pack([s for item in items for s in item.sequences])


def packed_states(encoder: nn.Module, batch: Packed) -> Tensor:
    """(T, H) of an HF encoder, packed; the encoder itself stays as it is."""
    return encode(pack_attention(copy.deepcopy(encoder)).train(encoder.training), batch)


def padded(items: Sequence[Item]) -> dict[str, Tensor]:
    """All sequences as HF takes them."""
    rows = [list(s) for item in items for s in item.sequences]
    width = max(map(len, rows))
    ids = torch.tensor([r + [1] * (width - len(r)) for r in rows])
    return {"input_ids": ids, "attention_mask": (ids != 1).long()}


def run(
    kind: Kind, head: nn.Module, hidden: Tensor, examples: Sequence[Any], items: Sequence[Item]
) -> list[Any]:
    """From hidden states to predictions."""
    batch = batch_of(items)
    return kind.decode(examples, items, outputs_of(kind, head, hidden, batch, items))


def loss_of(kind: Kind, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
    """``kind.loss`` of hidden states (T, H)."""
    return kind.loss(head, read(kind, hidden, batch, items), batch, items)


def outputs_of(
    kind: Kind, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]
) -> list[Any]:
    """``kind.outputs`` of hidden states (T, H)."""
    return kind.outputs(head, read(kind, hidden, batch, items), batch, items)


def read(kind: Kind, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
    """Of hidden states (T, H) those that the kind reads."""
    rows = kind.reads(batch, items)
    return hidden if rows is None else hidden[rows]
