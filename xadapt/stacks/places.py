"""What a stack is made of once it is mounted, and what must be trained for it.

Every part of an expression has a *place*: the stack from the backbone up to and including it. A place
says all that a part's weights depend on within the expression, so it is what a module is known by, and
two expressions that share a place share its module. In ``mnli > mean(qqp, (squad_v1 > pawsx)) > xnli``

    mnli                                    is at   mnli
    qqp                                     is at   mnli > qqp
    squad_v1                                is at   mnli > squad_v1
    pawsx                                   is at   mnli > squad_v1 > pawsx
    mean(qqp, (squad_v1 > pawsx))           is at   mnli > mean(qqp, (squad_v1 > pawsx))

and ``xnli`` at the whole: operands stand on what lies below their combination. What is trained in a
drop is trained whole: in ``drop(mnli, 0-5) > xnli``, mnli is at ``mnli``, and xnli is trained on, and
evaluated on, what the drop has left of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from xadapt.stacks.methods import Method, layer_range, layers_left
from xadapt.stacks.stack import Combined, Dropped, Part, Stack, is_fuse, trains, undropped


@dataclass(frozen=True)
class Branch:
    """One operand of a combination: its weight, and its parts from the lowest up."""

    weight: float
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Node:
    """One part as it is mounted.

    Attributes:
        part: a term, a combination or a drop.
        place: the stack up to and including it.
        module: the place whose training gives this part's weights. For a term and a joint that is its
            own. For a fuse it is the place above it, whose module holds the fusion's weights; None
            where nothing is above it yet. None for merges and drops: they have no weights.
        branches: the operands of a merge or a fuse; of a drop the one part within. None for the
            tasks of a joint: they are data, not modules.
    """

    part: Part
    place: Stack
    module: Stack | None
    branches: tuple[Branch, ...] = ()


@dataclass(frozen=True)
class Need:
    """One module that must be trained.

    Attributes:
        stack: its place; on top is the Term, or the joint, that it is trained on.
        below: what it is trained on top of, mounted and frozen; None for the bare backbone.
        dropped: the layers that a drop takes from a fuse directly below. The fuse's weights are part of
            this module, and would be trained without them.
        shown: the place as the user wrote it, without the methods that were filled in.
    """

    stack: Stack
    below: Stack | None
    dropped: range
    shown: Stack


def nodes(stack: Stack) -> tuple[Node, ...]:
    """The parts of ``stack`` with their places, lowest first: what ``mount`` has to put up."""
    return _nodes(stack, 0)


def operands(place: Stack) -> tuple[tuple[float, Stack], ...]:
    """What the merge or the fuse on top of ``place`` combines: weights, and stacks from the backbone up."""
    part = place.top
    assert isinstance(part, Combined)
    return tuple((o.weight, Stack((*place.parts[:-1], *o.stack.parts))) for o in part.operands)


def needs(stack: Stack, default: Method | None = None) -> tuple[Need, ...]:
    """Everything that must be trained to mount ``stack``, each once, in an order that works.

    A target without training data (tatoeba) is in it like any other term; whoever knows the
    catalogue leaves it out. The order is that of the text, so what a module stands on comes before it.

    Args:
        default: the method of modules that name none, as in ``Stack.with_method``; None leaves them
            without one.

    Raises:
        UserError: ``default`` cannot stand on, below or beside a method that is named.
    """
    filled = stack if default is None else stack.with_method(default)
    found: dict[Stack, Need] = {}
    for place, shown in zip(_trained(nodes(filled)), _trained(nodes(stack)), strict=True):
        if place not in found:
            found[place] = Need(place, place.below, _dropped_below(place), shown)
    return tuple(found.values())


def acting_layers(node: Node, layers: int) -> set[int]:
    """Where a part acts on a backbone of so many layers, from 0: a merge or a fuse where any operand does.

    Raises:
        UserError: layers that the backbone does not have; a drop that leaves nothing.
    """
    if isinstance(node.part, Dropped):
        whole = acting_layers(node.branches[0].nodes[0], layers)
        return layers_left(whole, str(node.part), node.part.layers, layers)
    if node.branches:
        return {n for branch in node.branches for one in branch.nodes for n in acting_layers(one, layers)}
    method = undropped(node.part).method
    return set() if method is None else set(layer_range(method.layers, layers))


def _nodes(stack: Stack, first: int) -> tuple[Node, ...]:
    """Those of the parts from number ``first`` on."""
    places = stack.lower[first:]
    above = [*(place.top for place in places[1:]), None]
    return tuple(_node(place, part) for place, part in zip(places, above, strict=True))


def _node(place: Stack, above: Part | None) -> Node:
    under, part = place.parts[:-1], place.top
    if isinstance(part, Dropped):
        within = _node(Stack((*under, part.part)), None)
        if above is not None and is_fuse(part.part):  # trained as it stands here, with layers dropped
            within = replace(within, module=_module_above(place, above))
        return Node(part, place, None, (Branch(1.0, (within,)),))
    if trains(part):
        return Node(part, place, place)
    branches = tuple(Branch(weight, _nodes(operand, len(under))) for weight, operand in operands(place))
    module = _module_above(place, above) if above is not None and is_fuse(part) else None
    return Node(part, place, module, branches)


def _module_above(place: Stack, above: Part) -> Stack:
    """The module above a fuse, which keeps the fusion's weights; it was trained whole."""
    return Stack((*place.parts, undropped(above)))


def _trained(found: Sequence[Node]) -> Iterator[Stack]:
    """The places of all modules, operands before what stands on their combination."""
    for node in found:
        for branch in node.branches:
            yield from _trained(branch.nodes)
        if node.module == node.place:
            yield node.place


def _dropped_below(place: Stack) -> range:
    """The layers that a drop takes from the fuse directly below the top of ``place``; most often none."""
    under = place.parts[-2] if len(place) > 1 else None
    return under.layers if isinstance(under, Dropped) and is_fuse(under.part) else range(0)
