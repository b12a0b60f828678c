"""What compares texts by the encoder's own hidden states and trains nothing: the base of all retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from xadapt.common.errors import UserError
from xadapt.kinds.kind import Item, Kind
from xadapt.kinds.vectors import middle_layer
from xadapt.tasks.task import Task

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig

    from xadapt.backbone.packing import Packed


class Untrained(Kind, abstract=True):
    """No head, no loss. A text is the mean of its tokens' hidden states at a middle layer, special tokens
    included; scores depend on the layer strongly (``vectors.middle_layer``).

    Args:
        task: the row.
        layer: another layer than the usual one.
    """

    serves: ClassVar[str] = "retrieve"

    def __init__(self, task: Task, layer: int | None = None) -> None:
        super().__init__(task)
        self._layer = layer

    def head(self, config: PretrainedConfig) -> nn.Module:
        from torch import nn

        return nn.Identity()

    def layer(self, config: PretrainedConfig) -> int | None:
        return middle_layer(config, self._layer)

    def units(self, items: Sequence[Item]) -> int:
        raise self.untrainable()

    def loss(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
        raise self.untrainable()

    def untrainable(self) -> UserError:
        """What is said where it is to be trained."""
        return UserError(
            f"{self.task.name!r} trains nothing: it compares sentence vectors of the encoder as it is",
            do="name a trained task in the stack, and this one only as what is evaluated",
        )
