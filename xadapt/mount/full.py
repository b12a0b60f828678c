"""Full fine-tuning: the paper's own method, and what everything else is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers import XLMRobertaModel

from xadapt.mount.weights import fill


def attach(
    model: XLMRobertaModel, label: str, weights: Mapping[str, Tensor] | None
) -> tuple[dict[str, nn.Parameter], dict[str, Any]]:
    """All weights of ``model``, a copy of its own; filled from ``weights`` if given."""
    parameters = dict(model.named_parameters())
    if weights is not None:
        fill(parameters, weights, label)
    return parameters, model.config.to_dict()
