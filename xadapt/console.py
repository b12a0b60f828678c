"""Where text goes."""

from __future__ import annotations

from rich.console import Console


def wide(*, stderr: bool = False) -> Console:
    """A console; wide enough for tables where its output goes to a file."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=160)
