"""What commands ask of words and folders before anything is loaded."""

from __future__ import annotations

import os
import re
from pathlib import Path

from xadapt.common.errors import UserError
from xadapt.common.files import explained


def words(text: str, option: str) -> list[str]:
    """Values between commas or spaces, each once. Raises ``UserError`` where there is none."""
    found = [w for w in re.split(r"[,\s]+", text.strip()) if w]
    if not found:
        raise UserError(f"{option} {text!r} names nothing", expected="values separated by commas")
    return list(dict.fromkeys(found))


def whole(word: str, option: str) -> int:
    """A seed. Raises ``UserError`` for anything but a whole number from 0."""
    if not re.fullmatch(r"[0-9]{1,9}", word, re.ASCII):
        raise UserError(f"{option}: {word!r} is not a seed", expected="whole numbers from 0, such as 0,1,2")
    return int(word)


# What a store begins with: see xadapt.store.store.
_OF_A_STORE = {"modules", "cells", "studies", "names", "reports", "locks", "work", "cache"}


def check_store(path: Path, *, reading: bool = False) -> None:
    """Raises ``UserError`` for what is no store: listed, it would be taken for an empty one; written to, it
    would be strewn with folders.

    Args:
        reading: whether it must be there already.
    """
    with explained(path, "read"):
        if path.is_dir():
            # what a file manager or a new disk has of its own is nobody's content
            names = sorted(n for n in os.listdir(path) if not n.startswith(".") and n != "lost+found")
            known = not names or _OF_A_STORE.intersection(names)
            got = None if known else f"not a store: it holds {', '.join(names[:3])}"
        elif os.path.lexists(path):
            got = "not a store, and not a folder"
        else:
            got = "there is no store" if reading else None
    if got:
        expected = "a folder that 'xadapt run' has made" + ("" if reading else ", an empty or a new one")
        raise UserError(got, expected=expected, do="name another", path=path)
