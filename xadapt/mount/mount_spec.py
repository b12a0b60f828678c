"""What a stack mounts, built again from its description (``xadapt.stacks.description``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from xadapt.common.errors import UserError
from xadapt.common.own import is_own, version_of
from xadapt.mount import Dropped as MountedDrop
from xadapt.mount import Element, Fused, Merged, Part, split_fusion
from xadapt.stacks.methods import parse_method
from xadapt.store.store import Saved

# What descriptions of earlier versions call an option.
_FORMER = {"majority": "majority_sign_method"}


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
