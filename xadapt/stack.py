"""Stack expressions: what is trained on what, as text.

    stack  = term { ">" term }                      lowest module first, the target last
    term   = TASK [ "[" SIZE "]" ] [ "@" method ]
    method = NAME [ "(" option { "," option } ")" ]     see xadapt.methods

A new form of combination is one more branch in ``_Parser.part``, and a class beside ``Term``
that prints itself; ``NOT_YET`` holds the words that are kept free for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from xadapt.errors import UserError, nearest
from xadapt.methods import METHODS, Full, Method, read_method
from xadapt.syntax import Token, Tokens, number, pointed

NOT_YET: Final = ("joint", "fuse", "mean", "linear", "ties", "dare_ties", "dare_linear", "svd", "cat", "drop")
_TASK = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST_SIZE = 10**9
_NOW = "for now, use 'a > b > target', sizes as in a[10000] and methods as in a@lora(r=16)"
_SEE_TASKS = "'xadapt tasks' lists the names"


@dataclass(frozen=True)
class Term:
    """One module of a stack: the task it is trained on.

    Attributes:
        task: a name of the catalogue.
        size: train on the first ``size`` shuffled examples; None for all.
        method: where it differs from the experiment's; None for the experiment's.

    Raises:
        UserError: a name that is no name or is a word of the grammar; a size below 1.
    """

    task: str
    size: int | None = None
    method: Method | None = None

    def __post_init__(self) -> None:
        if not _TASK.fullmatch(self.task) or self.task in (*NOT_YET, *METHODS):
            raise UserError(
                f"{self.task!r} cannot be the name of a task",
                expected="letters, digits and _, and no word of the grammar",
            )
        if self.size is not None and not (type(self.size) is int and 1 <= self.size <= _LARGEST_SIZE):
            raise UserError(
                f"{self.task}[{self.size}]: not a number of examples", expected=f"1 to {_LARGEST_SIZE}"
            )

    def __str__(self) -> str:
        size = "" if self.size is None else f"[{self.size}]"
        method = "" if self.method is None else f"@{self.method}"
        return f"{self.task}{size}{method}"


@dataclass(frozen=True)
class Stack:
    """Modules one above the other, the target last. Printed, it is its own canonical text.

    Raises:
        UserError: no terms, or methods that cannot stand on each other.
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        if not self.terms:
            raise UserError("a stack without terms", expected="at least a target, such as xnli")
        if clash := _clash(self.terms):
            index, what, do = clash
            at = sum(len(str(term)) + len(" > ") for term in self.terms[:index])
            raise pointed(str(self), [(at, what)], do=do)

    def __str__(self) -> str:
        return " > ".join(map(str, self.terms))

    def __len__(self) -> int:
        return len(self.terms)

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    @property
    def target(self) -> Term:
        """The uppermost term: what the stack is evaluated on."""
        return self.terms[-1]

    @property
    def below(self) -> Stack | None:
        """The stack that the target stands on; None where it stands on the backbone."""
        return Stack(self.terms[:-1]) if len(self.terms) > 1 else None

    def prefixes(self) -> tuple[Stack, ...]:
        """Every stack on the way up, the whole one last: what must be trained, in order."""
        return tuple(Stack(self.terms[: n + 1]) for n in range(len(self.terms)))

    def with_method(self, default: Method) -> Stack:
        """The stack with ``default`` as the method of each term that names none.

        Raises:
            UserError: ``default`` cannot stand on, or below, a method that is named.
        """
        return Stack(tuple(replace(term, method=term.method or default) for term in self.terms))


def parse(text: str, tasks: Sequence[str] | None = None) -> Stack:
    """The stack that ``text`` says; ``parse(str(stack)) == stack``.

    Args:
        text: an expression such as ``mnli[10k] > xnli``.
        tasks: the names that are tasks; None leaves them unchecked.

    Raises:
        UserError: with a caret under each place that is wrong, and the nearest valid word.
    """
    return _Parser(text, tasks).stack()


