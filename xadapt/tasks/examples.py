"""The typed examples that every source gives and every kind reads.

One class a kind. An example knows nothing of tokens, models or files. ``id``
is unique within one (task, language, split). Labels are ``None`` where the
source has none: such examples can be predicted, never scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Classified:
    """A text or a pair of texts with one label of the task's set."""

    id: str
    text: str
    pair: str | None
    label: str | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A context, an optional question and several options; ``label`` indexes ``options``."""

    id: str
    context: str
    question: str
    options: tuple[str, ...]
    label: int | None


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sentence in words, one tag a word."""

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """``context[start : start + len(text)] == text``, in characters."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Extracted:
    """A question on a context. ``answers`` is ``()`` where it has none in the context
    (SQuAD v2.0), ``None`` where the source does not say."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] | None


@dataclass(frozen=True, slots=True)
class Paired:
    """A sentence and its translation in English, line-parallel: example i's
    ``target`` is the one right answer for example i's ``source`` among all targets."""

    id: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Sought:
    """One text of a retrieval task: a query, or a candidate that queries are searched among.

    ``answers`` are the ids of the candidates that answer a query: ``()`` where none does (most of BUCC),
    ``None`` where the source does not say, and for candidates. ``context`` is read together with ``text``
    (the paragraph around a LAReQA answer); ``""`` where there is none.
    """

    id: str
    side: Literal["query", "candidate"]
    text: str
    context: str
    answers: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of running text, for masked language modelling."""

    id: str
    text: str


Example = Classified | Chosen | Tagged | Extracted | Paired | Sought | Text


class Source(Protocol):
    """What a study asks of a place that examples come from. Methods raise ``UserError``.

    Attributes:
        name: what plans and results call it.
        generated: whether the examples are made up: a demonstration then, and evidence for nothing.
    """

    name: str
    generated: bool

    def languages(self, task: str, split: str) -> tuple[str, ...]:
        """The languages in which this source has ``split`` of ``task``; ``()`` where none."""
        ...

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        """Every example, in the source's own order, checked against the task's row."""
        ...

    def revision(self, task: str, language: str, split: str) -> str:
        """What identifies the content: equal revisions give equal examples. Cheap to ask."""
        ...

    def held_out(self, task: str, language: str) -> bool:
        """Whether ``dev`` in this language is the end of its training data, which has no dev set beside it:
        it chooses checkpoints, and is no score to compare with those of real dev sets."""
        ...

    def test_split(self, task: str) -> str:
        """The split to report: ``test`` where this source has its labels, else ``dev``."""
        ...


@runtime_checkable
class Noting(Protocol):
    """A source of files, which can have faults."""

    def notes(self, task: str, language: str, split: str) -> dict[str, int]:
        """What was dropped, repaired or found odd in what ``load`` gave, counted; empty if nothing."""
        ...


@runtime_checkable
class Labelling(Protocol):
    """A source that knows label sets which are not in a task's row, without reading the examples."""

    def labels(self, task: str) -> tuple[str, ...]:
        """Those of the English training data of ``task``, sorted; ``()`` where it must be read."""
        ...


def generates(source: Source, task: str) -> bool:
    """Whether the examples of ``task`` are made up: those of a user's own files beside the pocket world are
    not."""
    return source.generated and task not in getattr(source, "own", ())


def notes_of(source: Source, task: str, language: str, split: str) -> dict[str, int]:
    """``source.notes`` where it has them; a source without files has none. Asked after ``load``."""
    return source.notes(task, language, split) if isinstance(source, Noting) else {}
