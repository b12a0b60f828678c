"""What a value that a user gives may be: a test, and the words that say it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xadapt.common.errors import nearest


@dataclass(frozen=True)
class Rule:
    """What a value must be.

    Attributes:
        words: for messages, after "must be".
        holds: whether a value is that; any value may be asked.
    """

    words: str
    holds: Callable[[Any], bool]


def whole_number(low: int, high: int) -> Rule:
    """A whole number from ``low`` to ``high``, both included; ``True`` is none."""
    return Rule(f"a whole number from {low} to {high}", lambda v: type(v) is int and low <= v <= high)


def between(low: float, high: float, what: str = "a number", example: str = "") -> Rule:
    """A number from ``low`` to ``high``, both included; NaN is none."""
    return Rule(
        f"{what} from {low} to {high}{example}", lambda v: type(v) in (int, float) and low <= v <= high
    )


# What an option of a user's own code may be, by the type of its default.
_BY_TYPE: Mapping[type, Rule] = {
    int: Rule("a whole number", lambda v: type(v) is int),
    float: Rule("a number", lambda v: type(v) in (int, float) and math.isfinite(v)),
    str: Rule("a word", lambda v: isinstance(v, str)),
}


def options_behind(function: Callable[..., Any], first: int) -> dict[str, tuple[Any, Rule]]:
    """Of each parameter of a function behind its ``first``: its default, and what it may be.

    Raises:
        TypeError: it is no function, has fewer, or a default that is neither a number nor a word.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < first or any(type(one.default) not in _BY_TYPE for one in parameters[first:]):
        raise TypeError("not of that form")
    return {one.name: (one.default, _BY_TYPE[type(one.default)]) for one in parameters[first:]}


def option_problem(word: str, rules: Mapping[str, Rule], name: str, value: object) -> str | None:
    """Why ``name=value`` is no option of ``word``; None where it is one."""
    if name not in rules:
        return f"{word} has no option {name!r}{nearest(name, tuple(rules))}"
    if value is None or not rules[name].holds(value):
        return f"{name} must be {rules[name].words}"
    return None
