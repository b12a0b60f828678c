"""Texts in, answers out: a trained stack, held ready.

    predictor = study.predictor("mnli > xnli")
    predictor(premise=["Er schläft."], hypothesis=["Er ist wach."])[0].label

What is given becomes examples of the task's kind, and these go the way that evaluation takes: the same
encoding, windows, packed batches, head and decoding. So answers are what is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from xadapt.common.errors import UserError, nearest
from xadapt.kinds.answers import TaggedWords
from xadapt.kinds.kind import Kind
from xadapt.kinds.neighbours import nearest_neighbours
from xadapt.kinds.search import Search
from xadapt.kinds.vectors import normalised
from xadapt.kinds.words import placed, split
from xadapt.mount import Mounted
from xadapt.tasks.examples import Chosen, Classified, Example, Extracted, Sought, Tagged
from xadapt.tasks.task import Task
from xadapt.train.evaluate import outputs_of


class Column(NamedTuple):
    """What a kind reads of each example: its name, what else it is called, whether it can be left out."""

    name: str
    others: tuple[str, ...]
    needed: bool = True


# In the order in which they can be given.
COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "classify": (
        Column("text", ("texts", "premise", "sentence1", "sentence")),
        Column("pair", ("pairs", "hypothesis", "sentence2"), needed=False),
    ),
    "tag": (Column("text", ("texts", "words", "sentence")),),
    "extract": (Column("question", ("questions",)), Column("context", ("contexts",))),
    "choose": (
        Column("context", ("contexts", "premise")),
        Column("options", ("choices", "endings")),
        Column("question", ("questions",), needed=False),
    ),
}
SENTENCES = Task("sentences", "retrieve", "target", "", ("en",), None, ("map@20",))


@dataclass(frozen=True)
class Predictor:
    """A trained stack with its head. Made by ``Study.predictor``, ``Module.predictor`` or ``xadapt.load``.

    Attributes:
        expression: what is mounted.
        kind: the target's, which reads and answers.
        mounted: the stack, folded.
        head: the target's own.
        tokenizer: the backbone's.
        max_length: tokens a sequence; what is longer is read in windows where the kind has them, else cut.
    """

    expression: str
    kind: Kind
    mounted: Mounted
    head: nn.Module
    tokenizer: Any
    max_length: int

    def __repr__(self) -> str:
        few = ", ".join(self.labels[:6]) + ", ..." * (len(self.labels) > 6)
        return f"Predictor({self.expression!r}, {self.kind.serves}{f': {few}' if few else ''})"

    @property
    def labels(self) -> tuple[str, ...]:
        """What can be answered, where the set is closed; else empty."""
        return self.kind.task.labels

    @property
    def reads(self) -> tuple[Column, ...]:
        """What it reads of each example. Raises ``UserError`` for a kind that answers nothing."""
        known = COLUMNS.get(self.kind.serves)
        if known is None:
            raise UserError(
                f"'{self.expression}' is of kind {self.kind.serves!r}, which answers nothing for a text",
                expected=f"a task of kind {', '.join(COLUMNS)}",
                do="for sentence vectors, call embed(texts), or nearest(queries, candidates)",
            )
        return known

    def __call__(self, *given: Any, **named: Any) -> list[Any]:
        """One answer an example: ``Labelled``, ``TaggedWords``, ``Found`` or ``Choice``
        (``xadapt.kinds.answers``).

        Args:
            given: the columns of ``COLUMNS`` in their order: ``predictor(texts)``, ``predictor(texts,
                pairs)``, ``predictor(questions, contexts)``. Each is a list, or one text for a list of one.
                To tag, a sentence is a text, which is split, or a list of words, which is not.
            named: the same by name: ``premise=``, ``hypothesis=``, ``question=``, ``context=``, ``options=``.

        Raises:
            UserError: columns that are missing, unknown, of unlike length or of another type; a kind that
                answers nothing.
        """
        columns = self.columns(given, named)
        examples = _EXAMPLES[self.kind.serves](columns)
        if not examples:
            return []
        items = self.kind.encode(examples, self.tokenizer, self.max_length, training=False)
        outputs = outputs_of(self.mounted, self.head, self.kind, items)
        answers = self.kind.answers(examples, items, outputs)
        if self.kind.serves != "tag":
            return list(answers)
        return [
            placed(answer, text, split(text)) if isinstance(text, str) else answer
            for answer, text in zip(answers, columns["text"], strict=True)
            if isinstance(answer, TaggedWords)
        ]

    def embed(self, texts: Sequence[str] | str, *, layer: int | None = None) -> np.ndarray:
        """Sentence vectors: (N, H), rows of length 1, float32.

        Each is the mean of the tokens' states at a middle layer (``kinds.vectors``), which Tatoeba is
        evaluated by; of a trained dual encoder (``mewslix``) its own.

        Args:
            layer: another layer, 0 for the embeddings.
        """
        kind: Kind = Search(SENTENCES, layer)
        if isinstance(self.kind, Search) and self.kind.trained:
            kind = self.kind
        found = [texts] if isinstance(texts, str) else list(texts)
        _all_text(found, "texts")
        rows = [Sought(str(i), "candidate", text, "", None) for i, text in enumerate(found)]
        if not rows:
            return np.zeros((0, self.mounted.model.config.hidden_size), dtype=np.float32)
        items = kind.encode(rows, self.tokenizer, self.max_length, training=False)
        made = outputs_of(self.mounted, self.head, kind, items)
        return normalised(np.stack(made))

    def nearest(
        self, queries: Sequence[str] | str, candidates: Sequence[str], k: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """The cosines and the indices of each query's ``k`` nearest candidates, the nearest first: (Q, k)."""
        asked, offered = self.embed(queries), self.embed(candidates)
        return nearest_neighbours(asked, offered, k, device=self.mounted.device)

    def columns(self, given: Sequence[Any], named: Mapping[str, Any]) -> dict[str, list[Any]]:
        """What was given, by the kind's own names, as lists of one length.

        Raises:
            UserError: as ``__call__``.
        """
        known = self.reads
        if len(given) > len(known):
            raise UserError(f"{len(given)} columns", expected=", ".join(column.name for column in known))
        found = dict(zip((column.name for column in known), given, strict=False))
        owner = {word: column.name for column in known for word in (column.name, *column.others)}
        for word, column in named.items():
            if word not in owner:
                raise UserError(
                    f"unknown column {word!r}{nearest(word, list(owner))}",
                    expected=", ".join(f"{c.name} ({', '.join(c.others)})" for c in known),
                )
            if owner[word] in found:
                raise UserError(f"{owner[word]!r} is given twice, once as {word!r}", do="give it once")
            found[owner[word]] = column
        found = {name: column for name, column in found.items() if column is not None}
        needed = [column.name for column in known if column.needed]
        if lacking := [name for name in needed if name not in found]:
            raise UserError(
                f"no {', '.join(lacking)} for '{self.expression}'",
                expected=", ".join(c.name if c.needed else f"{c.name} (or none)" for c in known),
                do=f"call it as predictor({', '.join(f'{name}=[...]' for name in needed)})",
            )
        return _listed(found)