class _Parser:
    def __init__(self, text: str, tasks: Sequence[str] | None) -> None:
        self.tokens = Tokens(text)
        self.tasks = tasks
        self.unknown: list[tuple[int, str]] = []

    def stack(self) -> Stack:
        """stack = term { ">" term }"""
        places, terms = [], []
        while True:
            places.append(self.tokens.peek.at)
            terms.append(self.part())
            if not self.tokens.accept(">"):
                break
        if self.tokens.peek.kind != "end":
            raise self.tokens.unexpected("'>' and the next task, or the end")
        if self.unknown:
            raise pointed(self.tokens.text, self.unknown, do=_SEE_TASKS)
        if clash := _clash(terms):  # before Stack finds it, to point into the text as it was typed
            index, what, do = clash
            raise pointed(self.tokens.text, [(places[index], what)], do=do)
        return Stack(tuple(terms))

    def part(self) -> Term:
        """What may stand between two ">"."""
        first = self.tokens.peek
        if first.kind == "name" and first.text in NOT_YET:
            raise self.not_yet(first, f"{first.text}(...)")
        if first.kind == "number" and self.tokens.following.text == "*":
            raise self.not_yet(first, f"a weight such as {first.text}*mnli")
        if first.text == "(":
            raise self.not_yet(first, "grouping with parentheses")
        return self.term()

    def term(self) -> Term:
        """term = TASK [ "[" SIZE "]" ] [ "@" method ]"""
        task = self.task()
        size = self.size(task) if self.tokens.accept("[") else None
        method = read_method(self.tokens) if self.tokens.accept("@") else None
        return Term(task.text, size, method)

    def task(self) -> Token:
        if self.tokens.peek.kind != "name":
            raise self.tokens.unexpected("a task, such as mnli")
        task = self.tokens.take()
        if task.text in METHODS:
            raise pointed(
                self.tokens.text,
                [(task.at, f"{task.text!r} is a method, not a task")],
                "a task, such as mnli",
                f"write the method behind a task, as in mnli@{task.text}",
            )
        opened = self.tokens.peek.text == "("
        words = (*(self.tasks or ()), *(NOT_YET if opened else ()))
        if self.tasks is not None and task.text not in self.tasks:
            close = nearest(task.text.lower(), words)
            self.unknown.append((task.at, f"{task.text!r} is not a task{close}"))
        if opened:
            if self.unknown:
                raise pointed(self.tokens.text, self.unknown, do=_SEE_TASKS)
            raise self.tokens.unexpected(
                f"{task.text}[10000] for a size, {task.text}@lora(r=16) for a method"
            )
        return task

    def size(self, task: Token) -> int:
        token = self.tokens.peek
        if token.kind == "name":
            raise self.not_yet(token, f"languages of a task, {task.text}[{token.text}]")
        if token.kind != "number":
            raise self.tokens.unexpected("a number of examples, such as 10000 or 10k")
        value = number(self.tokens.take())
        if not isinstance(value, int) or not 1 <= value <= _LARGEST_SIZE:
            raise pointed(
                self.tokens.text,
                [(token.at, f"{token.text!r} is not a number of examples")],
                f"a whole number from 1 to {_LARGEST_SIZE}, such as 10000 or 10k",
            )
        self.tokens.expect("]", "after the number of examples")
        return value

    def not_yet(self, token: Token, form: str) -> UserError:
        what = f"{form} is part of the grammar, but not built yet in this version"
        return pointed(self.tokens.text, [(token.at, what)], do=_NOW)


def _clash(terms: Sequence[Term]) -> tuple[int, str, str] | None:
    """The first term whose method cannot stand on those below: its index, why, and what to do."""
    below: Method | None = None
    for index, term in enumerate(terms):
        method = term.method
        if below and isinstance(method, Full):
            what = f"{term.task}@full cannot stand on a {below.name} module, which would no longer be frozen"
            return index, what, "put full below, or take one method for all terms"
        if below and method and method.name != below.name:
            what = f"{method.name} on {below.name}: mixed methods in one stack are not supported yet"
            return index, what, "take lora, or bottleneck, for all terms"
        if method and not isinstance(method, Full):
            below = method
    return None
