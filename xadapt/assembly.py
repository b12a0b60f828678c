"""What a stack mounts, once the modules of its places are known.

``description`` says it in plain values, for addresses and records; ``elements`` with weights, for ``mount``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from xadapt.errors import UserError
from xadapt.methods import LoRA
from xadapt.mount import Dropped as MountedDrop
from xadapt.mount import Element, Fused, Merged, Part, split_fusion
from xadapt.mount.parts import method_of
from xadapt.needs import Branch, Node, nodes
from xadapt.parts import Combined, Dropped, Stack, is_fuse, trains

Addresses = Mapping[Stack, str]
Weights = Callable[[Stack], Mapping[str, Tensor]]

# Where the grammar's word for an option is not mount's.
_OPTIONS = {"majority_sign_method": "majority"}


def description(stack: Stack | None, addresses: Addresses, seed: int) -> Any:
    """What identifies the mounted stack: None for the bare backbone, else an address, or JSON values
    around addresses.

    A module's address holds all that it stands on, so the top of a stack is enough.

    Args:
        addresses: of every module in the stack, by its place.
        seed: of the study: merges that drop values at random are drawn from it.
    """
    return None if stack is None else _described(nodes(stack)[-1], addresses, seed)


def elements(
    stack: Stack | None, weights: Weights, seed: int, scalings: Mapping[Stack, float] | None = None
) -> list[Element]:
    """The stack as ``mount`` takes it, lowest element first.

    Args:
        weights: those of a module, by its place; a fusion's are among those of the module above it.
        seed: as in ``description``.
        scalings: of imported LoRA modules whose scaling their method does not say.

    Raises:
        UserError: operands that are stacks of bottlenecks, which have no form to be combined in.
    """
    if stack is None:
        return []
    return [_element(node, weights, seed, scalings or {}) for node in nodes(stack)]


def _described(node: Node, addresses: Addresses, seed: int) -> Any:
    part = node.part
    if isinstance(part, Dropped):
        (within,) = node.branches[0].nodes
        return {"drop": [part.first, part.last], "part": _described(within, addresses, seed)}
    if trains(part):
        return addresses[node.place]
    assert isinstance(part, Combined)
    tops = [(b.weight, _described(b.nodes[-1], addresses, seed)) for b in node.branches]
    if is_fuse(part):
        keeper = None if node.module is None else addresses.get(node.module)
        return {"fuse": [top for _, top in tops], "weights": keeper}
    return {"merge": part.how, "operands": [list(top) for top in tops], "options": _options(part, seed)}


def _element(node: Node, weights: Weights, seed: int, scalings: Mapping[Stack, float]) -> Element:
    part = node.part
    if isinstance(part, Dropped):
        (within,) = node.branches[0].nodes
        return MountedDrop(_element(within, weights, seed, scalings), part.first, part.last)
    if trains(part):
        assert part.method is not None, "methods are filled in before a stack is mounted"
        own = split_fusion(weights(node.place))[1]
        return Part(str(part), part.method, own, scalings.get(node.place))
    assert isinstance(part, Combined)
    operands = [(b.weight, _operand(b, str(part), weights, seed, scalings)) for b in node.branches]
    if is_fuse(part):
        stored = None if node.module is None else split_fusion(weights(node.module))[0]
        return Fused(str(part), tuple(element for _, element in operands), stored)
    return Merged(str(part), part.how, tuple(operands), _options(part, seed))


def _operand(
    branch: Branch, combination: str, weights: Weights, seed: int, scalings: Mapping[Stack, float]
) -> Element:
    """One operand as one element: what stands on one another adds up, where it is LoRA."""
    found = [_element(node, weights, seed, scalings) for node in branch.nodes]
    if len(found) == 1:
        return found[0]
    if any(method_of(element) is not LoRA for element in found):
        raise UserError(
            f"{combination} combines a stack of modules that are not LoRA",
            expected="single modules: what a bottleneck does depends on those below it",
            do="train these modules as @lora, or combine single ones",
        )
    label = " > ".join(element.label for element in found)
    return Merged(label, "cat", tuple((1.0, element) for element in found))


def _options(part: Combined, seed: int) -> dict[str, Any]:
    """The options of a merge in mount's words; what the merge is to work out is left out."""
    given = {_OPTIONS.get(name, name): value for name, value in part.settings.items() if value is not None}
    return given | ({"seed": seed} if part.how.startswith("dare") else {})
