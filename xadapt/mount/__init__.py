"""A stack on a backbone.

Elements are mounted, lowest first, on a skeleton of the backbone: a module tree of
its own over the same tensors. The backbone itself is never touched, several stacks
can be held at once, and unmounting is letting go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import XLMRobertaModel

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.blocks import replace_blocks
from xadapt.backbone.linear import LowRank
from xadapt.backbone.packing import Packed, pack
from xadapt.common.errors import UserError
from xadapt.common.randomness import seeded
from xadapt.mount import delta, lora_fusion
from xadapt.mount.bottleneck import STORED_FUSION, Bottlenecks
from xadapt.mount.bottleneck_output import Fusion, steps_of
from xadapt.mount.effect import effect_of
from xadapt.mount.elements import (
    Dropped,
    Element,
    Fused,
    Merged,
    Part,
    acting_layers,
    fresh,
    method_of,
    undropped,
)
from xadapt.mount.lora import LoRAs, lora_config, peft_json
from xadapt.mount.low_rank import Effect, total
from xadapt.mount.mounted import Mounted, encode_many
from xadapt.mount.own_method import attach_own
from xadapt.mount.weights import Attached, attach_full, changes_nothing
from xadapt.stacks.methods import Bottleneck, Full, LoRA, Own

__all__ = [
    "Dropped",
    "Element",
    "Fused",
    "Merged",
    "Mounted",
    "Part",
    "encode_many",
    "linear_shapes",
    "mount",
    "split_fusion",
]

Fold = Literal[False, True, "cat"]


def mount(
    backbone: Backbone, parts: Sequence[Element], *, seed: Sequence[object] = (), fold: Fold = False
) -> Mounted:
    """Put a stack on a backbone, lowest element first.

    LoRA modules and bottlenecks may stand on one another in any order: the ones change the linears,
    the others what comes behind them.

    Args:
        backbone: stays as it is.
        parts: none gives the bare backbone. The last may be fresh, and a fusion right below it.
        seed: names the draw of a fresh module's first weights, and of a fresh fusion's; what stands below has
            no part in it.
        fold: how what is trained runs. False: each module for itself, as its library does it.
            ``"cat"``: all LoRA modules as one of their ranks together, merges of full rank as one
            matrix beside the weight (inside a copy of it, in float32), fusions of bottlenecks in
            their cheap form. True: LoRA modules inside a copy of the linears' weights, which costs
            that memory and no time. Outputs are the same; only True in bf16 rounds a part of the
            updates away, as ``Mounted.drift`` says.

    Raises:
        UserError: methods that cannot stand on one another, weights that do not fit,
            a module that changes nothing.
    """
    _check(parts)
    if not parts:
        bare = backbone.skeleton()
        replace_blocks(bare)
        return Mounted(backbone, bare, {}, {})
    shapes = linear_shapes(backbone)
    effects = [effect_of(part, shapes) if _runs_as_effect(part, fold) else None for part in parts]
    with seeded():  # what libraries draw for weights that are filled in then
        stack = _Stack(backbone, parts, fold)
        for element, effect in zip(parts, effects, strict=True):
            with seeded("module" if isinstance(element, Part) else "fusion", *seed):
                if effect is None:
                    stack.add(element)
                else:
                    stack.add_effect(element, effect)
        stack.fold_effects()
    return stack.mounted(parts)


def linear_shapes(backbone: Backbone) -> dict[str, tuple[int, int]]:
    """(out, in) of each linear of the encoder's layers, by its name in the bare encoder."""
    return {
        name: (module.out_features, module.in_features)
        for name, module in backbone.model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith("encoder.layer.")
    }


