"""The processes of one command, where a launcher has started several: ``accelerate launch``, ``torchrun``.

The launcher says so in the environment. Each process runs the same command; one of them leads: it alone
prints and writes.
"""

from __future__ import annotations

import os


class ElsewhereError(RuntimeError):
    """Another process of this command met an error that is no ``UserError``; the text is its traceback."""


def processes() -> int:
    """How many there are; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0")) if processes() > 1 else 0


def leads() -> bool:
    """Whether this is the one that prints and writes; true without a launcher."""
    return rank() == 0


def on_this_machine() -> tuple[int, int]:
    """Which of this machine's processes this is, from 0, and how many these are."""
    if processes() == 1:
        return 0, 1
    return int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
