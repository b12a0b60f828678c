"""What a stack mounts, in plain values: for addresses and records; ``mount.mount_spec`` builds it again.

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

from collections.abc import Mapping
from typing import Any

from xadapt.common.own import is_own, version_of
from xadapt.stacks.places import operands
from xadapt.stacks.stack import Combined, Dropped, Stack, is_fuse, trains


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


def _options(part: Combined, seed: int) -> dict[str, Any]:
    """The options of a merge, and what it draws from; what the merge is to work out is left out."""
    options: dict[str, Any] = {name: value for name, value in part.settings.items() if value is not None}
    return options | ({"seed": seed} if part.how.startswith("dare") or is_own(part.how) else {})