def split_fusion(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights trained together: those of the fusion, and those of the module above it."""
    fusion = {
        name: tensor
        for name, tensor in weights.items()
        if name == lora_fusion.NAME or f".adapter_fusion_layer.{STORED_FUSION}." in name
    }
    return fusion, {name: tensor for name, tensor in weights.items() if name not in fusion}


def _check(parts: Sequence[Element]) -> None:
    """Refuse elements that cannot stand on one another."""
    new = [i for i, part in enumerate(parts) if fresh(part)]
    below = [i for i in new if i != len(parts) - 1]
    if below and (below != [len(parts) - 2] or not isinstance(parts[-2], Fused) or len(new) != 2):
        raise ValueError("only the last part may be fresh, and a fusion right below a fresh part")
    copies = [isinstance(part, Part) and isinstance(part.method, Full) for part in parts]
    if copies != sorted(copies, reverse=True):
        raise UserError(
            "a fully fine-tuned module cannot stand above a LoRA or bottleneck module",
            do="put @full first in the stack, or give every module the same method",
        )


def _runs_as_effect(element: Element, fold: Fold) -> bool:
    """Whether only what a LoRA element adds to the linears is put on, not its own parameters: where it is
    folded, a combination, or scaled in a way that peft has no words for."""
    if method_of(element) is not LoRA or fresh(element):
        return False
    return bool(fold) or not isinstance(element, Part) or element.scaling is not None


class _Stack:
    """A stack while it is being mounted: the model, and what is known of the elements on it so far."""

    def __init__(self, backbone: Backbone, parts: Sequence[Element], fold: Fold) -> None:
        self.backbone, self.fold = backbone, fold
        self.probe = _probe(backbone)
        # A full module replaces all weights: of several trained ones only the last counts. A fresh one
        # starts from the one below it, or from the backbone.
        copies = [p for p in parts if isinstance(p, Part) and isinstance(p.method, Full)]
        trained = [part for part in copies if not fresh(part)]
        self.replaced = trained[:-1]
        self.model = backbone.unfrozen(exact=not trained) if copies else backbone.skeleton()
        # Before anything else, as 'adapters' replaces the model's linears by its own.
        bottlenecks = any(method_of(p) is Bottleneck for p in parts)
        self.bottlenecks = Bottlenecks(self.model) if bottlenecks else None
        self.loras = LoRAs(self.model)
        self.before = _outputs(backbone, backbone.skeleton(), self.probe)
        self.trainable: dict[str, nn.Parameter] = {}
        self.config: dict[str, Any] = {}  # of the last element
        self.fusion: dict[str, Any] = {}
        self.held: list[tuple[str, dict[str, nn.Parameter]]] = []
        self.mixtures: list[tuple[str, Tensor]] = []
        self.waiting: list[tuple[str, Effect]] = []  # to be folded, when all are known
        self.drift: dict[str, float] = {}

    def add(self, element: Element) -> None:
        """Put one element with its parameters on top of those before it; a trained one is proven to act."""
        if any(element is each for each in self.replaced):
            return
        parameters, self.config = self._attach(element)
        if isinstance(element, Part) and not isinstance(element.method, Full | Own):
            self.held.append((element.label, parameters))
        if not fresh(element):
            self._prove(element.label)
            return
        self.trainable |= parameters
        if isinstance(element, Fused):
            self.fusion = self.config

    def _attach(self, element: Element) -> Attached:
        """Put on an element with its parameters, to be trained or swapped."""
        if isinstance(element, Part) and isinstance(element.method, Full):
            return attach_full(self.model, element.label, element.weights)
        if isinstance(element, Part) and isinstance(element.method, Own):
            return attach_own(self.model, element.label, element.method, element.weights, self.backbone)
        if self.bottlenecks is not None and method_of(element) is Bottleneck:
            return self.bottlenecks.add(element, lean=bool(self.fold) and not fresh(element))
        if isinstance(element, Part) and isinstance(element.method, LoRA):
            return self.loras.add(element.label, element.method, element.weights)
        assert isinstance(element, Fused), "of LoRA modules, and fresh: all others run as effects"
        shapes = linear_shapes(self.backbone)
        effects = [effect_of(part, shapes) for part in element.operands]
        parameters = lora_fusion.attach(self.model, effects, self.backbone.layers)
        self.mixtures.append((element.label, parameters[lora_fusion.NAME]))
        return parameters, {"fusion": "coefficients", "modules": [e.label for e in element.operands]}

    def add_effect(self, element: Element, effect: Effect) -> None:
        """Put on what a trained LoRA element adds to the linears: now, or with all others at the end."""
        combined = undropped(element)
        if isinstance(combined, Fused):
            coefficients = lora_fusion.coefficients_of(combined, self.backbone.layers)
            self.mixtures.append((element.label, coefficients))
        self.config = {}
        if isinstance(element, Part) and isinstance(element.method, LoRA):
            self.config = peft_json(lora_config(element.method, self.backbone.layers))
        if self.fold:
            self.waiting.append((element.label, effect))
        else:
            delta.install(self.model, effect, self.backbone.dtype)
            self._prove(element.label)

    def fold_effects(self) -> None:
        """Put on the effects of all LoRA elements as one."""
        if not self.waiting:
            return
        effects = [effect for _, effect in self.waiting]
        if self.fold == "cat":
            # Thin updates stay out of a dense one: the module that was trained above a merge of full rank
            # had the merge beside it, and would be rounded with it.
            for thin in (False, True):
                alike = ({n: f for n, f in effect.items() if f.thin is thin} for effect in effects)
                delta.install(self.model, total((1.0, effect) for effect in alike), self.backbone.dtype)
        else:
            summed = total((1.0, effect) for effect in effects)
            self.drift = delta.fold(self.model, summed, self.backbone.dtype)
        self._prove(" > ".join(label for label, _ in self.waiting))

    def _prove(self, label: str) -> None:
        """Refuse outputs that are not finite, or the same as before the element: a UserError."""
        after = _outputs(self.backbone, self.model, self.probe)
        if not bool(after.isfinite().all()):
            raise UserError(
                f"module {label!r} gives outputs of NaN or infinity",
                expected="finite numbers",
                do="train it again, with a lower learning rate",
            )
        if torch.equal(self.before, after):
            raise changes_nothing(label)
        self.before = after

    def mounted(self, parts: Sequence[Element]) -> Mounted:
        """The finished stack."""
        # A method of a user's own may have put anything anywhere: then all stays as the libraries run it.
        if not any(method_of(part) is Own for part in parts):
            replace_blocks(self.model, steps_of if self.bottlenecks else None)
            delta.as_terms(self.model)
        for tensor in self.model.parameters():
            tensor.requires_grad_(False)
        for tensor in self.trainable.values():
            tensor.requires_grad_(True)
        if self.backbone.dtype != torch.float32:
            _cast_frozen(self.model, self.backbone.dtype)
        self.model.eval()
        return Mounted(
            self.backbone,
            self.model,
            self.trainable,
            self.config,
            fusion=self.fusion,
            lowest=min(min(acting_layers(part, self.backbone.layers)) for part in parts),
            learns_from=min(
                (min(acting_layers(part, self.backbone.layers)) for part in parts if fresh(part)),
                default=None,
            ),
            held=self.held,
            mixtures=self.mixtures,
            drift=self.drift,
            inverse=self.bottlenecks.inverse() if self.bottlenecks else None,
            fused=[p.label for p in parts if isinstance(undropped(p), Fused) and method_of(p) is Bottleneck],
        )


def _cast_frozen(model: nn.Module, dtype: torch.dtype) -> None:
    """Frozen matrices once into the type that autocast gives them in every call: the same outputs,
    for less. Adapters' own layer norms, if any, stay as they are."""
    for module in model.modules():
        if isinstance(module, Fusion):
            for name, buffer in list(module.named_buffers(recurse=False)):
                setattr(module, name, buffer.to(dtype))
        if isinstance(module, nn.Linear | LowRank):
            for parameter in module.parameters(recurse=False):
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)  # the same parameter: ``swap`` has it too


def _probe(backbone: Backbone) -> Packed:
    """A few ordinary tokens; enough to see whether a module acts."""
    vocabulary = backbone.config.vocab_size
    ids = [backbone.tokenizer.bos_token_id or 0, *(4 + (i * 7919) % (vocabulary - 5) for i in range(6))]
    return pack([ids]).to(backbone.device)


@torch.no_grad()
def _outputs(backbone: Backbone, model: XLMRobertaModel, probe: Packed) -> Tensor:
    """(T, H) that the model gives for the probe."""
    model.eval()
    return Mounted(backbone, model, {}, {}).encode(probe)
