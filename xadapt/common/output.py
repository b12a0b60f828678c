"""Results where a user wants them: a file, a pipe, a device, or standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xadapt.common.errors import UserError
from xadapt.common.files import ENCODING, explained, json_text, replacing
from xadapt.common.launch import leads


def is_output(path: Path) -> bool:
    """Whether a place that a user named is standard output: ``-``, or what is open as it."""
    if str(path) == "-":
        return True
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(1))
    return False


def check_place(path: Path) -> None:
    """Refuse a place that ``write_output`` could not write; nothing is touched.

    Raises:
        UserError: neither a file that can be made or replaced, nor a pipe or device that can be written.
    """
    with explained(path):
        if is_output(path):
            return
        real = Path(os.path.realpath(path))  # of a circle of links, itself
        folder = real.parent
        while not folder.exists():
            folder = folder.parent
        whole = (real.is_file() or not os.path.lexists(real)) and folder.is_dir()
        able = os.access(folder, os.W_OK) if whole else _is_stream(path) and os.access(path, os.W_OK)
    if not able:
        raise UserError(
            "results cannot be written there", expected="a file in a folder that can be written", path=path
        )


def write_output(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON where a user wants it: a file whole or not at all, through a link to what it leads to;
    a pipe or device as it is; ``-`` is standard output. Of several processes only the one that leads writes.

    Raises:
        UserError: the place refuses.
    """
    write_text(path, json_text(value, indent=1))


def write_text(path: Path, text: str) -> None:
    """Write a text as ``write_output`` writes JSON; raises as it does."""
    with writing(path) as write:
        write(text)


@contextmanager
def writing(path: Path) -> Iterator[Callable[[str], object]]:
    """``write_text`` for what comes piece by piece: within the block, what writes a piece."""
    if not leads():
        yield len  # says nothing, to nobody
        return
    if is_output(path):
        yield sys.stdout.write
        return
    with explained(path):
        if _is_stream(path):
            with path.open("w", **ENCODING) as stream:
                yield stream.write
        else:
            with replacing(Path(os.path.realpath(path))) as file:
                yield lambda text: file.write(text.encode(**ENCODING))


def _is_stream(path: Path) -> bool:
    return path.is_fifo() or path.is_char_device()
