"""Expressions with places to fill in: ``mnli[{size}] > {target}``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xadapt.common.errors import UserError, nearest
from xadapt.stacks.stack import Stack

PLACES = ("target", "size")
Size = int | str | None  # so many examples; None or "all" for all of them

_PLACE = re.compile(r"\{([^{}]*)\}")
# "[{size}]" and "[{size}, de+ru]": without a size, the first goes whole, of the second the size.
_SIZED = re.compile(r"\[\s*\{size\}\s*\]|\{size\}\s*,\s*")


def expanded(
    expressions: Sequence[str | Stack],
    targets: Sequence[str],
    sizes: Sequence[Size],
    problems: list[UserError],
) -> list[str]:
    """The expressions that templates stand for, each once: template by template, then target by target, then
    size by size. What is wrong is added to ``problems``; expressions themselves are not looked into."""
    texts = [str(e) for e in expressions]
    asked = {place for text in texts for place in _PLACE.findall(text)}
    for text in texts:
        for place in dict.fromkeys(_PLACE.findall(text)):
            if place not in PLACES:
                problems.append(
                    UserError(
                        f"{{{place}}} in {text!r} stands for nothing{nearest(place, PLACES)}",
                        expected=" or ".join(f"{{{known}}}" for known in PLACES),
                    )
                )
    for place, values, example in (
        ("target", targets, "['xnli', 'udpos']"),
        ("size", sizes, "[1000, 'all']"),
    ):
        if place in asked and not values:
            where = next(text for text in texts if place in _PLACE.findall(text))
            problems.append(
                UserError(
                    f"no {place}s for {{{place}}} in {where!r}", expected=f"{place}s, such as {example}"
                )
            )
        if values and place not in asked:
            problems.append(
                UserError(
                    f"{place}s, and no expression with {{{place}}}",
                    expected=f"an expression such as 'mnli{'[{size}]' * (place == 'size')} > {{target}}'",
                    do=f"write {{{place}}} where they belong, or leave them out",
                )
            )
    if problems:
        return []
    found: dict[str, None] = {}
    for text in texts:
        for target in targets if "{target}" in text else [""]:
            for size in sizes if "{size}" in text else [None]:
                found[_canonical(_sized(text.replace("{target}", target), size))] = None
    return list(found)


def _sized(text: str, size: Size) -> str:
    return _SIZED.sub("", text) if size in (None, "all") else text.replace("{size}", str(size))


def _canonical(text: str) -> str:
    """As the stack prints itself; what is no stack stays as it is, for the plan to refuse."""
    try:
        return str(Stack(text))
    except UserError:
        return text
