"""Stack expressions: what is trained on what, as text.

    stack   = part { ">" part }                         lowest module first, the target last
    part    = TASK [ "[" SELECT "]" ] [ "@" method ]
            | COMBINE "(" operand { "," operand } { "," OPTION "=" VALUE } ")" [ "@" method ]
            | "drop" "(" part "," LAYER [ "-" LAYER ] ")"
            | "lang" "(" TASK [ "[" SELECT "]" ] [ "@" method ] [ "," ( "mean" | "none" ) ] ")"
    operand = [ [ "-" ] NUMBER "*" ] ( part | "(" stack ")" )
    SELECT  = SIZE | LANGS | SIZE "," LANGS             LANGS = LANG { "+" LANG }
    method  = NAME [ "(" option { "," option } ")" ]    see xadapt.stacks.methods
    COMBINE = joint fuse mean linear cat svd ties dare_ties dare_linear     see xadapt.stacks.combinations
            | MODULE.NAME                               a merge of one's own

What the words mean, and what cannot stand where, is decided by ``xadapt.stacks.stack``; the parser asks the
same questions before, to put a caret under the place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from xadapt.common.errors import UserError, nearest
from xadapt.common.own import is_own
from xadapt.stacks.combinations import (
    KEYWORDS,
    MERGES,
    Value,
    combination,
    method_problem,
    option_names,
    value_problem,
    weight_problem,
)
from xadapt.stacks.methods import METHODS, Method, read_method
from xadapt.stacks.stack import (
    LAST_LAYER,
    Combined,
    Dropped,
    Operand,
    Part,
    Stack,
    drop_problem,
    is_fuse,
    operand_problems,
    stack_problem,
    undropped,
)
from xadapt.stacks.term import LANGUAGE, LARGEST_SIZE, MISSING, Term, exchange_problem
from xadapt.stacks.tokens import Token, Tokens, number, pointed, read_option

__all__ = ["KEYWORDS", "Combined", "Dropped", "Operand", "Part", "Stack", "Term", "parse"]

_DEEPEST: Final = 12  # parentheses within parentheses
_SEE_TASKS = "'xadapt tasks' lists the names"
_EXAMPLES = {
    "joint": "joint(mnli, squad_v1)",
    "fuse": "fuse(mnli, squad_v1)",
    "drop": "drop(mnli, 0-5)",
    "lang": "lang(mlm)",
} | {how: f"{how}(0.7*mnli, 0.3*squad_v1)" for how in MERGES}


def _example(how: str) -> str:
    return _EXAMPLES.get(how, f"{how}(mnli, squad_v1)")


def parse(
    text: str,
    tasks: Sequence[str] | None = None,
    *,
    untrained: Collection[str] = (),
    languages: Collection[str] | None = None,
    open_top: bool = False,
) -> Stack:
    """The stack that ``text`` says; ``parse(str(stack)) == stack``.

    Args:
        text: an expression such as ``mnli[10k] > xnli``.
        tasks: the names that are tasks; None leaves them unchecked.
        untrained: those of them that have no training data, which can only be targets.
        languages: the codes that are languages; None leaves them unchecked.
        open_top: whether anything may be on top, such as ``mean(mnli, qqp)``: what can be mounted
            though not evaluated. Otherwise a single task must be, with or without a drop.

    Raises:
        UserError: with a caret under each place that is wrong, and the nearest valid word.
    """
    return _Parser(text, tasks, untrained, languages).whole(open_top)


class _Parser:
    """One reading of one text; every method takes what it is named after from ``tokens``."""

    def __init__(
        self,
        text: str,
        tasks: Sequence[str] | None,
        untrained: Collection[str],
        languages: Collection[str] | None,
    ) -> None:
        self.tokens = Tokens(text)
        self.tasks, self.untrained, self.languages = tasks, untrained, languages
        self.unknown: list[tuple[int, str]] = []
        self.cannot_train: list[Token] = []  # tasks that cannot train, wherever they stand
        self.depth = 0

    def whole(self, open_top: bool) -> Stack:
        """The whole text: a stack and nothing behind it."""
        places, parts = self.parts()
        if self.tokens.peek.kind != "end":
            raise self.tokens.unexpected("'>' and the next part, or the end")
        if self.unknown:
            raise self.wrong(*self.unknown, do=_SEE_TASKS)
        stack = self.stacked(places, parts)
        self.check_untrained(places[-1], stack)
        top = undropped(stack.top)
        if not open_top and (not isinstance(top, Term) or top.missing is not None):
            is_on_top = "a combination" if isinstance(top, Combined) else "a language module"
            what = f"what is evaluated must be a single task, and {is_on_top} is on top"
            raise self.wrong((places[-1], what), do="put the target task last, as in mean(mnli, qqp) > xnli")
        return stack

    def parts(self) -> tuple[list[int], list[Part]]:
        """part { ">" part }, and where each begins"""
        places, parts = [], []
        while True:
            places.append(self.tokens.peek.at)
            parts.append(self.part())
            if not self.tokens.accept(">"):
                return places, parts

    def stacked(self, places: Sequence[int], parts: Sequence[Part]) -> Stack:
        """The parts as a stack; asked before Stack asks, to point into the text as it was typed."""
        if problem := stack_problem(parts):
            raise self.wrong((places[problem.at], problem.what), do=problem.do)
        return Stack(parts)

    def part(self) -> Part:
        """What may stand between two ">"."""
        first = self.tokens.peek
        own = is_own(first.text) and self.tokens.following.text == "("
        if first.kind == "name" and (own or first.text in KEYWORDS):
            self.tokens.take()
            if self.tokens.peek.text != "(":
                what = f"{first.text!r} is a word of the grammar, not a task"
                raise self.wrong((first.at, what), expected=_EXAMPLES[first.text])
            if own:
                self.check_own(first)
            self.open(first)
            special: dict[str, Callable[[], Part]] = {"drop": self.dropped, "lang": self.exchanged}
            part = special[first.text]() if first.text in special else self.combined(first)
            self.depth -= 1
            return part
        if first.kind == "number" or first.text == "-":
            what = f"{first.text!r} does not belong here: only a merge has weights"
            raise self.wrong((first.at, what), expected="a task", do=f"write {_EXAMPLES['mean']}")
        if first.text == "(":
            do = "write a > b without them, or combine stacks, as in fuse((mnli > qqp), squad_v1)"
            raise self.wrong((first.at, "parentheses group a stack only within a combination"), do=do)
        return self.term()

    def open(self, first: Token) -> None:
        """Take "(", no deeper than people write and Python recurses."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.wrong((first.at, f"more than {_DEEPEST} parentheses within each other"))
        self.tokens.expect("(", f"after {first.text!r}")

    def check_own(self, how: Token) -> None:
        """A merge of a user's own must be there."""
        try:
            combination(how.text)
        except UserError as error:
            raise self.wrong((how.at, error.got), expected=error.expected, do=error.do) from error

    # -- terms ----------------------------------------------------------------------------------

    def term(self) -> Term:
        """TASK [ "[" SELECT "]" ] [ "@" method ]"""
        task = self.task()
        size, languages = self.select(task) if self.tokens.accept("[") else (None, ())
        return Term(task.text, size, self.method(), languages)

    def method(self) -> Method | None:
        """[ "@" method ]"""
        return read_method(self.tokens) if self.tokens.accept("@") else None

    def task(self) -> Token:
        """TASK; a name that is no task is noted, and refused when the whole text is read."""
        if self.tokens.peek.kind != "name":
            raise self.tokens.unexpected("a task, such as mnli")
        task = self.tokens.take()
        if task.text in METHODS:
            do = f"write the method behind a task, as in mnli@{task.text}"
            what = f"{task.text!r} is a method, not a task"
            raise self.wrong((task.at, what), expected="a task, such as mnli", do=do)
        opened = self.tokens.peek.text == "("
        if self.tasks is not None and task.text not in self.tasks:
            close = nearest(task.text.lower(), (*self.tasks, *(KEYWORDS if opened else ())))
            self.unknown.append((task.at, f"{task.text!r} is not a task{close}"))
        if opened:
            if self.unknown:
                raise self.wrong(*self.unknown, do=_SEE_TASKS)
            if close := nearest(task.text.lower(), KEYWORDS):
                raise self.wrong((task.at, f"{task.text!r} combines nothing{close}"))
            raise self.tokens.unexpected(
                f"{task.text}[10000] for a size, {task.text}@lora(r=16) for a method"
            )
        if task.text in self.untrained:
            self.cannot_train.append(task)
        return task

    def select(self, task: Token) -> tuple[int | None, tuple[str, ...]]:
        """SIZE | LANGS | SIZE "," LANGS, and the "]" behind it"""
        size = None
        if self.tokens.peek.kind != "name":
            size = self.size(task)
            if self.tokens.accept("]"):
                return size, ()
            self.tokens.expect(",", "and languages, or ']', after the number of examples")
        languages: list[str] = []
        while True:
            languages.append(self.language(languages))
            if self.tokens.accept("]"):
                return size, tuple(languages)
            if self.tokens.peek.text == ",":
                do = f"write the number of examples first, as in {task.text}[10k, {'+'.join(languages)}]"
                raise self.tokens.unexpected("'+' and the next language, or ']'", do)
            self.tokens.expect("+", "and the next language, or ']', after a language")

    def size(self, task: Token) -> int:
        """SIZE: a number of examples."""
        token = self.tokens.peek
        if token.kind != "number":
            expected = f"a number of examples or languages, as in {task.text}[10k] and {task.text}[de+ru]"
            raise self.tokens.unexpected(expected)
        value = number(self.tokens.take())
        if not isinstance(value, int) or not 1 <= value <= LARGEST_SIZE:
            expected = f"a whole number from 1 to {LARGEST_SIZE}, such as 10000 or 10k"
            raise self.wrong((token.at, f"{token.text!r} is not a number of examples"), expected=expected)
        return value

    def language(self, before: Sequence[str]) -> str:
        """LANG, which must not be among those ``before``."""
        token = self.tokens.peek
        if token.kind != "name":
            raise self.tokens.unexpected("a language, such as de")
        code = self.tokens.take().text
        while self.tokens.accept("-"):  # as in zh-Hant or es-419
            if self.tokens.peek.kind not in ("name", "number"):
                raise self.tokens.unexpected("the rest of a language's code, as in zh-Hant")
            code += f"-{self.tokens.take().text}"
        if code in before:
            raise self.wrong((token.at, f"{code!r} is given twice"))
        known = code in self.languages if self.languages is not None else LANGUAGE.fullmatch(code)
        if not known:
            close = nearest(code.lower(), tuple(self.languages or ()))
            expected = f"one of {' '.join(self.languages)}" if self.languages else "a code such as de"
            raise self.wrong((token.at, f"{code!r} is not a language{close}"), expected=expected)
        return code

    # -- combinations ---------------------------------------------------------------------------

    def combined(self, how: Token) -> Combined:
        """operand { "," operand } { "," OPTION "=" VALUE } ")" [ "@" method ]"""
        if self.tokens.peek.text == ")":
            raise self.tokens.unexpected(f"what to combine, as in {_example(how.text)}")
        operands: list[Operand] = []
        places: list[int] = []
        options: tuple[tuple[str, Value], ...] = ()
        while True:
            if self.tokens.peek.kind == "name" and self.tokens.following.text == "=":
                if not operands:
                    expected = f"what to combine before the options, as in {_example(how.text)}"
                    raise self.tokens.unexpected(expected)
                options = self.options(how)
                break
            places.append(self.tokens.peek.at)
            operands.append(self.operand(how))
            if self.tokens.accept(")"):
                break
            self.tokens.expect(",", "and the next operand, or ')' after the last")
        at = self.tokens.peek.at
        method = self.method()
        if what := method_problem(how.text, method):
            raise self.wrong((at, what), do=f"as in {how.text}(mnli@{method}, ...)")
        stacks = [o.stack.with_method(method) if how.text == "fuse" and method else o.stack for o in operands]
        if problems := operand_problems(how.text, stacks):
            do = next((p.do for p in problems if p.do), None)
            raise self.wrong(*((places[p.at], p.what) for p in problems), do=do)
        return Combined(how.text, tuple(operands), options, method)

    def operand(self, how: Token) -> Operand:
        """[ [ "-" ] NUMBER "*" ] ( part | "(" stack ")" )"""
        first = self.tokens.peek
        weight = self.weight(how) if first.kind == "number" or first.text == "-" else 1.0
        group = self.tokens.peek
        if group.text != "(":
            return Operand(Stack((self.part(),)), weight)
        self.open(how)
        places, parts = self.parts()
        self.tokens.expect(")", "after the stack")
        self.depth -= 1
        return Operand(self.stacked(places, parts), weight)

    def weight(self, how: Token) -> float:
        """[ "-" ] NUMBER "*" """
        first = self.tokens.peek
        sign = -1 if self.tokens.accept("-") else 1
        if self.tokens.peek.kind != "number":
            raise self.tokens.unexpected("a weight, such as 0.7*mnli")
        size = number(self.tokens.take())
        self.tokens.expect("*", "after a weight, as in 0.7*mnli")
        if what := weight_problem(how.text, None if size is None else sign * size):
            do = "leave the weight out" if how.text in ("joint", "fuse") else None
            raise self.wrong((first.at, what), do=do)
        assert size is not None
        return float(sign * size)

    def options(self, how: Token) -> tuple[tuple[str, Value], ...]:
        """OPTION "=" VALUE { "," OPTION "=" VALUE } ")"; all that is wrong is named."""
        values: dict[str, Value] = {}
        problems: list[tuple[int, str]] = []
        while True:
            name, value = read_option(self.tokens, "density=0.2")
            if name.text in values:
                problems.append((name.at, f"{name.text!r} is given twice"))
            elif what := value_problem(how.text, name.text, value):
                problems.append((name.at, what))
            values.setdefault(name.text, 0 if value is None else value)
            if self.tokens.accept(")"):
                break
            self.tokens.expect(",", "between options, or ')' after the last")
        if problems:
            raise self.wrong(*problems, expected=option_names(how.text))
        return tuple(values.items())

    def dropped(self) -> Dropped:
        """part "," LAYER [ "-" LAYER ] ")" """
        at = self.tokens.peek.at
        if self.tokens.peek.text == "(":
            what = "drop takes one part, not a stack"
            raise self.wrong((at, what), do="drop layers of each, as in drop(mnli, 0-5) > drop(qqp, 0-5)")
        part = self.part()
        if isinstance(part, Dropped) or drop_problem(part):
            raise self.wrong((at, drop_problem(part) or ""))
        self.tokens.expect(",", "and the layers to drop, as in drop(mnli, 0-5)")
        at = self.tokens.peek.at
        first = self.layer()
        last = self.layer() if self.tokens.accept("-") else first
        if last < first:
            raise self.wrong((at, "the layers are in the wrong order"), expected=f"{last}-{first}")
        self.tokens.expect(")", "after the layers")
        return Dropped(part, first, last)

    def exchanged(self) -> Term:
        """TASK [ "[" SELECT "]" ] [ "@" method ] [ "," ( "mean" | "none" ) ] ")" """
        at = self.tokens.peek.at
        term = self.term()
        if what := exchange_problem(term):
            raise self.wrong((at, what), do="write one language, and a @lora or @bottleneck module")
        missing, *words = MISSING
        if self.tokens.accept(","):
            found = [word for word in words if word == self.tokens.peek.text]
            if not found:
                raise self.tokens.unexpected(f"{' or '.join(words)}, for languages without a module")
            self.tokens.take()
            missing = found[0]
        self.tokens.expect(")", "after the language module, as in lang(mlm)")
        return replace(term, missing=missing)

    def layer(self) -> int:
        """LAYER, counted from 0."""
        token = self.tokens.peek
        if token.kind != "number":
            raise self.tokens.unexpected("a layer, counted from 0, as in drop(mnli, 0-5)")
        value = number(self.tokens.take())
        if not isinstance(value, int) or value > LAST_LAYER:
            raise self.wrong((token.at, f"{token.text!r} is not a layer"), expected="layers such as 0-5")
        return value

    # -- what the catalogue forbids -------------------------------------------------------------

    def check_untrained(self, top_at: int, stack: Stack) -> None:
        """A task that cannot train may only be the target, as it is, and not what a fuse needs."""
        for task in self.cannot_train:
            if task.at != top_at:
                what = f"{task.text} has no training data, so nothing can be made of it or stand on it"
                raise self.wrong((task.at, what), do=f"put {task.text} last, by itself")
            if stack.top != Term(task.text):
                what = f"{task.text} has no training data, so it has no module to choose data or a method for"
                raise self.wrong((task.at, what), do=f"write {task.text} alone")
            if len(stack) > 1 and is_fuse(undropped(stack.parts[-2])):
                what = f"{task.text} has no training data, and fuse learns its weights with the part above it"
                do = f"put a task that trains between them, as in fuse(mnli, qqp) > mnli > {task.text}"
                raise self.wrong((task.at, what), do=do)

    def wrong(
        self, *problems: tuple[int, str], expected: str | None = None, do: str | None = None
    ) -> UserError:
        """The error that points at each problem, a place in the text and what is wrong there."""
        return pointed(self.tokens.text, sorted(problems), expected, do)
