"""What a stack mounts: in plain values, for addresses and records; and built again from these values.

A *description* is what a module's manifest keeps of what it stands on (``below``):

    None                                               the bare backbone
    "3fa9c1..."                                        a module, on all that it stands on
    {"drop": [0, 5], "part": D}                        D without its top's layers 0 to 5
    {"merge": how, "operands": [[weight, D], ...], "options": {...}, "on": D}
                                                       of a user's own also "code": its version
    {"fuse": [D, ...], "on": D}                        its weights are in the module above it
    {"lowest": D, "of": D}                             the second, with the first in the place of its lowest
                                                       module: of lang(...), in another language

Operands are described whole, from the backbone up; ``on`` is what they have in common below their
combination. So ``mnli > cat(qqp, anli)``, which adds mnli once, is told from
``cat((mnli > qqp), (mnli > anli))``, which adds it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from xadapt.common.errors import UserError
from xadapt.common.own import is_own, version_of
from xadapt.mount import Dropped as MountedDrop
from xadapt.mount import Element, Fused, Merged, Part, split_fusion
from xadapt.stacks.methods import parse_method
from xadapt.stacks.places import operands
from xadapt.stacks.stack import Combined, Dropped, Stack, is_fuse, trains
from xadapt.store.store import Saved

# What descriptions of earlier versions call an option.
_FORMER = {"majority": "majority_sign_method"}


def description(stack: Stack | None, addresses: Mapping[Stack, str], seed: int) -> Any:
    """What identifies a mounted stack.

    Args:
        addresses: of every module in the stack, by its place.
        seed: of the study: merges that drop values at random are drawn from it.
    """
    if stack is None:
        return None
    part = stack.top
    if isinstance(part, Dropped):
        whole = Stack((*stack.parts[:-1], part.part))
        return {"drop": [part.first, part.last], "part": description(whole, addresses, seed)}
    if trains(part):
        return addresses[stack]
    assert isinstance(part, Combined)
    tops = [[weight, description(operand, addresses, seed)] for weight, operand in operands(stack)]
    below = description(stack.below, addresses, seed)
    if is_fuse(part):
        return {"fuse": [top for _, top in tops], "on": below}
    code = {"code": version_of(part.how)} if is_own(part.how) else {}
    return {"merge": part.how, "operands": tops, "options": _options(part, seed), "on": below} | code


def elements(described: Any, load: Callable[[str], Saved]) -> list[Element]:
    """A description as ``mount`` takes it, lowest element first.

    Labels are the modules' expressions. A fuse on top, that nothing stands on yet, is still to be trained.

    Args:
        load: a module by its address.

    Raises:
        UserError: operands that are stacks of bottlenecks, which have no form to be combined in;
            whatever ``load`` raises.
    """
    return _elements(described, load, None)


def _elements(
    described: Any, load: Callable[[str], Saved], fusion: Mapping[str, Tensor] | None
) -> list[Element]:
    """``fusion``: weights of a fuse on top, which the module above it has kept."""
    chain: list[Element] = []
    while isinstance(described, str):
        saved = load(described)
        fusion, own = split_fusion(saved.weights)
        _check_code(saved.manifest)
        label, method = str(saved.manifest["expression"]), parse_method(str(saved.manifest["method"]))
        chain.append(Part(label, method, own))
        described = saved.manifest["determinants"].get("below")
    if chain:
        return [*_elements(described, load, fusion), *reversed(chain)]
    if described is None:
        return []
    if "lowest" in described:
        _, *above = _elements(described["of"], load, fusion)
        return [*_elements(described["lowest"], load, None), *above]
    if "drop" in described:
        *under, top = _elements(described["part"], load, fusion)
        return [*under, MountedDrop(top, *described["drop"])]
    under = _elements(described["on"], load, None)
    if "fuse" in described:
        parts = [_operand(_elements(d, load, None)[len(under) :]) for d in described["fuse"]]
        return [*under, Fused(f"fuse({_listed(parts)})", tuple(parts), fusion)]
    how = described["merge"]
    if is_own(how) and (now := version_of(how)) != described["code"]:
        raise UserError(
            f"what is merged was merged with other code: {described['code']}",
            expected=f"what is here: {now}",
            do="bring that code back, or train what stands on it again",
        )
    operands = [(w, _operand(_elements(d, load, None)[len(under) :])) for w, d in described["operands"]]
    label = f"{how}({_listed([e for _, e in operands])})"
    options = {_FORMER.get(name, name): value for name, value in described["options"].items()}
    seed = options.pop("seed", 0)
    return [*under, Merged(label, how, tuple(operands), options, seed)]


def _check_code(manifest: Mapping[str, Any]) -> None:
    """Refuse a module whose method is a user's own and now other code: a UserError."""
    then = manifest["determinants"].get("code")
    name = str(manifest["method"]).partition("(")[0]
    if then is not None and (now := version_of(name)) != then:
        raise UserError(
            f"'{manifest['expression']}' was trained with other code of its method: {then}",
            expected=f"what is here: {now}",
            do="bring that code back, or train it again",
        )


def _operand(found: list[Element]) -> Element:
    """One operand as one element: what stands on one another adds up. Bottlenecks do not; ``Merged`` refuses
    a stack of them, as the parser has before."""
    if len(found) == 1:
        return found[0]
    return Merged(found[-1].label, "cat", tuple((1.0, element) for element in found))


def _listed(found: list[Element]) -> str:
    return ", ".join(element.label for element in found)


def _options(part: Combined, seed: int) -> dict[str, Any]:
    """The options of a merge, and what it draws from; what the merge is to work out is left out."""
    options: dict[str, Any] = {name: value for name, value in part.settings.items() if value is not None}
    return options | ({"seed": seed} if part.how.startswith("dare") or is_own(part.how) else {})
