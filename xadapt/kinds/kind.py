"""What every kind of task answers to.

A kind owns everything between typed examples and scores: encoding, head, loss,
decoding, metric, baselines. It sees hidden states flat, (T, H), with the
sequences' boundaries, and knows nothing of stacks, stores or files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from xadapt.common.errors import UserError
from xadapt.kinds.answers import Answered
from xadapt.kinds.checks import check_task
from xadapt.kinds.metrics import Counts, score_of
from xadapt.tasks.examples import Example
from xadapt.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from xadapt.backbone.packing import Packed

# Name -> language -> metric -> 0..100.
Baselines = Mapping[str, Mapping[str, Mapping[str, float]]]


class Hidden(NamedTuple):
    """What a backbone's first ``depth`` layers make of an item's tokens, computed before.

    Attributes:
        states: (tokens, H), the item's sequences one after the other; float32, or bf16 as its bits in uint16.
    """

    depth: int
    states: np.ndarray


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
        hidden: where it is known: what the layers below all that is mounted make of it.
    """

    example: int
    sequences: tuple[Sequence[int], ...]
    target: Any = None
    note: Any = None
    hidden: Hidden | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        """Tokens in all."""
        return sum(len(s) for s in self.sequences)


TOGETHER = 2048  # examples of a large set that are encoded in one call


class Kind(ABC):
    """Built for one task: ``Classify(task)``. What most kinds do not need has a default here; a class that
    lacks one of the others fails where it is defined.

    In ``loss`` and ``outputs``, ``batch`` holds the items' sequences in order:
    with one sequence an item, sequence i is item i. ``hidden`` are the states of all T tokens, in the row's
    order, or of those alone that ``reads`` names, in its order.

    Attributes:
        serves: the word for it in a task's row; of a class outside this package, the kind whose examples it
            reads.
        metrics: those that it can score; the task names some of them.
        labelled: whether the task's row has to list labels.
        tuned: whether ``decode`` needs what ``fit`` finds on the dev set of the same language.
        separable: whether an example's items depend on no example of another run of ``TOGETHER``, so that
            large sets can be encoded in such parts and kept on disk (``kinds.flat``).
        least: the smallest ``max_length`` that leaves room for text beside the special tokens.
        pooled: whether languages search the same candidates, so that an evaluation encodes them once for all.
        continues: whether a head starts as that of a module of the same kind directly below, since it has no
            labels of its own and means the same for every task.
    """

    serves: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    labelled: ClassVar[bool] = False
    tuned: ClassVar[bool] = False
    separable: ClassVar[bool] = True
    least: ClassVar[int] = 8
    pooled: ClassVar[bool] = False
    continues: ClassVar[bool] = False

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        """Refuse a class that cannot be used, when it is written and not when it is first run.

        Args:
            abstract: it is itself a base of others.
        """
        required = [name for name, value in vars(Kind).items() if hasattr(value, "__isabstractmethod__")]
        lacking = [name for name in required if getattr(cls, name) is getattr(Kind, name)]
        lacking += [name for name in ("serves", "metrics") if not hasattr(cls, name)]
        if lacking and not abstract:
            raise TypeError(f"the kind {cls.__name__} has no {', '.join(lacking)}")

    def __init__(self, task: Task) -> None:
        """
        Raises:
            UserError: the row is of another kind, or its metrics or labels are not what the kind can serve.
        """
        check_task(task, self.serves, self.metrics, labels=self.labelled)
        self.task = task
        self.ids = {label: i for i, label in enumerate(task.labels)}

    @abstractmethod
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

    @abstractmethod
    def head(self, config: PretrainedConfig) -> nn.Module:
        """A fresh head on hidden states of ``config.hidden_size``; float32."""

    def layer(self, config: PretrainedConfig) -> int | None:
        """The layer whose hidden states the kind reads; None for the last."""
        return None

    def draw(self, items: Sequence[Item], *key: object) -> Sequence[Item]:
        """The items as one training step sees them, drawn by a generator named ``key`` and by nothing else:
        masked, where the kind masks."""
        return items

    def reads(self, batch: Packed, items: Sequence[Item]) -> Tensor | None:
        """(R,) the places in the row of T tokens whose states ``loss`` and ``outputs`` take; None for all.
        What nobody reads is not computed in the last layer."""
        return None

    @abstractmethod
    def units(self, items: Sequence[Item]) -> int:
        """How many terms the loss of these items sums: examples, words..."""

    @abstractmethod
    def loss(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
        """(T, H) or (R, H) -> scalar: the SUM of the loss over ``units(items)`` terms."""

    @abstractmethod
    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """(T, H) or (R, H) -> one plain value (numpy or Python, off the device) an item, for ``decode``."""

    def decoding_on(self, device: torch.device) -> Self:
        """The kind whose ``fit`` and ``decode`` may compute on ``device``, the model's: asked for before they
        are called. What they get is not moved. Most compute little and are left as they are."""
        return self

    def fit(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> Kind:
        """The kind with what it finds in dev outputs, such as a threshold, where it is ``tuned``."""
        return self

    @abstractmethod
    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """One prediction an example: a label, an option's index, tags, an answer's text, an index."""

    def answers(
        self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]
    ) -> Sequence[Answered]:
        """``decode`` with what stands beside each prediction: probabilities, offsets.

        Raises:
            UserError: the kind predicts nothing for a single example.
        """
        raise UserError(
            f"{self.task.name!r} is of kind {self.serves!r}, which gives no answer for a single text",
            expected="a task of kind classify, tag, extract or choose",
            do="for sentence vectors, call the predictor's embed",
        )

    @abstractmethod
    def counts(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, Counts]:
        """For each of the task's metrics, what every example adds to the score: a score is a ratio of two
        sums over examples, ``metrics.score_of``. Of a pool, the queries are its examples.

        Args:
            language: for metrics that depend on it (MLQA's).

        Raises:
            UserError: examples without labels: placeholders are refused.
        """

    def score(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, float]:
        """Metric -> 0..100, for the task's metrics. Raises as ``counts``."""
        counts = self.counts(examples, predictions, language=language)
        return {metric: score_of(made) for metric, made in counts.items()}

    @abstractmethod
    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """What needs no model at all, fitted once on English ``train``.

        Args:
            tests: language -> its examples.
        """
