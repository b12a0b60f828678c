"""A method of a user's own on a model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from transformers import XLMRobertaModel

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.own import found
from xadapt.mount.weights import Attached, fill
from xadapt.stacks.methods import Own


def attach_own(
    model: XLMRobertaModel, label: str, method: Own, weights: Mapping[str, Tensor] | None, backbone: Backbone
) -> Attached:
    """What the function makes trainable, filled from ``weights`` if given.

    Names are those of the bare encoder, so that a module is stored alike wherever it stands.

    Raises:
        UserError: it gives no parameters, or the backbone's own, which must stay as they are; ``weights`` do
            not fit.
    """
    made = found(method.name)(model, **dict(method.options))
    if not (isinstance(made, Mapping) and made and all(isinstance(p, nn.Parameter) for p in made.values())):
        raise UserError(f"{method.name} gives no parameters", expected="a dict: name -> torch.nn.Parameter")
    shared = {tensor.data_ptr() for tensor in backbone.model.parameters()}
    if own := [name for name, parameter in made.items() if parameter.data_ptr() in shared]:
        raise UserError(
            f"{method.name} would train {own[0]} of the backbone itself, which stays as it is",
            expected="parameters of its own",
            do="put a copy into its place: torch.nn.Parameter(part.bias.detach().float().clone())",
        )
    parameters = {str(name).replace(".base_layer", ""): parameter for name, parameter in made.items()}
    if weights is not None:
        fill(parameters, weights, label)
        for parameter in parameters.values():
            parameter.requires_grad_(False)
    return parameters, {"method": str(method)}
