"""Token ids from text, many texts a call, kept small."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerFast

# Texts a tokenizer call. The tokenizer keeps some 100 bytes a token until a call's result is dropped, and
# of a pair that is cut all the ways to go on: 4096 of LAReQA's, cut to 64 tokens, held 4 GB.
CHUNK = 256


def chunks(n: int, size: int = CHUNK) -> Iterator[range]:
    """0..n-1 in runs of at most ``size``."""
    for first in range(0, n, size):
        yield range(first, min(first + size, n))


def compact(ids: Sequence[int] | np.ndarray) -> array:
    """Token ids at 4 bytes each: a list of ints takes up to 36, and a million examples are held at once."""
    if isinstance(ids, np.ndarray):
        return array("i", ids.astype(np.int32).tobytes())
    return array("i", ids)


def tokenized(tokenizer: PreTrainedTokenizerFast, texts: Sequence[Any], **options: Any) -> BatchEncoding:
    """One call of the tokenizer, without what no kind reads: special tokens, unless ``options`` ask for them,
    masks, types, and warnings of long texts."""
    return tokenizer(
        texts,
        **{"add_special_tokens": False, **options},
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )


def sequences(
    tokenizer: PreTrainedTokenizerFast, inputs: Sequence[str | tuple[str, str]], max_length: int
) -> list[array]:
    """``<s> A </s>`` for a text and ``<s> A </s></s> B </s>`` for a pair, each of at most ``max_length``
    tokens: a pair loses the last tokens of whichever side is longer."""
    out: list[array] = []
    for part in chunks(len(inputs)):
        encoded = tokenized(
            tokenizer,
            [inputs[i] for i in part],
            add_special_tokens=True,
            truncation="longest_first",
            max_length=max_length,
        )
        out.extend(compact(ids) for ids in encoded["input_ids"])
    return out


def pieces(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Each distinct text's token ids, no special tokens, not cut."""
    distinct = list(dict.fromkeys(texts))
    out: dict[str, np.ndarray] = {}
    for part in chunks(len(distinct)):
        encoded = tokenized(tokenizer, [distinct[i] for i in part])
        for i, ids in zip(part, encoded["input_ids"], strict=True):
            out[distinct[i]] = np.asarray(ids, dtype=np.int32)
    return out