def _listed(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Lists of one length; a text alone is a list of one."""
    alone = all(isinstance(column, str) for name, column in columns.items() if name != "options")
    found = {}
    for name, column in columns.items():
        single = isinstance(column, str) or (name == "options" and alone and _texts(column))
        found[name] = [column] if single else list(column)
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(
            f"columns of unlike length: {', '.join(f'{n} {name}' for name, n in lengths.items())}",
            expected="one of each for an example",
        )
    return found


def _texts(column: Any) -> bool:
    return not isinstance(column, str) and all(isinstance(one, str) for one in column)


def _all_text(column: Sequence[Any], name: str) -> None:
    for place, one in enumerate(column):
        if not isinstance(one, str):
            raise UserError(
                f"{name}[{place}] is {type(one).__name__}", expected="a text: a str, or a list of them"
            )


def _classified(columns: Mapping[str, list[Any]]) -> list[Example]:
    texts, pairs = columns["text"], columns.get("pair")
    _all_text(texts, "text")
    _all_text(pairs or (), "pair")
    return [
        Classified(str(i), text, None if pairs is None else pairs[i], None) for i, text in enumerate(texts)
    ]


def _tagged(columns: Mapping[str, list[Any]]) -> list[Example]:
    rows: list[Example] = []
    for i, text in enumerate(columns["text"]):
        if isinstance(text, str):
            found = tuple(text[start:end] for start, end in split(text))
        else:
            _all_text(text, f"text[{i}]")
            found = tuple(text)
        rows.append(Tagged(str(i), found, None))
    return rows


def _extracted(columns: Mapping[str, list[Any]]) -> list[Example]:
    questions, contexts = columns["question"], columns["context"]
    _all_text(questions, "question")
    _all_text(contexts, "context")
    return [Extracted(str(i), q, c, None) for i, (q, c) in enumerate(zip(questions, contexts, strict=True))]


def _chosen(columns: Mapping[str, list[Any]]) -> list[Example]:
    contexts, options = columns["context"], columns["options"]
    questions = columns.get("question") or [""] * len(contexts)
    _all_text(contexts, "context")
    _all_text(questions, "question")
    for i, some in enumerate(options):
        if isinstance(some, str) or not some:
            raise UserError(f"options[{i}] is {some!r}", expected="a list of texts, one or more")
        _all_text(some, f"options[{i}]")
    return [
        Chosen(str(i), context, question, tuple(some), None)
        for i, (context, question, some) in enumerate(zip(contexts, questions, options, strict=True))
    ]


_EXAMPLES: Mapping[str, Callable[[Mapping[str, list[Any]]], list[Example]]] = {
    "classify": _classified,
    "tag": _tagged,
    "extract": _extracted,
    "choose": _chosen,
}
