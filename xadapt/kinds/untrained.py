"""What compares texts by the encoder's own hidden states and trains nothing: the base of all retrieval."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from xadapt.common.errors import UserError
from xadapt.kinds.kind import Item, Kind
from xadapt.kinds.vectors import middle_layer
from xadapt.tasks.task import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PretrainedConfig

    from xadapt.backbone.packing import Packed


class Untrained(Kind, abstract=True):
    """No head, no loss. A text is the mean of its tokens' hidden states at a middle layer, special tokens
    included; scores depend on the layer strongly (``vectors.middle_layer``).

    Args:
        task: the row.
        layer: another layer than the usual one.

    Attributes:
        device: where vectors are compared; the CPU until ``decoding_on`` says another.
    """

    serves: ClassVar[str] = "retrieve"
    device: torch.device | str = "cpu"

    def __init__(self, task: Task, layer: int | None = None) -> None:
        super().__init__(task)
        self._layer = layer

    def head(self, config: PretrainedConfig) -> nn.Module:
        from torch import nn

        return nn.Identity()

    def layer(self, config: PretrainedConfig) -> int | None:
        return middle_layer(config, self._layer)

    def decoding_on(self, device: torch.device) -> Self:
        placed = copy.copy(self)
        # Other devices than CUDA's do not offer all that an exact search needs.
        placed.device = device if device.type == "cuda" else "cpu"
        return placed

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
