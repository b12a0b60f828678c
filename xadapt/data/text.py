"""A file as bytes, text or lines: the one place where readers open files."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from xadapt.common.errors import UserError

BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line of a file: its number from 1, its first byte, its size in bytes without the end, its text."""

    number: int
    start: int
    size: int
    text: str


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, to be read as bytes.

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
    content = bytes_of(path)
    text = _decoded(content.removeprefix(BOM), path, 1)
    if not text.strip():
        raise _empty(path, len(content))
    return text


def lines_of(path: Path) -> list[str]:
    """The texts of ``streamed``'s lines, all in memory, some five times as fast. Raises as it does."""
    lines = [line.removesuffix("\r") for line in text_of(path).split("\n")]
    while not lines[-1].strip():
        lines.pop()
    return lines


def streamed(path: Path) -> Iterator[Line]:
    """The lines of a file, one in memory at a time; blank ones at the end of the file are left out.

    Only the line feed ends a line: texts contain U+2028 and U+0085, at which ``str.splitlines`` would cut.

    Raises:
        UserError: the file is empty, or not UTF-8.
    """
    with opened(path) as file:
        yield from split(file, path)


def split(file: Iterable[bytes], path: Path) -> Iterator[Line]:
    """``streamed`` of what is open already, such as standard input; ``path`` is what messages call it."""
    start, blanks, some = 0, list[Line](), False
    for number, raw in enumerate(file, 1):
        skipped = len(BOM) if number == 1 and raw.startswith(BOM) else 0
        body = raw[skipped:].removesuffix(b"\n").removesuffix(b"\r")
        text = _decoded(body, path, number)
        line = Line(number, start + skipped, len(body), text)
        start += len(raw)
        if not text or text.isspace():
            blanks.append(line)  # harmless at the end of the file only
            continue
        if blanks:
            yield from blanks
            blanks.clear()
        some = True
        yield line
    if not some:
        raise _empty(path, start)


def _decoded(data: bytes, path: Path, line: int) -> str:
    """The text of bytes that begin in ``line`` of a file."""
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


def _empty(path: Path, size: int) -> UserError:
    return UserError(
        f"empty file ({size} bytes)",
        expected="data",
        do="download it again; an interrupted download leaves empty files",
        path=path,
    )
