"""What a reader gives, what holds for examples of every format, and what becomes of them: parts joined, a
part held out, a sample drawn."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from xadapt.common.errors import UserError
from xadapt.common.randomness import generator
from xadapt.data.lazy import Joined
from xadapt.tasks.examples import (
    Answer,
    Chosen,
    Classified,
    Example,
    Extracted,
    Paired,
    Sought,
    Tagged,
    Text,
)
from xadapt.tasks.task import Task

NEARBY = 50  # characters that an upstream answer offset may be off by
PLACEHOLDER_ROWS = 20  # a test file this long whose labels are all alike has no labels
T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """What a reader found: ``labelled`` is False where the file withholds the labels;
    ``notes`` counts what was dropped, repaired or found odd, nothing where all was well."""

    examples: Sequence[Example]
    labelled: bool
    notes: dict[str, int] = field(default_factory=dict)


def oddities(examples: Sequence[Example]) -> dict[str, int]:
    """How many examples have a text with nothing in it (``blank``) and how many one with a NUL (``NUL``);
    what is 0 is left out. They are kept: a blank premise is still a premise."""
    blank = nul = 0
    for example in examples:
        texts = texts_of(example)
        blank += not all(text.strip() for text in texts)
        nul += any("\0" in text for text in texts)
    return {name: count for name, count in (("blank", blank), ("NUL", nul)) if count}


def texts_of(example: Example) -> tuple[str, ...]:
    """The texts that an example must have. Of the context and the question of a choice one is enough."""
    match example:
        case Classified():
            return (example.text,) if example.pair is None else (example.text, example.pair)
        case Chosen():
            return (example.context + example.question, *example.options)
        case Tagged():
            return example.words
        case Extracted():
            return (example.question, example.context)
        case Paired():
            return (example.source, example.target)
        case Sought() | Text():
            return (example.text,)


def placeholders(count: int, distinct: Collection[object], split: str) -> bool:
    """Whether the labels of a split are placeholders, ``distinct`` in ``count`` rows: those of a test file
    that are many, and all the same."""
    return split == "test" and count >= PLACEHOLDER_ROWS and len(distinct) == 1


def missing_label(split: str, got: str, path: Path, line: int | None = None, *, do: str = "") -> UserError:
    """The error for a file that may not go without labels; ``do`` is what to try first."""
    return UserError(
        got,
        expected=f"labels in the {split} split; only test files may go without",
        do=f"{do}download the file again, or remove it to do without this split",
        path=path,
        line=line,
    )


def unknown_label(path: Path, line: int, got: str, labels: Iterable[str], what: str = "label") -> UserError:
    """The error for a label or tag that the task does not have."""
    return UserError(
        f"unknown {what} {got!r}",
        expected=f"one of {', '.join(labels)}",
        do="is this the file of another task?",
        path=path,
        line=line,
    )


def check_ids(examples: Iterable[Example], path: Path, lines: Sequence[int] = ()) -> None:
    """Refuse an id that is there twice, by the second one's line where ``lines`` has each example's."""
    seen: set[str] = set()
    for number, example in enumerate(examples):
        if example.id in seen:
            raise id_twice(example.id, path, lines[number] if lines else None)
        seen.add(example.id)


def id_twice(identifier: str, path: Path, line: int | None = None) -> UserError:
    """The error for an id that is there a second time."""
    return UserError(
        f"id {identifier!r} a second time",
        expected="every id once",
        do="is the file two files in one? Download it again",
        path=path,
        line=line,
    )


def placed(context: str, text: str, start: int) -> tuple[Answer, bool] | None:
    """The answer where it stands in the context, and whether its offset had to be repaired.

    Upstream offsets are off by a few characters where a context was cleaned after
    the annotation. The nearest occurrence within ``NEARBY`` characters is taken;
    None where there is none.
    """
    if text and start >= 0 and context.startswith(text, start):
        return Answer(text, start), False
    bare = text.strip().strip("\ufeff").strip()
    if not bare:
        return None
    low = max(0, start - NEARBY)
    best: int | None = None
    found = context.find(bare, low)
    while found != -1 and found <= start + NEARBY:
        if best is None or abs(found - start) < abs(best - start):
            best = found
        found = context.find(bare, found + 1)
    return None if best is None else (Answer(bare, best), True)


def answers_of(
    context: str,
    answers: Sequence[tuple[str, int]],
    *,
    unanswerable: bool,
    where: str,
    path: Path | str | None,
) -> tuple[tuple[Answer, ...], int]:
    """The answers of one question, checked against its context, and how many were repaired.

    Raises ``UserError`` where there is none although the task's questions all have
    one, or where one is not in the context.
    """
    if not answers and not unanswerable:
        raise UserError(
            f"{where} has no answer",
            expected="at least one answer a question",
            do="is this a file of SQuAD v2.0? That is task squad_v2",
            path=path,
        )
    result, repaired = [], 0
    for text, start in answers:
        found = placed(context, text, start)
        if found is None:
            raise UserError(
                f"{where}: answer {text!r} is not in its context at or near character {start}, "
                f"where it says {context[max(0, start) : max(0, start) + len(text)]!r}",
                expected="context[answer_start:][:len(text)] == text, in characters",
                do="download the file again; offsets counted in bytes must be converted",
                path=path,
            )
        result.append(found[0])
        repaired += found[1]
    return tuple(result), repaired


def hold_out(examples: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Training examples without their last part, and that part: a tenth, at most 1,000.

    For tasks that come without a development set. The last ones, not random ones: a
    rule that can be said in a sentence and holds for every seed.
    """
    kept = len(examples) - min(1000, len(examples) // 10)
    return examples[:kept], examples[kept:]


def joined(row: Task, load: Callable[[Task], Sequence[Example]]) -> Sequence[Example]:
    """The examples of a row, or of all its parts, one part after the other."""
    return Joined((part.name, load(part)) for part in row.parts) if row.parts else load(row)


def revision_of(row: Task, revision: Callable[[Task], str]) -> str:
    """What identifies the examples of a row; of one in parts 16 hex digits of SHA-256 over its parts'."""
    if not row.parts:
        return revision(row)
    return hashlib.sha256("\n".join(map(revision, row.parts)).encode()).hexdigest()[:16]


def added_up(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The notes of several parts as one: name -> count."""
    total = Counter[str]()
    for one in counts:
        total.update(one)
    return dict(total)


def sampled(examples: Sequence[T], size: int) -> list[T]:
    """So many examples (all, where there are no more), drawn at random from every part, in their own order.

    Each part gives its share of the whole, so that a score on the sample estimates the score on all of it:
    with equal shares a small part would count for more than it has, and by how much would depend on ``size``.
    The draw depends on nothing but the number of examples, so whatever is measured on the same data is
    measured on the same examples, whatever the seed of the study. Only what is drawn is read.
    """
    if size >= len(examples):
        return list(examples)
    sizes = examples.sizes if isinstance(examples, Joined) else [len(examples)]
    chosen: list[int] = []
    begin = 0
    for number, (length, share) in enumerate(zip(sizes, _shares(sizes, size), strict=True)):
        picks = generator("sample", number, length).permutation(length)[:share]
        chosen += [begin + int(i) for i in np.sort(picks)]
        begin += length
    return [examples[i] for i in chosen]


def _shares(sizes: Sequence[int], size: int) -> list[int]:
    """``size`` split in proportion to ``sizes``; what rounding leaves goes to the largest remainders."""
    exact = [size * length / sum(sizes) for length in sizes]
    shares = [int(share) for share in exact]
    largest = sorted(range(len(sizes)), key=lambda k: shares[k] - exact[k])
    for k in largest[: size - sum(shares)]:
        shares[k] += 1
    return shares
