"""Scores chosen by what they are of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from xadapt.common.errors import UserError, nearest
from xadapt.stacks.parser import parse

T = TypeVar("T")
Wanted = str | int | Collection[str] | Collection[int] | None


def chosen(items: Iterable[T], cell_of: Callable[[T], Any], **wanted: Wanted) -> list[T]:
    """The items whose cell has one of the wanted values of each named field; None wants all.

    Raises:
        UserError: no cell has such a value, or none has all of them at once.
    """
    left = every = list(items)
    asked = {field: _values(field, values) for field, values in wanted.items() if values is not None}
    for field, values in asked.items():
        known = sorted({_value(cell_of(item), field) for item in every}, key=str)
        for value in values:
            if value not in known:
                raise UserError(
                    f"no score with {field} {value!r}{nearest(str(value), list(map(str, known)))}",
                    expected=f"one of {listed(known)}" if known else None,
                )
        left = [item for item in left if _value(cell_of(item), field) in values]
    if every and not left:
        all_of_it = ", ".join(f"{field} {listed(values)}" for field, values in asked.items())
        raise UserError(f"no score has all of this at once: {all_of_it}", do="leave something out")
    return left


@lru_cache(maxsize=10_000)
def as_written(expr: str) -> str:
    """An expression in the one form that stacks print; what is none, as it is."""
    try:
        return str(parse(expr))
    except UserError:
        return expr.strip()


def listed(values: Iterable[object], most: int = 8) -> str:
    """``a, b, c``; of many the first, and how many more."""
    found = list(dict.fromkeys(map(str, values)))
    more = len(found) - most
    return ", ".join(found) if more <= 1 else f"{', '.join(found[:most])} and {more} more"


def _value(cell: Any, field: str) -> Any:
    value = getattr(cell, field)
    return as_written(value) if field == "expr" else value


def _values(field: str, wanted: str | int | Collection[str] | Collection[int]) -> Sequence[Any]:
    values = [wanted] if isinstance(wanted, str | int) else list(wanted)
    if not values:
        raise UserError(f"{field} names nothing", expected="one value or several; None for all")
    return [as_written(one) if field == "expr" and isinstance(one, str) else one for one in values]
