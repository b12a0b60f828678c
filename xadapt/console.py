"""Where text goes, and how a run ends that a user can put right."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from xadapt.errors import UserError


def wide(*, stderr: bool = False) -> Console:
    """A console; wide enough for tables where its output goes to a file."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=160)


@contextmanager
def one_message() -> Iterator[None]:
    """A ``UserError`` becomes one message on standard error and exit status 2; no traceback."""
    errors = wide(stderr=True)
    try:
        yield
    except UserError as error:
        errors.print(f"xadapt: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        errors.print("xadapt: stopped; the same command goes on where it was", highlight=False)
        sys.exit(130)
