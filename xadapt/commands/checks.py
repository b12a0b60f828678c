"""What the commands ask of their options before anything is loaded."""

from __future__ import annotations

import os
import re
from pathlib import Path

from xadapt.errors import UserError


def words(text: str, option: str) -> list[str]:
    """Values between commas or spaces, each once. Raises ``UserError`` where there is none."""
    found = [w for w in re.split(r"[,\s]+", text.strip()) if w]
    if not found:
        raise UserError(f"{option} {text!r} names nothing", expected="values separated by commas")
    return list(dict.fromkeys(found))


def whole(word: str, option: str) -> int:
    """A seed. Raises ``UserError`` for anything but a whole number from 0."""
    if not re.fullmatch(r"[0-9]{1,9}", word):
        raise UserError(f"{option}: {word!r} is not a seed", expected="whole numbers from 0, such as 0,1,2")
    return int(word)


def above_zero(options: object, *names: str) -> None:
    """Raises ``UserError`` for the first of the named options that is set, and not above 0."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise UserError(f"--{name.replace('_', '-')} {value}", expected="a number above 0")


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written at the end."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(
            "results cannot be written there", expected="a file in a folder that can be written", path=path
        )
