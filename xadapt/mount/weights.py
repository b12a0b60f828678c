"""Stored weights into a module's parameters, strictly; all of a model's, for full fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import XLMRobertaModel

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.stacks.methods import Full, Method
from xadapt.store.integrity import WeightsFile
from xadapt.store.store import Saved

# Parameters by the names they are stored under, and the configuration that their library needs.
Attached = tuple[dict[str, nn.Parameter], dict[str, Any]]


def weights_file_of(method: Method) -> WeightsFile:
    """What a module of ``method`` calls its weights: as HF does a model's, and peft an adapter's."""
    return "model.safetensors" if isinstance(method, Full) else "adapter_model.safetensors"


def check_backbone(module: Saved, backbone: Backbone) -> None:
    """Refuse a module that was trained on another backbone: a UserError."""
    trained_on = module.manifest["backbone"]
    if trained_on["fingerprint"] != backbone.fingerprint:
        raise UserError(
            f"module {module.address} belongs to another backbone: {trained_on['name']} "
            f"(fingerprint {trained_on['fingerprint'][:12]})",
            expected=f"{backbone.name} (fingerprint {backbone.fingerprint[:12]})",
            do="name the backbone that it was trained on, on the command line by --backbone",
        )


def fill(parameters: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor], label: str) -> None:
    """Copy ``weights`` into ``parameters`` in place: all of them or, on an error, none.

    Raises:
        UserError: names missing or too many, or another shape.
    """
    check_weights(weights, {name: tuple(p.shape) for name, p in parameters.items()}, label)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def check_weights(weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], label: str) -> None:
    """Refuse weights that are not exactly those of ``shapes``.

    Args:
        label: how the message names the module.

    Raises:
        UserError: names missing or too many, or another shape.
    """
    missing = sorted(shapes.keys() - weights.keys())
    extra = sorted(weights.keys() - shapes.keys())
    do = "mount it on the backbone that it was trained on"
    if missing or extra:
        raise UserError(
            f"module {label!r} does not fit this backbone: {len(missing)} weights missing "
            f"(such as {missing[:1]}), {len(extra)} unknown (such as {extra[:1]})",
            expected="exactly the weights that its method has on this backbone",
            do=do,
        )
    for name, shape in shapes.items():
        if tuple(weights[name].shape) != shape:
            raise UserError(
                f"module {label!r} does not fit this backbone: weight {name} has the shape "
                f"{tuple(weights[name].shape)}",
                expected=f"{shape}",
                do=do,
            )


def changes_nothing(label: str) -> UserError:
    """The error for a module without effect.

    Args:
        label: how the message names it.
    """
    return UserError(
        f"module {label!r} is mounted but changes nothing",
        expected="outputs that differ from those without it",
        do="remove it from the store and train it again, with a higher learning rate or more steps",
    )


def attach_full(model: XLMRobertaModel, label: str, weights: Mapping[str, Tensor] | None) -> Attached:
    """All parameters of ``model``, a copy of its own, filled from ``weights`` if given; its configuration.

    Full fine-tuning is the paper's own method, and what everything else is compared with.
    """
    parameters = dict(model.named_parameters())
    if weights is not None:
        fill(parameters, weights, label)
    return parameters, model.config.to_dict()
