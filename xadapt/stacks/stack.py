"""What expressions are made of: plain values that check and print themselves.

A ``Stack`` is parts, one above the other. A part is a ``Term`` (a module trained on one task: term.py), a
``Combined`` (several stacks made into one part) or a ``Dropped`` (a part without some of its layers).
All of them are hashable, equal where their meaning is, and their text is canonical.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any, Final, TypeGuard

from xadapt.common.errors import UserError
from xadapt.common.own import is_own
from xadapt.stacks.combinations import (
    Value,
    combination,
    is_merge,
    method_problem,
    nested_problem,
    non_default,
    option_names,
    value_problem,
    weight_problem,
    weight_text,
)
from xadapt.stacks.methods import Bottleneck, Full, Method, inverts
from xadapt.stacks.term import Term
from xadapt.stacks.tokens import Problem, pointed

LAST_LAYER: Final = 999


@dataclass(frozen=True)
class Operand:
    """One of the things that are combined: a stack, mostly of one part, and its weight."""

    stack: Stack
    weight: float = 1.0

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else f"{weight_text(self.weight)}*"
        return f"{weight}({self.stack})" if len(self.stack) > 1 else f"{weight}{self.stack}"


@dataclass(frozen=True)
class Combined:
    """Several stacks made into one part; each stands on what lies below the part.

    Attributes:
        how: ``joint``, ``fuse`` or a merge: a key of ``COMBINATIONS``, or a user's own.
        operands: at least one, none twice. Those of ``joint`` are tasks, one term each.
        options: name and value; kept in canonical order, without those at their default.
        method: of ``joint``: the method of its module. A ``fuse`` hands its method to those of its
            modules that name none and keeps none itself; merges have none.

    Raises:
        UserError: a combination that cannot be; all that is wrong with its operands is named.
    """

    how: str
    operands: tuple[Operand, ...]
    options: tuple[tuple[str, Value], ...] = field(default=())
    method: Method | None = None

    def __post_init__(self) -> None:
        combination(self.how)
        if not self.operands:
            raise UserError(f"{self.how}() of nothing", expected="one or more operands")
        wrong = [what for name, value in self.options if (what := value_problem(self.how, name, value))]
        if len({name for name, _ in self.options}) < len(self.options):
            wrong.append("an option is given twice")
        if wrong:
            raise UserError(f"{'; '.join(wrong)}: in {self}", expected=option_names(self.how))
        object.__setattr__(self, "options", non_default(self.how, dict(self.options)))
        weights = [o.weight for o in self.operands if o.weight != 1 or type(o.weight) is bool]
        wrong = [what for weight in weights if (what := weight_problem(self.how, weight))]
        if method := method_problem(self.how, self.method):
            wrong.append(method)
        if self.how == "fuse" and self.method and not wrong:
            operands = tuple(replace(o, stack=o.stack.with_method(self.method)) for o in self.operands)
            object.__setattr__(self, "operands", operands)
            object.__setattr__(self, "method", None)
        problems = operand_problems(self.how, [o.stack for o in self.operands])
        wrong += [problem.what for problem in problems]
        if wrong:
            do = next((problem.do for problem in problems if problem.do), None)
            raise UserError(f"{'; '.join(dict.fromkeys(wrong))}: in {self}", do=do)
        operands = tuple(replace(o, weight=float(o.weight)) for o in self.operands)
        object.__setattr__(self, "operands", operands)

    def __str__(self) -> str:
        inside = [*map(str, self.operands), *(f"{name}={value}" for name, value in self.options)]
        return f"{self.how}({', '.join(inside)})" + ("" if self.method is None else f"@{self.method}")

    @property
    def settings(self) -> Mapping[str, Value | None]:
        """Every option with its value, the defaults filled in; None is for the merge to work out."""
        return combination(self.how).defaults | dict(self.options)


@dataclass(frozen=True)
class Dropped:
    """A part without its modules in some layers (AdapterDrop, Rücklé et al. 2021).

    It is trained whole; what is dropped is gone for all that stands on it, and when it is evaluated.

    Attributes:
        part: a term or a combination.
        first, last: the layers, from 0; both inclusive.

    Raises:
        UserError: layers that are none or in the wrong order; a part that has no modules in layers.
    """

    part: Term | Combined
    first: int
    last: int

    def __post_init__(self) -> None:
        whole = type(self.first) is int and type(self.last) is int
        if not (whole and 0 <= self.first <= self.last <= LAST_LAYER):
            raise UserError(f"drop of layers {self.first} to {self.last}", expected="such as 0-5, from 0")
        if what := drop_problem(self.part):
            raise UserError(f"{what}: in {self}")

    def __str__(self) -> str:
        layers = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"drop({self.part}, {layers})"

    @property
    def layers(self) -> range:
        """The layers that are dropped."""
        return range(self.first, self.last + 1)


Part = Term | Combined | Dropped


@dataclass(frozen=True, init=False)
class Stack:
    """Parts one above the other, the lowest first. Printed, it is its own canonical text.

    Args:
        parts: at least one, or their texts; or an expression, with anything on top that can be mounted.

    Raises:
        UserError: no parts, or parts that cannot stand on each other.
    """

    parts: tuple[Part, ...]

    def __init__(self, parts: str | Iterable[Part | str]) -> None:
        found = (parts,) if isinstance(parts, str) else tuple(parts)
        if any(isinstance(part, str) for part in found):
            from xadapt.stacks.parser import parse

            found = parse(" > ".join(map(str, found)), open_top=True).parts
        object.__setattr__(self, "parts", found)
        if not self.parts:
            raise UserError("a stack without parts", expected="at least a target, such as xnli")
        if problem := stack_problem(self.parts):
            at = sum(len(str(part)) + len(" > ") for part in self.parts[: problem.at])
            raise pointed(str(self), [(at, problem.what)], do=problem.do)

    def __str__(self) -> str:
        return " > ".join(map(str, self.parts))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Stack, (self.parts,)  # a hash holds in one process only

    @cached_property
    def _hash(self) -> int:
        return reduce(lambda below, part: hash((below, part)), self.parts, 0)

    @cached_property
    def lower(self) -> tuple[Stack, ...]:
        """The stacks up to each part, the whole last; what stands is not checked again without its top."""
        found: list[Stack] = []
        for count in range(1, len(self.parts)):
            stack, below = object.__new__(Stack), found[-1] if found else None
            known = hash((below._hash if below else 0, self.parts[count - 1]))
            stack.__dict__.update(parts=self.parts[:count], below=below, _hash=known)
            found.append(stack)
        return (*found, self)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    @property
    def top(self) -> Part:
        """The uppermost part."""
        return self.parts[-1]

    @property
    def target(self) -> Term:
        """The task on top, with or without a drop: what the stack is evaluated on.

        Raises:
            UserError: a combination or a language module is on top.
        """
        term = undropped(self.top)
        if not isinstance(term, Term) or term.missing is not None:
            raise UserError(
                f"{self.top} is not a single task, so '{self}' cannot be evaluated",
                do=f"write '{self} > xnli', say",
            )
        return term

    @property
    def exchanged(self) -> Term | None:
        """The language module at the bottom, which is another one in each language; None without one."""
        lowest = self.parts[0]
        return lowest if isinstance(lowest, Term) and lowest.missing is not None else None

    @property
    def plain(self) -> Stack:
        """What is trained: on the language module of the data that the parts above are trained on."""
        lowest = self.exchanged
        return self if lowest is None else Stack((lowest.plain, *self.parts[1:]))

    @cached_property
    def below(self) -> Stack | None:
        """The stack that the top stands on; None where it stands on the backbone."""
        return self.lower[-2] if len(self.parts) > 1 else None

    def with_method(self, default: Method) -> Stack:
        """The stack with ``default`` as the method of each module that names none.

        Raises:
            UserError: ``default`` cannot stand on, below or beside a method that is named.
        """
        return Stack(tuple(_filled(part, lambda _: default) for part in self.parts))

    def with_methods_of(self, method_of: Callable[[Term], Method | None]) -> Stack:
        """The stack with the method that ``method_of`` gives for a term, where that names none.

        Raises:
            UserError: as ``with_method``.
        """
        return Stack(
            tuple(_filled(part, lambda one: isinstance(one, Term) and method_of(one)) for part in self.parts)
        )


def _filled(part: Part, method_of: Callable[[Term | Combined], Any]) -> Part:
    """``part`` with the methods that ``method_of`` gives for modules that name none; it may give nothing."""
    if isinstance(part, Dropped):
        return replace(part, part=undropped(_filled(part.part, method_of)))
    if isinstance(part, Term) or trains(part):
        return replace(part, method=part.method or method_of(part) or None)
    operands = tuple(
        replace(o, stack=Stack(tuple(_filled(p, method_of) for p in o.stack.parts))) for o in part.operands
    )
    return replace(part, operands=operands)


# -- what cannot be -------------------------------------------------------------------------------
# The parser asks these before it builds anything, to point into the text as it was typed; the
# classes ask them again, for what is built by hand.


def drop_problem(part: Part) -> str | None:
    """Why no layers can be dropped from ``part``."""
    if isinstance(part, Dropped):
        return "a drop within a drop: write one range of layers"
    if isinstance(part, Term) and part.missing is not None:
        return "a drop of a language module: train it in fewer layers, as in lang(mlm@lora(layers=top4))"
    if any(name == Full.name or is_own(name) for name in method_names([part])):
        return "full fine-tuning, or a method of one's own, changes the layers: there is no module to drop"
    return None


def operand_problems(how: str, stacks: Sequence[Stack]) -> list[Problem]:
    """What is wrong with the operands of ``how``, in order; ``at`` counts operands."""
    problems: list[Problem] = []
    seen: list[Stack] = []
    first: str | None = None  # the method of the operands before
    for at, stack in enumerate(stacks):
        names = method_names(stack)
        cannot = next((name for name in names if name not in combination(how).methods), None)
        other = next((name for name in names if name != (first or names[0])), None)
        first = first or (names[0] if names else None)
        if stack in seen:
            do = f"give it a weight, as in 2*{stack}" if is_merge(how) and len(stack) == 1 else None
            problems.append(Problem(at, f"{stack} stands twice in one {how}", do))
        elif any(isinstance(part, Term) and part.missing is not None for part in _within(stack)):
            do = f"put it below all, as in lang(mlm) > {how}(mnli, qqp)"
            problems.append(Problem(at, "a language module stands first in a stack, and below all of it", do))
        elif how == "joint":
            problems += _joint_problem(at, stack, seen)
        elif any(map(is_fuse, _within(stack))):
            what = f"fuse within {how}: its weights belong to the part above it in the stack"
            do = "put fuse(...) into the stack itself, as in fuse(mnli, qqp) > xnli"
            problems.append(Problem(at, what, do))
        elif cannot:
            only = " or ".join(combination(how).methods)
            problems.append(Problem(at, f"{how} cannot combine {cannot} modules, only {only}"))
        elif how == "fuse" and any(map(inverts, methods_in(stack))):
            what = "fuse attends over outputs of layers, and an invertible adapter is on the embeddings"
            problems.append(Problem(at, what, "take their mean, or train them without inv=nice"))
        elif Bottleneck.name in names and (
            nested := nested_problem(how, len(stack), trains(undropped(stack.top)))
        ):
            problems.append(Problem(at, nested, "train these as @lora, or combine single modules"))
        elif other:
            what = f"{how} cannot combine {first} with {other}: they change the backbone in different ways"
            problems.append(Problem(at, what, "take one method for all operands"))
        seen.append(stack)
    return problems


def _joint_problem(at: int, stack: Stack, before: Sequence[Stack]) -> list[Problem]:
    """Why ``stack`` cannot be data of a joint module."""
    term = stack.top
    if len(stack) > 1 or not isinstance(term, Term):
        what = f"joint trains one module on tasks, and {stack} is not a task"
        return [Problem(at, what, "name its tasks, as in joint(mnli, qqp), or combine modules with mean")]
    if term.method:
        do = f"write the method behind the combination, as in joint(...)@{term.method}"
        return [Problem(at, "joint trains one module, so its tasks have no methods of their own", do)]
    if any(isinstance(other.top, Term) and other.top.task == term.task for other in before):
        what = f"{term.task} stands twice in one joint"
        return [Problem(at, what, f"select its data once, as in {term.task}[10k, de+en]")]
    return []


def stack_problem(parts: Sequence[Part]) -> Problem | None:
    """The first part that cannot stand on those below it; ``at`` counts parts."""
    below: str | None = None
    source = parts[0].reads if isinstance(parts[0], Term) and parts[0].missing is not None else None
    for at, part in enumerate(parts):
        names = method_names([part])
        if at and (problem := _exchange_problem(at, part, source) or _inverse_problem(at, parts)):
            return problem
        if below and Full.name in names:
            what = f"{part} cannot stand on a {below} module, which would no longer be frozen"
            return Problem(at, what, "put full below, or take one method for all parts")
        if at and is_fuse(undropped(parts[at - 1])) and not trains(undropped(part)):
            what = f"fuse learns its weights together with the part above it, and {part} trains nothing"
            return Problem(at, what, "put a task above it, as in fuse(mnli, qqp) > xnli")
        below = next((name for name in names if name != Full.name), below)
    return None


def _exchange_problem(at: int, part: Part, source: tuple[str, ...] | None) -> Problem | None:
    """Why ``part`` cannot be number ``at`` of a stack on a language module of ``source``; None: on none."""
    for term in (one for one in _within([part]) if isinstance(one, Term)):
        if term.missing is not None:
            return Problem(at, "a language module stands first in a stack", "put lang(...) first")
        if source is not None and term.reads != source:
            what = f"{term} is trained on {'+'.join(term.reads)}, and what it stands on is of {source[0]}"
            if len(term.reads) > 1:
                return Problem(at, what, "train what stands on lang(...) in one language")
            return Problem(at, what, f"name that language below too, as in lang(mlm[{term.reads[0]}])")
    return None


def _inverse_problem(at: int, parts: Sequence[Part]) -> Problem | None:
    """Why number ``at`` cannot stand there: only the lowest bottleneck can have an invertible adapter."""
    if any(map(inverts, methods_in([parts[at]]))) and Bottleneck.name in method_names(parts[:at]):
        what = f"{parts[at]} has an invertible adapter on the embeddings, and stands on a bottleneck"
        return Problem(at, what, "put it below all bottlenecks, or train it without inv=nice")
    return None


def trains(part: Part) -> bool:
    """Whether ``part`` is one module with weights of its own: a term, or a joint."""
    return isinstance(part, Term) or (isinstance(part, Combined) and part.how == "joint")


def is_fuse(part: Part) -> TypeGuard[Combined]:
    """Whether ``part`` is a fuse, whose weights are trained with the part above it."""
    return isinstance(part, Combined) and part.how == "fuse"


def undropped(part: Part) -> Term | Combined:
    """What a drop is around, or the part itself."""
    return part.part if isinstance(part, Dropped) else part


def methods_in(parts: Iterable[Part]) -> list[Method]:
    """The methods of all modules in ``parts``, lowest first; those that nobody names are left out."""
    found: list[Method] = []
    for part in parts:
        whole = undropped(part)
        if isinstance(whole, Combined) and not trains(whole):
            for operand in whole.operands:
                found += methods_in(operand.stack)
        elif whole.method:
            found.append(whole.method)
    return found


def method_names(parts: Iterable[Part]) -> list[str]:
    """Their names."""
    return [method.name for method in methods_in(parts)]


def _within(parts: Iterable[Part]) -> Iterator[Part]:
    """Every part, however deep."""
    for part in parts:
        yield part
        if isinstance(part, Dropped):
            yield from _within([part.part])
        elif isinstance(part, Combined):
            for operand in part.operands:
                yield from _within(operand.stack)
