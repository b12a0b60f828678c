"""A backbone with a stack on it, ready to run; several of them on one input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import XLMRobertaModel
from transformers.modeling_outputs import BaseModelOutput

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.encoder import continued, encode, states
from xadapt.backbone.packing import Packed, pack
from xadapt.common.errors import UserError
from xadapt.common.text_tables import html_facts
from xadapt.mount.adapter_fusion import penalty
from xadapt.mount.weights import changes_nothing, fill


class Mounted:
    """A backbone with modules on it. Held as long as wanted, beside others on the same backbone.

    Attributes:
        model: the packed encoder with everything on it.
        trainable: what is to be trained, by the names it is stored under: the last module's
            parameters if it is fresh, and those of a fresh fusion, else empty. The optimiser gets
            these and the head's, and no others.
        config: what the last module's own library needs to build it (``adapter_config.json``).
        fusion: the configuration of a fresh fusion, else empty.
        lowest: the lowest layer that anything acts in; -1 with a full copy; the number of layers
            for the bare backbone.
        learns_from: the lowest layer in which anything is learned; the number of layers where nothing is.
        mixtures: label and coefficients (layers, modules) of each mixture of LoRA modules, lowest first.
        fused: labels of the fusions of bottlenecks, lowest first.
        drift: by linear, the share of its update that folding lost to rounding: about 0 in float32, in bf16
            often 0.05 to 0.25. Empty where nothing is folded.
        inverse: the invertible adapter on the embeddings, which a head that names words undoes; else None.
    """

    def __init__(
        self,
        backbone: Backbone,
        model: XLMRobertaModel,
        trainable: dict[str, nn.Parameter],
        config: dict[str, Any],
        *,
        fusion: dict[str, Any] | None = None,
        lowest: int | None = None,
        learns_from: int | None = None,
        held: Sequence[tuple[str, dict[str, nn.Parameter]]] = (),
        mixtures: Sequence[tuple[str, Tensor]] = (),
        fused: Sequence[str] = (),
        drift: Mapping[str, float] | None = None,
        inverse: nn.Module | None = None,
    ) -> None:
        self.model = model
        self.trainable = trainable
        self.config = config
        self.fusion = fusion or {}
        self.lowest = backbone.layers if lowest is None else lowest
        self.learns_from = backbone.layers if learns_from is None else learns_from
        self.mixtures = tuple(mixtures)
        self.fused = tuple(fused)
        self.drift = dict(drift or {})
        self.inverse = inverse
        self.device = backbone.device
        self.dtype = backbone.dtype
        self._held = list(held)

    def __repr__(self) -> str:
        stacked = ", ".join(self.labels) or "no modules"
        where = f"{self.model.config.num_hidden_layers} layers of {self.model.config.hidden_size}"
        return f"Mounted({stacked} on {where}, {str(self.dtype).removeprefix('torch.')} on {self.device})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_facts(
            {
                "modules, lowest first": ", ".join(self.labels) or "none",
                "fusions": ", ".join([*self.fused, *(label for label, _ in self.mixtures)]) or None,
                "to be trained": sum(p.numel() for p in self.trainable.values()) or None,
                "layers": self.model.config.num_hidden_layers,
                "lowest layer that it acts in": self.lowest if self.labels else None,
                "width": self.model.config.hidden_size,
                "type": str(self.dtype).removeprefix("torch."),
                "device": str(self.device),
            }
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """What ``swap`` can be asked for: the single modules of the stack, lowest first."""
        return tuple(name for name, _ in self._held)

    def train(self) -> None:
        """Dropout from the first layer on in which anything is learned; below it all runs as in evaluation,
        so that nothing there depends on the step, and what comes out can be kept."""
        self.model.train()
        if self.learns_from > 0:
            self.model.embeddings.eval()
            for layer in self.model.encoder.layer[: self.learns_from]:
                layer.eval()

    def encode(
        self,
        batch: Packed,
        layers: int | None = None,
        rows: Tensor | None = None,
        done: tuple[int, Tensor] | None = None,
    ) -> Tensor:
        """Hidden states (T, H) of a batch on this device; after ``layers`` layers, or all.

        Args:
            rows: (R,) the tokens whose states are wanted, for (R, H): cheaper than to take them from all.
            done: how many of the layers below all modules are done, and what they gave (T, H).
        """
        if done is not None and not done[0] <= self.lowest:
            raise ValueError(f"states after {done[0]} layers, and a module acts in layer {self.lowest}")
        with self.autocast():
            if done is None:
                return encode(self.model, batch, layers, rows)
            return continued(self.model, done[1], batch, done[0], layers, rows)

    def __call__(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, output_hidden_states: bool = False
    ) -> BaseModelOutput:
        """What HF's encoder gives: ``mounted(**tokenizer(texts, padding=True, return_tensors="pt"))``.

        Padding is left out of the computation: where it stands, states are zero. On all other tokens they are
        HF's. Positions count the tokens that are kept.

        Args:
            input_ids: (N, L) token ids, on any device.
            attention_mask: (N, L), 0 where there is padding; by default where the padding token stands.
            output_hidden_states: also give the states after the embeddings and after each layer.

        Returns:
            ``last_hidden_state`` (N, L, H) on this device, and ``hidden_states`` if asked for.

        Raises:
            UserError: no such shape, or a row of padding alone.
        """
        if input_ids.ndim != 2 or (attention_mask is not None and attention_mask.shape != input_ids.shape):
            shapes = [tuple(t.shape) for t in (input_ids, attention_mask) if t is not None]
            raise UserError(
                f"tensors of shape {' and '.join(map(str, shapes))}",
                expected="(sequences, tokens), both alike",
            )
        ids, padding = input_ids.cpu(), self.model.config.pad_token_id
        assert padding is not None, "XLM-R has one"
        given = (ids.ne(padding) if attention_mask is None else attention_mask).cpu().bool()
        if empty := [row for row, kept in enumerate(given) if not kept.any()]:
            raise UserError(f"row {empty[0]} is padding alone", expected="one token or more in each")
        batch = pack([row[kept].numpy() for row, kept in zip(ids, given, strict=True)])
        before = given.sum(1).cumsum(0) - given.sum(1)
        column = given.nonzero()[:, 1][before[batch.owner] + batch.positions].to(self.device)
        batch = batch.to(self.device)

        def padded(hidden: Tensor) -> Any:  # a FloatTensor, as HF's types have it
            out = hidden.new_zeros((*given.shape, hidden.shape[-1]))
            return out.index_put((batch.owner, column), hidden)

        if not output_hidden_states:
            return BaseModelOutput(last_hidden_state=padded(self.encode(batch)))
        steps = tuple(map(padded, self.states(batch)))
        return BaseModelOutput(last_hidden_state=steps[-1], hidden_states=steps)

    def states(self, batch: Packed, layers: int | None = None) -> Iterator[Tensor]:
        """The same after each layer, the embeddings first, one at a time."""
        steps = states(self.model, batch, layers)
        while True:
            # Not around a 'yield': the caller's own work is not to run under autocast.
            with self.autocast():
                hidden = next(steps, None)
            if hidden is None:
                return
            yield hidden

    def autocast(self) -> AbstractContextManager[Any]:
        """What a forward pass runs under: bf16 products where the backbone is in bf16."""
        mixed = self.dtype == torch.bfloat16
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if mixed else nullcontext()

    def weights(self) -> dict[str, Tensor]:
        """A copy of what was trained, on the CPU."""
        return {name: p.detach().cpu().clone() for name, p in self.trainable.items()}

    def penalty(self) -> Tensor | None:
        """What a fusion in training adds to the loss; None where there is nothing to add."""
        return penalty(self.trainable)

    def swap(self, label: str, weights: Mapping[str, Tensor], *, named: str | None = None) -> None:
        """Give the module ``label`` of this stack the weights of another one of the same method,
        in place: no tree is built, so it takes as long as the copy.

        Args:
            label: one of ``labels``: not a module inside a merge or a fusion, or folded.
            weights: as stored.
            named: the label from now on.

        Raises:
            UserError: no such module, or weights that do not fit it or change nothing; the module
                is then as it was.
        """
        at = next((i for i, (name, _) in enumerate(self._held) if name == label), None)
        if at is None:
            raise UserError(
                f"no module {label!r} to swap in this stack",
                expected=f"one of {list(self.labels)}",
                do="mount the stack without fold",
            )
        if not any(w.any() for name, w in weights.items() if "lora_B" in name or "adapter_up" in name):
            raise changes_nothing(named or label)
        fill(self._held[at][1], weights, named or label)
        self._held[at] = (named or label, self._held[at][1])


def encode_many(
    backbone: Backbone, stacks: Sequence[Mounted], batch: Packed, layers: int | None = None
) -> list[Tensor]:
    """Hidden states of one batch under each of several stacks; what lies below a stack's lowest module is
    computed once for all.

    AdapterDrop's parallel inference (Rücklé et al. 2021, arXiv 2010.11918, section 4), with a trunk of layers
    that carry no module. Stacks with modules in the top 4 of 12 layers share two thirds.

    Args:
        backbone: the one that all stacks are mounted on.
        stacks: held mounts.
        batch: N sequences, T tokens, on the backbone's device.
        layers: how many layers to run; all by default.

    Returns:
        (T, H) of each stack, equal to its own ``encode``.
    """
    last = backbone.layers if layers is None else layers
    # A stack leaves the trunk below its lowest module; where it has a copy of the embeddings, at once.
    leaves = [min(stack.lowest, last - 1) for stack in stacks]
    outputs: dict[int, Tensor] = {}
    trunk: Tensor | None = None
    reached = 0
    for i in sorted(range(len(stacks)), key=lambda i: leaves[i]):
        stack, leave = stacks[i], leaves[i]
        with stack.autocast():
            if leave < 0:
                outputs[i] = encode(stack.model, batch, layers)
                continue
            if trunk is None:
                trunk = encode(backbone.model, batch, 0)
            trunk = continued(backbone.model, trunk, batch, reached, leave)
            reached = leave
            outputs[i] = continued(stack.model, trunk, batch, leave, layers)
    return [outputs[i] for i in range(len(stacks))]
