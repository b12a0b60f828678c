"""Where text goes, and how a run ends that a user can put right."""

from __future__ import annotations

import io
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console, ConsoleOptions

from xadapt.common.errors import UserError, shortened
from xadapt.common.launch import ElsewhereError, leads

WIDE, UNBROKEN = 160, 10_000  # columns of a file or pipe: for tables with lines, and for plain rows
NOBODY_READS = 141  # what a shell reports of any tool that wrote into a closed pipe: 128 + SIGPIPE
LEADER_SPEAKS = 30.0  # seconds that another process leaves to the one that leads, to end with its message
STOPPED = 130  # and of one that Ctrl-C ended: 128 + SIGINT


class _Output(Console):
    """A console whose errors end the run in ``one_message``."""

    plain = False

    @property
    def options(self) -> ConsoleOptions:
        found = super().options
        if self.plain:
            found.encoding = "ascii"  # what tables and trees ask, to know whether lines can be drawn
        return found

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritten(error) from error


def wide(*, stderr: bool = False, plain: bool = False) -> Console:
    """A console, as wide as its terminal; in a file or pipe wide enough for tables. ``COLUMNS`` in the
    environment sets another width. Of several processes only the one that leads is heard.

    Args:
        plain: without colours, without lines around tables, without bars that move; in a file or pipe each
            row of a table is one line.
    """
    console = _Output(stderr=stderr, quiet=not leads())
    if console.is_terminal:
        width = console.width if plain else None
    else:
        said = os.environ.get("COLUMNS", "")
        width = int(said) if said.isdecimal() and int(said) else UNBROKEN if plain else WIDE
    if not plain:
        return console if width is None else _Output(stderr=stderr, width=width, quiet=not leads())
    console = _Output(stderr=stderr, width=width, quiet=not leads(), color_system=None, force_terminal=False)
    console.plain = True
    return console


def print_plain(console: Console, text: str) -> None:
    """A text as it is: no markup in it, no colours, no line broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_wrapped(console: Console, text: str, indent: int = 0) -> None:
    """A text as it is, broken between words where the console is narrower, and indented from there."""
    wrapped = textwrap.wrap(
        text, console.width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    print_plain(console, "\n".join(wrapped))


@contextmanager
def one_message(*, goes_on: bool = True, plain: bool = False) -> Iterator[None]:
    """Every end but success is one message on standard error and an exit status; no traceback.

    2 for what the user can put right and what the system refuses, 130 for Ctrl-C. Where nobody reads the
    output any more, 141 without a word, as of other tools.

    Args:
        goes_on: whether the same command would find what this one has finished.
        plain: without colours.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name of a file may hold what no encoding can say
            stream.reconfigure(errors="backslashreplace")
    stopped, red = _Stop(), None if plain else "red"
    try:
        try:
            with stopped.heard():
                yield
        finally:
            _flush()
    except UserError as error:
        _end(str(error), 2, style=red)
    except ElsewhereError as error:
        _end(str(error), 1, style=red)
    except BrokenPipeError:
        _silence()
        sys.exit(NOBODY_READS)
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) or stopped.asked:
            kept = "; the same command takes up what was finished, and does the rest" if goes_on else ""
            _end(f"stopped{kept}", STOPPED)
        if not isinstance(error, OSError):
            raise
        place = f"{error.filename}: " if error.filename else ""
        _end(f"{place}the system refuses: {error.strerror or error}", 2, style=red)


class _Stop:
    """Whether Ctrl-C was pressed. Libraries that are being loaded turn the exception that it raises into
    others, such as an import that failed."""

    asked = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Note it for the time of the block, where it would raise ``KeyboardInterrupt`` anyway."""
        usual = signal.getsignal(signal.SIGINT)
        here = threading.current_thread() is threading.main_thread()
        if not here or usual is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)

    def _note(self, *_: object) -> None:
        self.asked = True
        raise KeyboardInterrupt


def _flush() -> None:
    if sys.stdout is not None and not sys.stdout.closed:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritten(error) from error


def _unwritten(error: OSError) -> UserError:
    _silence()
    return UserError(
        f"the output cannot be written: {error.strerror or error}", do="send it to where there is room for it"
    )


def _silence() -> None:
    """Let go of what could not be written, or Python tries again at its end, and complains."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(message: str, status: int, style: str | None = None) -> None:
    if not leads() and status != STOPPED:
        time.sleep(LEADER_SPEAKS)  # mostly it says the same, and then the launcher ends us
    with suppress(OSError):  # standard error may be closed too
        Console(stderr=True, width=160).print(
            shortened(f"xadapt: {message}"), style=style, highlight=False, markup=False, soft_wrap=True
        )
    sys.exit(status)
