"""Stored weights into a module's parameters, strictly; all of a model's, for full fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import XLMRobertaModel

from xadapt.common.errors import UserError
from xadapt.stacks.methods import Full, Method
from xadapt.store.integrity import WeightsFile


def weights_file_of(method: Method) -> WeightsFile:
    """What a module of ``method`` calls its weights: as HF does a model's, and peft an adapter's."""
    return "model.safetensors" if isinstance(method, Full) else "adapter_model.safetensors"


def fill(parameters: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor], label: str) -> None:
    """Copy ``weights`` into ``parameters`` in place: all of them or, on an error, none.

    Raises:
        UserError: names missing or too many, or another shape.
    """
    missing = sorted(parameters.keys() - weights.keys())
    extra = sorted(weights.keys() - parameters.keys())
    if missing or extra:
        raise UserError(
            f"module {label!r} does not fit this backbone: {len(missing)} weights missing "
            f"(such as {missing[:1]}), {len(extra)} unknown (such as {extra[:1]})",
            expected="exactly the weights that its method has on this backbone",
            do="mount it on the backbone that it was trained on",
        )
    for name, parameter in parameters.items():
        given = weights[name]
        if given.shape != parameter.shape:
            raise UserError(
                f"module {label!r}: weight {name} has the shape {tuple(given.shape)}",
                expected=f"{tuple(parameter.shape)}",
                do="mount it on the backbone that it was trained on",
            )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def attach_full(
    model: XLMRobertaModel, label: str, weights: Mapping[str, Tensor] | None
) -> tuple[dict[str, nn.Parameter], dict[str, Any]]:
    """All parameters of ``model``, a copy of its own, filled from ``weights`` if given; its configuration.

    Full fine-tuning is the paper's own method, and what everything else is compared with.
    """
    parameters = dict(model.named_parameters())
    if weights is not None:
        fill(parameters, weights, label)
    return parameters, model.config.to_dict()
