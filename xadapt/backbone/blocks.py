"""The parts of a layer around its linears, in fewer passes over the memory than HF's: with its parameters and
its outputs, to rounding.

    gelu(x W' + b)                                       ``Intermediate``
    LN(x W' + b + r),  r the block's residual            ``Output``
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import XLMRobertaModel
from transformers.activations import GELUActivation

from xadapt.backbone.dropout import Dropout
from xadapt.backbone.linear import Linear


class Intermediate(nn.Module):
    """In the place of a layer's ``intermediate``."""

    def __init__(self, intermediate: Any) -> None:
        super().__init__()
        self.dense = intermediate.dense

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., H) -> (..., I)"""
        if isinstance(self.dense, Linear):
            return self.dense(hidden_states, gelu=True)
        return F.gelu(self.dense(hidden_states))


class Output(nn.Module):
    """In the place of a block's ``output``, of HF's class or another that has its parts.

    Attributes:
        steps: what comes behind the linear, lowest first: each takes LN of the sum so far, and adds to it.
    """

    def __init__(self, output: Any, steps: nn.ModuleDict) -> None:
        super().__init__()
        self.dense, self.LayerNorm = output.dense, output.LayerNorm
        self.dropout = Dropout(output.dropout.p)
        self.steps = steps

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """(..., I) and the residual (..., H) -> (..., H)"""
        summed = added(self.dropout(self.dense(hidden_states)), input_tensor)
        for step in self.steps.values():
            summed = added(step(self.LayerNorm(summed)), summed)
        out: Tensor = self.LayerNorm(summed)
        return out


def added(new: Tensor, to: Tensor) -> Tensor:
    """Their sum, in the place of the first, which nobody reads again: unless autocast made it of a narrower
    type."""
    return new.add_(to) if new.dtype == to.dtype else new + to


def replace_blocks(model: XLMRobertaModel, steps: Callable[[Any], nn.ModuleDict] | None = None) -> None:
    """Put these classes into a model's layers, in place. XLM-R XL's outputs, which have no norm, stay.

    Args:
        steps: the steps of an output that is replaced; none by default.
    """
    layers: Any = model.encoder.layer
    for layer in layers:
        if isinstance(layer.intermediate.intermediate_act_fn, GELUActivation):
            layer.intermediate = Intermediate(layer.intermediate).train(layer.intermediate.training)
        for holder in (layer.attention, layer):
            output = holder.output
            if hasattr(output, "LayerNorm"):
                own = nn.ModuleDict() if steps is None else steps(output)
                holder.output = Output(output, own).train(output.training)
