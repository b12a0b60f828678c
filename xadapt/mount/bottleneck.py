"""Bottleneck adapters and their fusion (Pfeiffer et al. 2021, arXiv 2005.00247).

With adapter_fusion.py the one place that knows ``adapters``.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import adapters
import torch
from adapters import SeqBnConfig
from adapters.composition import Fuse
from adapters.composition import Stack as AdapterStack
from adapters.configuration import build_full_config
from torch import Tensor, nn
from transformers import XLMRobertaModel

from xadapt.common.errors import UserError
from xadapt.mount.adapter_fusion import LeanFusion, averaged
from xadapt.mount.elements import Element, Fused, Merged, Part, acting_layers
from xadapt.mount.weights import Attached, changes_nothing, fill
from xadapt.stacks.methods import Bottleneck, layer_range

# The names under which one module's and one fusion's weights are stored, whatever stands beside them.
STORED, STORED_FUSION = "module", "fusion"


class Bottlenecks:
    """Bottleneck modules on one model, each on the output of those before it.

    Made before anything else changes the model's linears: ``adapters`` makes linears of its own.
    """

    def __init__(self, model: XLMRobertaModel) -> None:
        self.model: Any = model  # adapters.init adds methods to it
        self.active: list[str | Fuse] = []
        self.count = 0
        adapters.init(model)

    def add(self, element: Element, *, lean: bool = False) -> Attached:
        """One more element on top.

        Args:
            element: of bottleneck modules.
            lean: run a fusion in its cheap form (adapter_fusion.py); for a trained one.

        Returns:
            its parameters, named as ``adapters`` stores a module called ``module`` or a fusion
            called ``fusion``, and its configuration; both empty for what has none of its own.
        """
        if self.active and -1 in acting_layers(element, len(self._outputs())):
            raise UserError(
                f"{element.label!r} has an invertible adapter on the embeddings, and stands on a bottleneck",
                expected="such a module below all bottlenecks, where adapters runs it",
                do="put it first, or train it without inv=nice",
            )
        name, built = self._build(element)
        if lean and isinstance(name, Fuse):
            name = self._lean(name)
        self.active.append(name)
        self._activate()
        return built

    def _build(self, element: Element) -> tuple[str | Fuse, Attached]:
        """The element in the model's layers, not active yet: its name there."""
        if isinstance(element, Part):
            return self._single(element)
        if isinstance(element, Merged):
            return self._average(element), ({}, {})
        if isinstance(element, Fused):
            return self._fusion(element)
        name, _ = self._build(element.part)
        left = acting_layers(element, len(self._outputs()))
        for i, output in enumerate(self._outputs()):
            if i not in left:
                for each in [name] if isinstance(name, str) else name.children:
                    if each in output.adapters:
                        output.adapters.pop(each)
                if isinstance(name, Fuse) and name.name in output.adapter_fusion_layer:
                    output.adapter_fusion_layer.pop(name.name)
        return name, ({}, {})

    def _single(self, part: Part) -> tuple[str, Attached]:
        method = part.method
        if not isinstance(method, Bottleneck):
            raise ValueError(f"{part.label!r} is no bottleneck module")
        name = self._new_name("module")
        layers = self.model.config.num_hidden_layers
        kept = layer_range(method.layers, layers)
        config = SeqBnConfig(
            reduction_factor=method.reduction,
            leave_out=[i for i in range(layers) if i not in kept],
            inv_adapter=None if method.inv == "none" else method.inv,
            inv_adapter_reduction_factor=None if method.inv == "none" else 2,  # SeqBnInvConfig's
        )
        with _quiet():
            self.model.add_adapter(name, config=config)
        self.model.adapter_to(name, device=self._device())
        parameters = self._parameters(f".adapters.{name}.", f".adapters.{STORED}.")
        parameters |= self._parameters(f"invertible_adapters.{name}.", f"invertible_adapters.{STORED}.")
        if part.weights is not None:
            fill(parameters, part.weights, part.label)
            if not any(p.any() for key, p in parameters.items() if ".adapter_up." in key):
                raise changes_nothing(part.label)
        full = build_full_config(
            self.model.adapters_config.get(name),
            self.model.config,
            model_name=None,
            name=STORED,
            model_class=type(self.model).__name__,
        )
        return name, (parameters, full)

    def _average(self, merged: Merged) -> str:
        weight = sum(w for w, _ in merged.operands)
        parts = [(w / weight, str(self._build(element)[0])) for w, element in merged.operands]
        name = self._new_name("mean")
        for output in self._outputs():
            present = [(w, output.adapters.pop(part)) for w, part in parts if part in output.adapters]
            if present:  # where a module has nothing, its share of the mean is zero
                output.adapters[name] = averaged(present)
        inverting = self.model.invertible_adapters
        if any(part in inverting for _, part in parts):
            inverting[name] = MeanInvertible(
                [(w, inverting.pop(part) if part in inverting else None) for w, part in parts]
            )
        return name

    def _fusion(self, fused: Fused) -> tuple[Fuse, Attached]:
        children = [str(self._build(element)[0]) for element in fused.operands]
        name = self._new_name("fusion")
        with _quiet():
            self.model.add_adapter_fusion(Fuse(*children, name=name))
        for output in self._outputs():
            if not any(child in output.adapters for child in children):
                output.adapter_fusion_layer.pop(name)
            elif fused.weights is not None:  # finished: done with dropout
                output.adapter_fusion_layer[name].dropout.p = 0.0
        for output in self._outputs():
            output.adapter_fusion_layer.to(self._device())
        parameters = self._parameters(
            f".adapter_fusion_layer.{name}.", f".adapter_fusion_layer.{STORED_FUSION}."
        )
        if fused.weights is not None:
            fill(parameters, fused.weights, fused.label)
        config, _ = self.model.adapters_config.get_fusion(name)
        return Fuse(*children, name=name), (parameters, config.to_dict())

    def _lean(self, fuse: Fuse) -> str:
        """The same fusion in its cheap form; the library's is gone."""
        name = self._new_name("lean")
        for output in self._outputs():
            present = [output.adapters.pop(child) for child in fuse.children if child in output.adapters]
            if present:
                output.adapters[name] = LeanFusion(present, output.adapter_fusion_layer.pop(fuse.name))
        return name

    def inverse(self) -> nn.Module | None:
        """The invertible adapter that runs on the embeddings; called with ``rev=True`` it undoes itself."""
        return self.model.get_invertible_adapter()

    def _activate(self) -> None:
        """Each layer runs what stands in it: a fusion there attends over those of its modules that do."""
        shared = self.model.adapters_config
        shared.active_setup = AdapterStack(*self.active)
        for output in self._outputs():
            here = [present for name in self.active if (present := _present(name, output.adapters))]
            output.adapters_config = copy.copy(shared)
            output.adapters_config.active_setup = AdapterStack(*here) if here else None

    def _outputs(self) -> list[Any]:
        return [layer.output for layer in self.model.encoder.layer]

    def _new_name(self, word: str) -> str:
        self.count += 1
        return f"{word}{self.count - 1}"

    def _device(self) -> Any:
        return self.model.embeddings.word_embeddings.weight.device

    def _parameters(self, own: str, stored: str) -> dict[str, nn.Parameter]:
        return {k.replace(own, stored): p for k, p in self.model.named_parameters() if own in k}


