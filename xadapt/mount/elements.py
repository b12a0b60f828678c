"""What can be mounted: modules, and the ways to combine several of them.

    Part      one module
    Merged    several modules made one, before they run
    Fused     several modules side by side, weighed while they run by weights of the fusion's own
    Dropped   one of these without some of its layers

Plain values over weights in memory; how each is put on a backbone is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from xadapt.common.errors import UserError, nearest
from xadapt.stacks.combinations import MERGES, combination, is_merge, option_names, value_problem
from xadapt.stacks.methods import Bottleneck, Full, LoRA, Method, Own, inverts, layer_range, layers_left


@dataclass(frozen=True)
class Part:
    """One module to mount.

    Attributes:
        label: how messages name it: its expression.
        method: LoRA, bottleneck or full.
        weights: as stored; None for a fresh module, to be trained: the last one only.
        scaling: what a LoRA's ``B A`` is multiplied by, where that is not ``alpha / r``:
            ``alpha / sqrt(r)`` for an imported rank-stabilised one (Kalajdzievski 2023, arXiv 2312.03732).
    """

    label: str
    method: Method
    weights: Mapping[str, Tensor] | None
    scaling: float | None = None


@dataclass(frozen=True)
class Merged:
    """Several trained modules as one. LoRA modules by any way, bottlenecks by ``mean``.

    Attributes:
        label: how messages name it.
        how: one of ``MERGES``, whose formulas are in merge.py, or a user's own.
        operands: each with its weight. ``mean`` divides by the weights' sum, the others do not.
        options: of this way to merge, as ``COMBINATIONS`` has them.
        seed: names the draws of the ways that drop values at random.

    Raises:
        UserError: an unknown way or option, operands that it cannot take.
    """

    label: str
    how: str
    operands: tuple[tuple[float, Element], ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not is_merge(self.how):
            raise UserError(
                f"{self.label!r}: {self.how!r} is not a way to merge{nearest(self.how, MERGES)}",
                expected=f"one of {', '.join(MERGES)}",
            )
        for name, value in self.options.items():
            if problem := value_problem(self.how, name, value):
                raise UserError(f"{self.label!r}: {problem}", expected=option_names(self.how))
        _check_operands(self.label, [element for _, element in self.operands])
        weights = [weight for weight, _ in self.operands]
        if not all(math.isfinite(w) for w in weights) or (self.how == "mean" and sum(weights) <= 0):
            raise UserError(
                f"{self.label!r} with the weights {weights}",
                expected="finite weights, and for mean a sum above 0",
            )
        if method_of(self) is Bottleneck:
            if Bottleneck.name not in combination(self.how).methods:
                raise UserError(
                    f"{self.label!r}: {self.how} of bottleneck modules",
                    expected="mean: bottlenecks are not linear, only their outputs can be averaged",
                    do="write mean or fuse, or train the modules as @lora",
                )
            for element in (e for _, e in self.operands if isinstance(e, Fused)):
                raise UserError(
                    f"{self.label!r} merges {element.label!r}, a fusion of bottleneck modules",
                    expected="modules: what a fusion does depends on its input",
                )


@dataclass(frozen=True)
class Fused:
    """Several trained modules side by side with learned weights.

    Bottlenecks: AdapterFusion (bottleneck.py). LoRA: coefficients per layer and module (lora_fusion.py).

    Attributes:
        label: how messages name it.
        operands: two or more modules of one method; LoRA operands may be merges themselves.
        weights: the fusion's own, as stored; None if they are to be trained: as the last
            element of a stack, or right below a fresh part.
    """

    label: str
    operands: tuple[Element, ...]
    weights: Mapping[str, Tensor] | None

    def __post_init__(self) -> None:
        _check_operands(self.label, self.operands)
        if method_of(self) is Bottleneck and not all(isinstance(undropped(e), Part) for e in self.operands):
            raise UserError(
                f"{self.label!r} fuses what is itself a combination of bottleneck modules",
                expected="single bottleneck modules",
                do="name the modules themselves, or train them as @lora",
            )
        if any(-1 in acting_layers(e, 999) for e in self.operands):
            raise UserError(
                f"{self.label!r} fuses modules with invertible adapters",
                expected="bottlenecks without: attention has no form on the embeddings",
                do="take their mean, or train them without inv=nice",
            )


@dataclass(frozen=True)
class Dropped:
    """An element without its modules in the layers ``first`` to ``last``, both included, from 0.

    AdapterDrop (Rücklé et al. 2021, arXiv 2010.11918): modules in low layers cost time and
    carry little of a task.
    """

    part: Element
    first: int
    last: int

    def __post_init__(self) -> None:
        if method_of(self.part) is Full:
            raise UserError(
                f"drop of the fully fine-tuned {self.label!r}", expected="a LoRA or bottleneck module"
            )
        if method_of(self.part) is Own:
            raise UserError(
                f"drop of {self.label!r}, which may act anywhere", expected="a LoRA or bottleneck"
            )
        if not 0 <= self.first <= self.last:
            raise UserError(
                f"drop({self.label}, {self.first}-{self.last})", expected="layers such as 0-5, from 0"
            )
        if fresh(self.part):
            raise UserError(
                f"drop of {self.label!r}, which is not trained yet",
                expected="a trained module",
                do="train in fewer layers with the method's option layers=topN",
            )

    @property
    def label(self) -> str:
        """The name of what is dropped from."""
        return self.part.label


Element = Part | Merged | Fused | Dropped


def undropped(element: Element) -> Part | Merged | Fused:
    """The element below all ``Dropped``."""
    while isinstance(element, Dropped):
        element = element.part
    return element


def fresh(element: Element) -> bool:
    """Whether the element has weights that are still to be trained."""
    return isinstance(element, Part | Fused) and element.weights is None


def method_of(element: Element) -> type[Method]:
    """The one method of all modules in ``element``."""
    element = undropped(element)
    if isinstance(element, Part):
        return type(element.method)
    first = element.operands[0]
    return method_of(first[1] if isinstance(first, tuple) else first)


def operands_of(element: Merged | Fused) -> list[Element]:
    """What is combined, without weights."""
    return [e[1] if isinstance(e, tuple) else e for e in element.operands]


def acting_layers(element: Element, layers: int) -> set[int]:
    """Where in a backbone of ``layers`` layers the element acts; a full copy and an invertible adapter also
    below them: -1.

    Raises:
        UserError: layers that the backbone does not have, or none are left.
    """
    if isinstance(element, Part):
        own = set(layer_range(element.method.layers, layers))
        below = isinstance(element.method, Full | Own) or inverts(element.method)
        return own | {-1} if below else own
    if isinstance(element, Dropped):
        drop = f"drop({element.label}, {element.first}-{element.last})"
        dropped = range(element.first, element.last + 1)
        return layers_left(acting_layers(element.part, layers), drop, dropped, layers)
    return set[int]().union(*(acting_layers(e, layers) for e in operands_of(element)))


def without(element: Element, index: int) -> Element:
    """The same combination without operand ``index``: what its leave-one-out importance compares.

    A fusion keeps its weights: coefficients of LoRA modules lose a column, AdapterFusion's
    softmax runs over those that are left. A drop stays around what is left.

    Raises:
        ValueError: it has no other operand, or is no combination.
    """
    if isinstance(element, Dropped):
        return replace(element, part=without(element.part, index))
    if isinstance(element, Part):
        raise ValueError(f"{element.label!r} is one module: it has no operands")
    if len(element.operands) < 2:
        raise ValueError(f"{element.label!r} has one operand only")
    kept = [i for i in range(len(element.operands)) if i != index]
    label = f"{element.label} without {operands_of(element)[index].label}"
    if isinstance(element, Merged):
        return replace(element, label=label, operands=tuple(element.operands[i] for i in kept))
    weights = element.weights
    if weights is not None and method_of(element) is LoRA:
        weights = {name: tensor[:, kept] for name, tensor in weights.items()}
    return replace(element, label=label, operands=tuple(element.operands[i] for i in kept), weights=weights)


def _check_operands(label: str, operands: Sequence[Element]) -> None:
    """Raise UserError unless ``operands`` are trained modules of one method, LoRA or bottleneck."""
    if not operands:
        raise UserError(f"{label!r} combines nothing", expected="one module or more")
    for element in operands:
        if fresh(element):
            raise UserError(
                f"{label!r} combines {element.label!r}, which is not trained yet",
                expected="trained modules",
                do="train it first: it is a stack of its own",
            )
    kinds = {method_of(element) for element in operands}
    if len(kinds) > 1 or kinds & {Full, Own}:
        raise UserError(
            f"{label!r} combines {' and '.join(sorted(k.name for k in kinds))} modules",
            expected="LoRA modules only, or bottleneck modules only",
            do="give the combined modules one method",
        )
