"""The texts of a retrieval pool: which ask and which are searched, and how a part of a pool is taken."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from xadapt.common.errors import UserError
from xadapt.kinds.checks import typed
from xadapt.kinds.kind import Item
from xadapt.tasks.examples import Answer, Example, Extracted, Sought

# A sentence ends before white space that follows a full stop, perhaps in quotes, and stands before what can
# begin one. English: only SQuAD's contexts are cut here, the benchmarks bring their own sentences.
_BREAK = re.compile(r"""[.!?]["')\]”’]*\s+(?=["'(\[“‘]*[A-Z0-9])""")


def queries_and_candidates(rows: Sequence[Sought]) -> tuple[list[int], list[int]]:
    """The indices of the queries and of the candidates.

    Raises:
        UserError: there are none of one of them.
    """
    queries = [i for i, row in enumerate(rows) if row.side == "query"]
    candidates = [i for i, row in enumerate(rows) if row.side == "candidate"]
    if not queries or not candidates:
        raise UserError(
            f"{len(queries):,} queries and {len(candidates):,} candidates",
            expected="some of both",
            do="look whether one of the files is empty",
        )
    return queries, candidates


def counted(examples: Sequence[Example]) -> Sequence[Example]:
    """What sizes and scores count: the queries of a pool, else all examples."""
    if not examples or not isinstance(examples[0], Sought):
        return examples
    return [e for e in examples if not (isinstance(e, Sought) and e.side == "candidate")]


def with_answers(chosen: Sequence[Example], examples: Sequence[Example]) -> Sequence[Example]:
    """``chosen`` of ``examples``, and behind them the candidates that answer the queries among them."""
    if not chosen or not isinstance(chosen[0], Sought):
        return chosen
    needed = {answer for e in chosen if isinstance(e, Sought) for answer in e.answers or ()}
    return [
        *chosen,
        *(e for e in examples if isinstance(e, Sought) and e.side == "candidate" and e.id in needed),
    ]


def as_pool(examples: Sequence[Example]) -> Sequence[Sought]:
    """The examples as a pool. SQuAD's give a query each, in their order, and behind them the sentences that
    hold their first answers, each once, with their paragraph as context."""
    if not any(isinstance(e, Extracted) for e in examples):
        return typed(examples, Sought)
    queries: list[Sought] = []
    numbers: dict[tuple[str, str], str] = {}
    for row in typed(examples, Extracted):
        found = None
        if row.answers is not None:
            pieces = ((sentence_around(row.context, a), row.context) for a in row.answers[:1])
            found = tuple(numbers.setdefault(piece, f"sentence-{len(numbers)}") for piece in pieces)
        queries.append(Sought(row.id, "query", row.question, "", found))
    candidates = (Sought(i, "candidate", text, context, None) for (text, context), i in numbers.items())
    return [*queries, *candidates]


def encode_new(
    examples: Sequence[Example],
    known: dict[Example, tuple[Sequence[int], ...]],
    encode: Callable[[Sequence[Example]], list[Item]],
) -> list[Item]:
    """The items of a pool whose texts give an item each: only those that are not in ``known`` are encoded,
    and put there."""
    new = [example for example in examples if example not in known]
    known.update((new[item.example], item.sequences) for item in encode(new))
    return [Item(i, known[example]) for i, example in enumerate(examples)]


def sentence_around(context: str, answer: Answer) -> str:
    """The sentence of ``context`` that holds the answer; several where the answer reaches over their ends."""
    ends = [m.end() for m in _BREAK.finditer(context)]
    first = max((end for end in ends if end <= answer.start), default=0)
    last = min((end for end in ends if end >= answer.start + len(answer.text)), default=len(context))
    return context[first:last].strip()
