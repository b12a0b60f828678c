"""The one exception that a user is meant to see.

A message says what was got, what was expected and what to do next. The command
line prints it without a traceback and exits with status 2; the Python API
raises it.
"""

from __future__ import annotations

from pathlib import Path


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
        super().__init__("\n".join(parts))


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """``"; did you mean 'xnli'?"`` where a known word is close, else ``""``."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
