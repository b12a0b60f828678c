"""The smallest thing that an expression is made of: one module, known by the task it is trained on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from xadapt.common.errors import UserError
from xadapt.stacks.combinations import KEYWORDS
from xadapt.stacks.methods import METHODS, Full, Method

LARGEST_SIZE: Final = 10**9
_TASK = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LANGUAGE: Final = re.compile(r"[a-z][a-z0-9_]{1,9}(-[A-Za-z0-9]+)*")

# What stands in the place of a language module where a language has none; "refuse" is not written.
Missing = Literal["refuse", "mean", "none"]
MISSING: Final[tuple[Missing, ...]] = ("refuse", "mean", "none")


@dataclass(frozen=True)
class Term:
    """One module of a stack: the task it is trained on.

    Attributes:
        task: a name of the catalogue.
        size: train on the first ``size`` shuffled examples, of all languages together; None for all.
        method: where it differs from the experiment's; None for the experiment's.
        languages: of the training data; sorted, and empty for English alone.
        missing: None but for ``lang(...)``, a language module (MAD-X: Pfeiffer et al. 2020, arXiv
            2005.00052): what stands above it is trained on that of the term's own language, and evaluated on
            that of the language at hand. Where that has none: ``refuse`` it, take the ``mean`` of the
            modules of its family, or ``none``.

    Raises:
        UserError: a name that is no name or is a word of the grammar; a size below 1;
            a language that is none or stands twice; a language module of several languages, or ``full``.
    """

    task: str
    size: int | None = None
    method: Method | None = None
    languages: tuple[str, ...] = ()
    missing: Missing | None = None

    def __post_init__(self) -> None:
        if not _TASK.fullmatch(self.task) or self.task in (*KEYWORDS, *METHODS):
            raise UserError(
                f"{self.task!r} cannot be the name of a task",
                expected="letters, digits and _, and no word of the grammar",
            )
        if self.size is not None and not (type(self.size) is int and 1 <= self.size <= LARGEST_SIZE):
            raise UserError(
                f"{self.task}[{self.size}]: not a number of examples", expected=f"1 to {LARGEST_SIZE}"
            )
        languages = tuple(sorted(self.languages))
        wrong = [lang for lang in languages if not LANGUAGE.fullmatch(lang)]
        if wrong or len(set(languages)) < len(languages):
            raise UserError(
                f"{self.task}[{'+'.join(self.languages)}]: not languages", expected="codes such as de+ru"
            )
        object.__setattr__(self, "languages", () if languages == ("en",) else languages)
        if self.missing is not None and (what := exchange_problem(self)):
            raise UserError(f"{what}: in {self}")

    def __str__(self) -> str:
        size = [] if self.size is None else [str(self.size)]
        select = ", ".join([*size, *(["+".join(self.languages)] if self.languages else [])])
        method = "" if self.method is None else f"@{self.method}"
        text = f"{self.task}[{select}]{method}" if select else f"{self.task}{method}"
        if self.missing is None:
            return text
        return f"lang({text})" if self.missing == "refuse" else f"lang({text}, {self.missing})"

    @property
    def reads(self) -> tuple[str, ...]:
        """The languages of its training data, English named."""
        return self.languages or ("en",)

    @property
    def plain(self) -> Term:
        """The module itself, of a language module that of its own language."""
        return self if self.missing is None else replace(self, missing=None)

    def of(self, language: str) -> Term:
        """The module of the same task that is trained on another language alone."""
        return replace(self, languages=(language,), missing=None)


def exchange_problem(term: Term) -> str | None:
    """Why ``term`` cannot be what ``lang(...)`` exchanges; None where it can."""
    if term.missing is not None and term.missing not in MISSING:
        return f"{term.missing!r} is not what can stand for a language without a module"
    if len(term.reads) > 1:
        return "a language module is trained on one language: that of what stands on it"
    if isinstance(term.method, Full):
        return "a fully fine-tuned copy cannot be exchanged: what stands on it has its weights"
    return None