class MeanInvertible(nn.Module):
    """The weighted mean of what invertible adapters make of the embeddings; None leaves them as they are. It
    stands below what is evaluated: nothing undoes it."""

    def __init__(self, parts: Sequence[tuple[float, nn.Module | None]]) -> None:
        super().__init__()
        self.shares = [share for share, _ in parts]
        self.parts = nn.ModuleList(part or nn.Identity() for _, part in parts)

    def forward(self, x: Tensor, rev: bool = False) -> Tensor:
        if rev:
            raise UserError(
                "a head that names words stands on a mean of invertible adapters, which has no inverse",
                do="average modules without inv=nice",
            )
        made = (part(x) for part in self.parts)
        return torch.stack([share * one for share, one in zip(self.shares, made, strict=True)]).sum(dim=0)


def _present(name: str | Fuse, here: Mapping[str, nn.Module]) -> str | Fuse | None:
    """``name`` without what does not stand in a layer; None if nothing is left."""
    if isinstance(name, str):
        return name if name in here else None
    children = [child for child in name.children if child in here]
    return Fuse(*children, name=name.name) if children else None


@contextmanager
def _quiet() -> Iterator[None]:
    """``adapters`` says that nothing is active until something is; what is active is proved
    by its effect, not by the log."""
    logger = logging.getLogger("adapters")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
