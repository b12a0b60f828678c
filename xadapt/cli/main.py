"""The command line: options, typed once, into calls. A command is a file beside this one."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib.metadata import version
from typing import Final

import tyro

from xadapt.cli.apply import Apply, apply
from xadapt.cli.commands import Said, calmed, overview
from xadapt.cli.completion import Completion
from xadapt.cli.doctor import Doctor, doctor
from xadapt.cli.explain import Explain, explain
from xadapt.cli.layers import Layers, sweep
from xadapt.cli.modules import Modules, modules
from xadapt.cli.options import Planned
from xadapt.cli.predict import Predict, predict
from xadapt.cli.report import Report, report
from xadapt.cli.results import ShowResults, show_results
from xadapt.cli.run import Run, execute
from xadapt.cli.score import Score, score
from xadapt.cli.study import Study, study
from xadapt.cli.tasks import Tasks, show_tasks
from xadapt.cli.words import named, tidied, unknown
from xadapt.common.console import one_message, wide
from xadapt.common.errors import UserError, shortened
from xadapt.common.launch import leads
from xadapt.common.output import is_output

_CONFIG: Final = (
    tyro.conf.CascadeSubcommandArgs,
    tyro.conf.OmitSubcommandPrefixes,
    tyro.conf.OmitArgPrefixes,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.DisallowNone,
)


def parsed(arguments: list[str] | None) -> Said:
    """What the words say; exits where they ask for help or the version.

    Raises:
        UserError: they say no command, or a word is empty, which would else stand for this folder wherever a
            place is named.
    """
    words = sys.argv[1:] if arguments is None else arguments
    for before, word in zip(["xadapt", *words], words, strict=False):
        if not word or (word.endswith("=") and word.startswith("--")):
            got = f"nothing behind {shortened(word or before)!r}"
            do = "see whether a variable of the shell is unset, or leave it out"
            raise UserError(got, expected="a value: an empty one means nothing here", do=do)
    asked = [word for word in words if word != "--plain"]
    if asked in (["--version"], ["-V"]):
        print(f"xadapt {version('xadapt')}")
        sys.exit(0)
    if asked in (["--help"], ["-h"]):
        print(overview())
        sys.exit(0)
    words = tidied(words)
    short = [shortened(word) for word in words]
    if short != words:  # a refusal repeats a word as it is, be it a megabyte
        with suppress(SystemExit), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return _parsed(words)
    return _parsed(short)


def _parsed(words: list[str]) -> Said:
    if "--help" in words or "-h" in words:
        print(calmed(_help(words)), end="")
        sys.exit(0)
    said, left = tyro.cli(Said, prog="xadapt", args=words, config=_CONFIG, return_unknown_args=True)
    if left:
        raise unknown(left[0], words, _help(named(words)))
    return said


def _help(words: list[str]) -> str:
    """What tyro prints of a command."""
    printed = io.StringIO()
    with suppress(SystemExit), redirect_stdout(printed):
        tyro.cli(Said, prog="xadapt", args=[*words, "--help"], config=_CONFIG)
    return printed.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Run one command: exits with status 2 and one message on anything the user can put right."""
    plain = "--plain" in (sys.argv[1:] if arguments is None else arguments)
    with _heard(), one_message(goes_on=False, plain=plain):
        command = parsed(arguments).command
    if not leads() and not isinstance(command, Run | Layers | Predict):
        return  # nothing is trained: nothing to help with
    with one_message(goes_on=isinstance(command, Planned | Study), plain=plain):
        json = getattr(command, "json", None) or getattr(getattr(command, "action", None), "json", None)
        errors = wide(stderr=True, plain=plain)
        console = errors if json is not None and is_output(json) else wide(plain=plain)
        match command:
            case Tasks():
                show_tasks(command, console)
            case Run():
                execute(command, console, errors)
            case Study():
                study(command, console, errors)
            case Explain():
                explain(command, console, errors)
            case Apply():
                apply(command, errors)
            case Predict():
                predict(command, console, errors)
            case Score():
                score(command, console, errors)
            case Layers():
                sweep(command, console, errors)
            case Report():
                report(command, console)
            case ShowResults():
                show_results(command, console, errors)
            case Modules():
                modules(command, console)
            case Doctor():
                if not doctor(command, console):
                    sys.exit(1)
            case Completion(shell):
                tyro.cli(Said, prog="xadapt", args=["--tyro-print-completion", shell], config=_CONFIG)


@contextmanager
def _heard() -> Iterator[None]:
    """What is wrong with the words, or the help, is said by the process that leads, and by no other."""
    if leads():
        yield
        return
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            yield
        except SystemExit:
            sys.exit(0)  # any other status, and the launcher might end the one that speaks
