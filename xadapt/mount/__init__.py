"""A stack on a backbone.

Modules are mounted, lowest first, on a skeleton of the backbone: a module tree of
its own over the same tensors. The backbone itself is never touched, several stacks
can be held at once, and unmounting is letting go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import XLMRobertaModel

from xadapt.backbone import Backbone
from xadapt.errors import UserError
from xadapt.methods import Bottleneck, Full, Method
from xadapt.mount import bottleneck, full, lora
from xadapt.packing import Packed, encode, pack, states
from xadapt.randomness import seeded

__all__ = ["Mounted", "Part", "mount"]


@dataclass(frozen=True)
class Part:
    """One module to mount.

    Attributes:
        label: how messages name it: its expression.
        method: LoRA, bottleneck or full.
        weights: as stored; None for a fresh module, to be trained: the last one only.
    """

    label: str
    method: Method
    weights: Mapping[str, Tensor] | None


class Mounted:
    """A backbone with modules on it.

    Attributes:
        model: the packed encoder with everything on it.
        trainable: the last module's parameters by the names they are stored under, if it
            is fresh, else empty. The optimiser gets these and the head's, and no others.
        config: what the last module's own library needs to build it (``adapter_config.json``).
    """

    def __init__(
        self,
        backbone: Backbone,
        model: XLMRobertaModel,
        trainable: dict[str, nn.Parameter],
        config: dict[str, Any],
    ) -> None:
        self.model = model
        self.trainable = trainable
        self.config = config
        self.device = backbone.device
        self.dtype = backbone.dtype

    def encode(self, batch: Packed, layers: int | None = None) -> Tensor:
        """Hidden states (T, H) of a batch on this device; after ``layers`` layers, or all."""
        with self._precision():
            return encode(self.model, batch, layers)

    def states(self, batch: Packed, layers: int | None = None) -> Iterator[Tensor]:
        """The same after each layer, the embeddings first, one at a time."""
        steps = states(self.model, batch, layers)
        while True:
            # Not around a 'yield': the caller's own work is not to run under autocast.
            with self._precision():
                hidden = next(steps, None)
            if hidden is None:
                return
            yield hidden

    def _precision(self) -> AbstractContextManager[None]:
        mixed = self.dtype == torch.bfloat16
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if mixed else nullcontext()

    def weights(self) -> dict[str, Tensor]:
        """A copy of the trained module, on the CPU."""
        return {name: p.detach().cpu().clone() for name, p in self.trainable.items()}


def mount(backbone: Backbone, parts: Sequence[Part], *, seed: Sequence[object] = ()) -> Mounted:
    """Put modules on a backbone, lowest first.

    Args:
        backbone: stays as it is.
        parts: none gives the bare backbone. The last may be fresh.
        seed: names the draw of a fresh module's first weights.

    Raises:
        UserError: methods that cannot stand on one another, weights that do not fit,
            a module that changes nothing.
    """
    if any(part.weights is None for part in parts[:-1]):
        raise ValueError("only the last part may be fresh")
    if not parts:
        return Mounted(backbone, backbone.skeleton(), {}, {})
    copies = [p for p in parts if isinstance(p.method, Full)]
    rest = [p for p in parts if not isinstance(p.method, Full)]
    if copies and list(parts) != copies + rest:
        raise UserError(
            "a fully fine-tuned module cannot stand above a LoRA or bottleneck module",
            do="put @full first in the stack, or give every module the same method",
        )
    kinds = {type(p.method) for p in rest}
    if len(kinds) > 1:
        raise UserError(
            "LoRA and bottleneck modules in one stack are not supported",
            do="give the modules of one stack the same method",
        )
    model = backbone.skeleton()
    parameters: dict[str, nn.Parameter] = {}
    config: dict[str, Any] = {}
    probe = _probe(backbone)
    before = _effect(backbone, model, probe)

    def prove(part: Part) -> None:
        nonlocal before
        after = _effect(backbone, model, probe)
        if part.weights is not None and torch.equal(before, after):
            raise UserError(
                f"module {part.label!r} is mounted but changes nothing",
                expected="outputs that differ from those without it",
                do="remove it from the store and train it again, with a higher learning rate or more steps",
            )
        before = after

    with seeded("module", *seed):
        # A full module replaces all weights: of several, only the last one counts.
        if copies:
            model = backbone.unfrozen()
            parameters, config = full.attach(model, copies[-1].label, copies[-1].weights)
            prove(copies[-1])
        if rest:
            layers: Any = bottleneck.Bottlenecks(model) if kinds == {Bottleneck} else lora.LoRAs(model)
            for part in rest:
                parameters, config = layers.add(part.label, part.method, part.weights)
                prove(part)
    fresh = parts[-1].weights is None
    for tensor in model.parameters():
        tensor.requires_grad_(False)
    for tensor in parameters.values() if fresh else ():
        tensor.requires_grad_(True)
    model.eval()
    return Mounted(backbone, model, parameters if fresh else {}, config)


def _probe(backbone: Backbone) -> Packed:
    """A few ordinary tokens; enough to see whether a module acts."""
    vocabulary = backbone.config.vocab_size
    ids = [backbone.tokenizer.bos_token_id or 0, *(4 + (i * 7919) % (vocabulary - 5) for i in range(6))]
    return pack([ids]).to(backbone.device)


@torch.no_grad()
def _effect(backbone: Backbone, model: XLMRobertaModel, probe: Packed) -> Tensor:
    model.eval()
    return Mounted(backbone, model, {}, {}).encode(probe)
