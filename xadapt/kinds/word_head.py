"""The head that names words: of masked language modelling."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PretrainedConfig

LOGITS = 2**25  # held at once: 134 tokens of XLM-R's vocabulary


class WordHead(nn.Module):
    """(M, H) -> (M, H) ready to be compared with the word embeddings: dense, gelu, norm, with a bias a word;
    named as the ``lm_head`` of HF's ``XLMRobertaForMaskedLM``. The output embeddings are the encoder's own:
    ``tie`` hands them over, and they are neither trained nor stored here. What an invertible adapter makes of
    the input embeddings is undone behind the norm (Pfeiffer et al. 2020, arXiv 2005.00052, section 3.2.3)."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.words: tuple[Tensor, ...] = ()  # in tuples: no parameters of this head
        self.inverse: tuple[nn.Module, ...] = ()

    def tie(
        self, words: Tensor, start: Mapping[str, Tensor] | None, inverse: nn.Module | None = None
    ) -> None:
        """Take the word embeddings, (V, H), and what is on them; start as the checkpoint's own head, if there
        is one."""
        self.words = (words,)
        self.inverse = () if inverse is None else (inverse,)
        if start is not None:
            self.load_state_dict(dict(start), strict=True)

    def forward(self, states: Tensor) -> Tensor:
        ready = self.layer_norm(F.gelu(self.dense(states)))
        for inverse in self.inverse:
            ready = inverse(ready.unsqueeze(0), rev=True).squeeze(0)
        return ready

    def logits(self, ready: Tensor) -> Tensor:
        """(M, H) as ``forward`` gives it -> (M, V), float32; the product in the embeddings' own dtype."""
        if not self.words:
            raise ValueError("the head has no word embeddings: tie it to an encoder first")
        (words,) = self.words
        return F.linear(ready.to(words.dtype), words).float() + self.bias

    def loss(self, ready: Tensor, target: Tensor) -> Tensor:
        """Cross entropy, summed."""
        return F.cross_entropy(self.logits(ready), target, reduction="sum")

    def rows(self) -> int:
        """Tokens whose logits are held at once."""
        return max(1, LOGITS // len(self.bias))


def word_head(head: nn.Module) -> WordHead:
    """The same, known to be of that class."""
    if not isinstance(head, WordHead):
        raise TypeError(f"got a head of class {type(head).__name__}, expected WordHead")
    return head
