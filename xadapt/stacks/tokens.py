"""Tokens of an expression, and errors that point at the place.

Shared by the grammars of methods and of stacks, so that ``lora(rank=8)`` is explained
the same way on its own and inside ``mnli@lora(rank=8) > xnli``, and so is ``ties(mnli, densty=1)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from xadapt.common.errors import UserError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")  # with a dot: a user's own code
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?[kKmM]?(?![A-Za-z0-9_.])")
_SIGNS = ">[]()@=,*+-"
_THOUSANDS = {"k": 1_000, "m": 1_000_000}
_LONGEST_NUMBER = 24  # Python refuses to read integers of thousands of digits; nobody means them
_SHOWN_BEFORE, _SHOWN_AFTER, _SHOWN_APART = 60, 40, 240  # how much of a very long expression an error shows


@dataclass(frozen=True)
class Token:
    """A word of an expression and where it begins."""

    kind: Literal["name", "number", "sign", "end"]
    text: str
    at: int


class Tokens:
    """A cursor over the tokens of ``text``.

    Raises:
        UserError: ``text`` has a character that no expression has.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = list(_tokenize(text))
        self._next = 0

    @property
    def peek(self) -> Token:
        """The next token, which stays the next."""
        return self._tokens[self._next]

    @property
    def following(self) -> Token:
        """The token after the next."""
        return self._tokens[min(self._next + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The next token; the end is never passed."""
        token = self.peek
        if token.kind != "end":
            self._next += 1
        return token

    def accept(self, sign: str) -> bool:
        """Take ``sign`` if it is next."""
        if found := (self.peek.kind == "sign" and self.peek.text == sign):
            self.take()
        return found

    def expect(self, sign: str, meaning: str) -> None:
        """Take ``sign``, or raise a UserError that says what it would have meant."""
        if not self.accept(sign):
            raise self.unexpected(f"{sign!r} {meaning}")

    def unexpected(self, expected: str, do: str | None = None) -> UserError:
        """The error for a token that does not belong where it stands."""
        if self.peek.kind == "end":
            what = "the expression ends too early" if self.text.strip() else "an empty expression"
        else:
            what = f"{self.peek.text!r} does not belong here"
        return pointed(self.text, [(self.peek.at, what)], expected, do)


def read_option(tokens: Tokens, example: str) -> tuple[Token, int | float | str | None]:
    """Take ``name=value`` from ``tokens``: the name, and what the value means.

    Raises:
        UserError: something else stands there; ``example`` is shown as what was expected.
    """
    if tokens.peek.kind != "name":
        raise tokens.unexpected(f"an option such as {example}, or ')'")
    name = tokens.take()
    tokens.expect("=", f"and a value after {name.text!r}")
    if tokens.peek.kind not in ("name", "number"):
        raise tokens.unexpected(f"a value for {name.text!r}")
    value = tokens.take()
    return name, value.text if value.kind == "name" else number(value)


def number(token: Token) -> int | float | None:
    """What a number token means (``10k`` is 10000), or None where it is absurdly long."""
    text = token.text
    if len(text) > _LONGEST_NUMBER:
        return None
    times = _THOUSANDS.get(text[-1].lower(), 1)
    digits = text[:-1] if times > 1 else text
    if digits.isdigit():
        return int(digits) * times
    value = float(digits) * times
    return int(value) if times > 1 and value.is_integer() else value


def pointed(
    text: str, problems: Sequence[tuple[int, str]], expected: str | None = None, do: str | None = None
) -> UserError:
    """A UserError with ``text`` and a caret under each place that has a problem.

    Args:
        text: the expression, as it was typed.
        problems: where and what, in reading order; at least one.
    """
    start = max(0, problems[0][0] - _SHOWN_BEFORE)
    places = [at for at, _ in problems if at - start <= _SHOWN_APART]
    end = max(places) + _SHOWN_AFTER
    shown = [c if c.isprintable() else " " for c in text[start:end]]
    under = [" "] * (len(shown) + 1)  # no wide characters: the first is where reading ends
    for at in places:
        under[at - start] = "^"
    message = "; ".join(dict.fromkeys(what for _, what in problems))
    message += "" if message.endswith("?") else ":"
    return UserError(f"{message}\n{''.join(shown)}\n{''.join(under).rstrip()}", expected=expected, do=do)


def _tokenize(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            at += 1
            continue
        if char in _SIGNS:
            token = Token("sign", char, at)
        elif match := _NAME.match(text, at):
            token = Token("name", match.group(), at)
        elif match := _NUMBER.match(text, at):
            token = Token("number", match.group(), at)
        elif char in "0123456789":
            raise pointed(text, [(at, "this is not a number")], "a number such as 8, 0.1 or 10k")
        else:
            what = f"{char!a} is not a sign of expressions"
            raise pointed(text, [(at, what)], "names, numbers and > [ ] ( ) @ = , * + -")
        yield token
        at += len(token.text)
    yield Token("end", "", len(text))


@dataclass(frozen=True)
class Problem:
    """Something that cannot stand as it does: its place among its siblings, why, what to do."""

    at: int
    what: str
    do: str | None = None
