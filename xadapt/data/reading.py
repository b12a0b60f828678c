"""What all readers share: decoding, placeholders, answers that lie where they say, the held-out part."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar

from xadapt.common.errors import UserError
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

BOM = b"\xef\xbb\xbf"
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


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, to be read as bytes: the one place where readers open files.

    Raises:
        UserError: a folder, a device or a link that leads nowhere; no right to it, or the disk fails.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise UserError(
                "this is a folder" if stat.S_ISDIR(mode) else "this is a pipe or a device",
                expected="a file",
                do="put the file in its place, or remove it to do without",
                path=path,
            )
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        what = "a link that leads nowhere" if path.is_symlink() else "no such file"
        raise UserError(what, do="put the file there, or remove the link", path=path) from error
    except OSError as error:
        raise UserError(
            f"cannot be read: {error.strerror or error}",
            expected="a file that you have the right to read",
            do="see to its rights and whether the disk is sound, or choose another file",
            path=path,
        ) from error


def bytes_of(path: Path) -> bytes:
    """All that is in the file. Raises ``UserError`` as ``opened`` does."""
    with opened(path) as file:
        return file.read()


def text_of(path: Path) -> str:
    """The file's text without byte-order mark. Raises ``UserError`` where it is empty or not UTF-8."""
    text = decoded(bytes_of(path).removeprefix(BOM), path, 1)
    if not text.strip():
        raise empty(path)
    return text


def decoded(data: bytes, path: Path, line: int) -> str:
    """The text of a file, or of one ``line`` of it. Raises ``UserError`` where it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"not UTF-8: byte 0x{data[error.start]:02x}",
            expected="UTF-8, with or without a byte-order mark",
            do="convert it (iconv -t UTF-8) or download it again",
            path=path,
            line=data.count(b"\n", 0, error.start) + line,
        ) from None


def empty(path: Path) -> UserError:
    """The error for a file with nothing in it."""
    return UserError(
        f"empty file ({path.stat().st_size} bytes)",
        expected="data",
        do="download it again; an interrupted download leaves empty files",
        path=path,
    )


def lines_of(path: Path) -> list[str]:
    """The lines without their ends; blank ones at the end of the file are left out.

    Only the line feed ends a line: texts contain U+2028 and U+0085, at which
    ``str.splitlines`` would cut. Raises ``UserError`` as ``text_of`` does.
    """
    text = text_of(path)
    lines = text.split("\n")
    if "\r" in text:
        lines = [line.removesuffix("\r") for line in lines]
    while not lines[-1].strip():
        lines.pop()
    return lines


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


def all_alike(labels: Sequence[T], split: str) -> bool:
    """Whether the labels of a test file are placeholders: many, and all the same."""
    return split == "test" and len(labels) >= PLACEHOLDER_ROWS and len(set(labels)) == 1


def missing_label(split: str, got: str, path: Path, line: int | None = None) -> UserError:
    """The error for a file that may not go without labels."""
    return UserError(
        got,
        expected=f"labels in the {split} split; only test files may go without",
        do="download the file again, or remove it to do without this split",
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
