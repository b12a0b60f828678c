"""What every kind of task answers to.

A kind owns everything between typed examples and scores: encoding, head, loss,
decoding, metric, baselines. It sees hidden states flat, (T, H), with the
sequences' boundaries, and knows nothing of stacks, stores or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from xadapt.backbone.packing import Packed
from xadapt.tasks.examples import Example

# Name -> language -> metric -> 0..100.
Baselines = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Item:
    """An example, or a window or chunk of one, as token ids: what batches are made of.

    Attributes:
        example: the index of its example in the list that was encoded.
        sequences: token ids, special tokens included; more than one where the kind
            compares several (the options of a choice, the two sides of a pair).
            They always share a batch.
        target: what the loss needs, in the kind's own form; None without labels.
        note: what decoding needs, in the kind's own form.
    """

    example: int
    sequences: tuple[Sequence[int], ...]
    target: Any = None
    note: Any = None

    def __len__(self) -> int:
        """Tokens in all."""
        return sum(len(s) for s in self.sequences)


TOGETHER = 2048  # examples of a large set that are encoded in one call


class Kind(Protocol):
    """Built for one task: ``Classify(task)``. What most kinds do not need has a default here.

    In ``loss`` and ``outputs``, ``batch`` holds the items' sequences in order:
    with one sequence an item, sequence i is item i.

    Attributes:
        tuned: whether ``decode`` needs what ``fit`` finds on the dev set of the same language.
        separable: whether an example's items depend on no example of another run of ``TOGETHER``, so that
            large sets can be encoded in such parts and kept on disk (``kinds.flat``).
        least: the smallest ``max_length`` that leaves room for text beside the special tokens.
        pooled: whether languages search the same candidates, so that an evaluation encodes them once for all.
        continues: whether a head starts as that of a module of the same kind directly below
            (``Shelf.first_head``): where it has no labels of its own, and means the same for every task.
    """

    tuned: ClassVar[bool] = False
    separable: ClassVar[bool] = True
    least: ClassVar[int] = 8
    pooled: ClassVar[bool] = False
    continues: ClassVar[bool] = False

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        training: bool,
    ) -> list[Item]:
        """Token ids and targets. Nothing is lost: what is longer than ``max_length`` is cut
        into several items where the kind can rejoin them."""
        ...

    def head(self, config: PretrainedConfig) -> nn.Module:
        """A fresh head on hidden states of ``config.hidden_size``; float32."""
        ...

    def layer(self, config: PretrainedConfig) -> int | None:
        """The layer whose hidden states the kind reads; None for the last."""
        ...

    def draw(self, items: Sequence[Item], *key: object) -> Sequence[Item]:
        """The items as one training step sees them, drawn by a generator named ``key`` and by nothing else:
        masked, where the kind masks."""
        return items

    def units(self, items: Sequence[Item]) -> int:
        """How many terms the loss of these items sums: examples, words..."""
        ...

    def loss(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
        """(T, H) -> scalar: the SUM of the loss over ``units(items)`` terms."""
        ...

    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """(T, H) -> one plain value (numpy or Python, off the device) an item, for ``decode``."""
        ...

    def fit(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> Kind:
        """The kind with what it finds in dev outputs, such as a threshold, where it is ``tuned``."""
        return self

    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """One prediction an example: a label, an option's index, tags, an answer's text, an index."""
        ...

    def score(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, float]:
        """Metric -> 0..100, for the task's metrics; ``language`` for metrics that depend on it (MLQA's).

        Raises:
            UserError: examples without labels: placeholders are refused.
        """
        ...

    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """What needs no model at all, fitted once on English ``train``.

        Args:
            tests: language -> its examples.
        """
        ...
