"""Heads as HF's XLM-R classes have them, so that a trained head fits an ``AutoModelFor...`` by name,
and what every head needs to read packed hidden states."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaClassificationHead

from xadapt.backbone.packing import Packed


def sequence_head(config: PretrainedConfig, outputs: int) -> nn.Module:
    """HF's own head on ``<s>``: dropout, dense, tanh, dropout, ``out_proj``; (N, L, H) -> (N, outputs)."""
    config = copy.deepcopy(config)
    config.num_labels = outputs
    return as_hf(XLMRobertaClassificationHead(config), config)


class TokenHead(nn.Module):
    """(M, H) -> (M, labels); parameters and dropout as in ``XLMRobertaForTokenClassification``."""

    def __init__(self, config: PretrainedConfig, labels: int) -> None:
        super().__init__()
        own = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if own is None else own)
        self.classifier = nn.Linear(config.hidden_size, labels)

    def forward(self, states: Tensor) -> Tensor:
        return self.classifier(self.dropout(states))


class SpanHead(nn.Module):
    """(T, H) -> (T, 2), start and end; parameters as in ``XLMRobertaForQuestionAnswering``."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.qa_outputs = nn.Linear(config.hidden_size, 2)

    def forward(self, states: Tensor) -> Tensor:
        return self.qa_outputs(states)


def as_hf(head: nn.Module, config: PretrainedConfig) -> nn.Module:
    """Start as HF's heads do: weights from N(0, ``initializer_range``), biases 0; float32. Draws from
    torch's global generator, as ``nn.init`` must: call it under ``randomness.seeded``."""
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=config.initializer_range)
            nn.init.zeros_(module.bias)
    return head.float()


class DualHead(nn.Module):
    """(N, H) states of ``<s>`` -> (N, H) rows of length 1: dense and tanh, as XLM-R's pooler, then the norm;
    and the scale of their cosines in the loss, which starts at 100: XTREME-R's dual encoder."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.logit_scale = nn.Parameter(torch.tensor(100.0))

    def forward(self, states: Tensor) -> Tensor:
        return F.normalize(torch.tanh(self.dense(states)), dim=-1)


def in_float32(head: nn.Module, states: Tensor) -> Tensor:
    """The head on states of any dtype, in float32 also where the encoder runs in bf16 or under autocast:
    a head is a thousandth of the work, and a loss over 2 to 50 logits deserves its digits."""
    with torch.autocast(states.device.type, enabled=False):
        return head(states.float())


def first_token_logits(head: nn.Module, hidden: Tensor) -> Tensor:
    """(N, H) -> (N, outputs): a sequence head on the state of each sequence's ``<s>``."""
    return in_float32(head, hidden.unsqueeze(1))


def tokens_at(batch: Packed, places: Sequence[np.ndarray]) -> Tensor:
    """(R,) rows of tokens: of each sequence those at its ``places``, counted within the sequence."""
    counts = torch.tensor([len(each) for each in places], device=batch.starts.device)
    at = torch.from_numpy(np.concatenate(places)).to(batch.starts.device)
    return torch.repeat_interleave(batch.starts, counts) + at


def per_sequence(batch: Packed, values: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """(T, K) -> (N, K): ``reduce`` maps the (count, length, K) view of each group of equally long sequences
    to (count, K). No padding, and no atomic additions, whose order would vary from run to run on a GPU."""
    # Split once: each slice for itself would make a zero gradient of all of ``values`` in backward.
    parts = values.split([count * length for _, count, length in batch.groups])
    rows = [
        reduce(part.view(count, length, -1))
        for part, (_, count, length) in zip(parts, batch.groups, strict=True)
    ]
    # Groups lie in the row one after another: the k-th reduced row is the k-th sequence of the row.
    place = torch.argsort(torch.argsort(batch.starts))
    return torch.cat(rows)[place]
