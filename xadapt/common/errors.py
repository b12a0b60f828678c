"""The one exception that a user is meant to see.

A message says what was got, what was expected and what to do next. The command
line prints it without a traceback and exits with status 2; the Python API
raises it.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

_LONGEST_WORD, _LONGEST_LINE = 300, 2000


class UserError(Exception):
    """Something the user can put right.

    Args:
        got: what was found.
        expected: what would have been right; left out where ``got`` says it all.
        do: the next step for the user.
        path: the file at fault, if one is.
        line: the line in ``path``, counted from 1.
    """

    def __init__(
        self,
        got: str,
        *,
        expected: str | None = None,
        do: str | None = None,
        path: Path | str | None = None,
        line: int | None = None,
    ) -> None:
        self.got, self.expected, self.do, self.path, self.line = got, expected, do, path, line
        place = "" if path is None else f"{path}:{line}: " if line else f"{path}: "
        parts = [place + got]
        if expected:
            parts.append(f"  expected: {expected}")
        if do:
            parts.append(f"  do: {do}")
        super().__init__(shortened("\n".join(parts)))


def shortened(text: str) -> str:
    """``text`` fit for a terminal: the middles of overlong words and lines left out, what is no printable
    character written as an escape. What was got may be a megabyte, or hold codes that change colours."""
    for what, most in ((r"\S", _LONGEST_WORD), (".", _LONGEST_LINE)):
        text = re.sub(rf"{what}{{{most + 1},}}", partial(_without_middle, most - 100), text)
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _without_middle(kept: int, match: re.Match[str]) -> str:
    whole = match[0]
    return f"{whole[:kept]}...({len(whole):,} characters)...{whole[-50:]}"


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """``"; did you mean 'xnli'?"`` where a known word is close, else ``""``."""
    import difflib

    if len(word) > _LONGEST_WORD:  # comparing takes the product of the lengths
        return ""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
