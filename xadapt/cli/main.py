"""The command line: options, typed once, into calls. A command is a file beside this one."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib.metadata import version
from typing import Annotated, Any

import tyro

from xadapt.cli.apply import Apply, apply
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
from xadapt.common.console import one_message, wide
from xadapt.common.errors import UserError, shortened
from xadapt.common.launch import leads
from xadapt.common.output import is_output

Command = (
    Annotated[Tasks, tyro.conf.subcommand("tasks")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Study, tyro.conf.subcommand("study")]
    | Annotated[Explain, tyro.conf.subcommand("explain")]
    | Annotated[Layers, tyro.conf.subcommand("layers")]
    | Annotated[Apply, tyro.conf.subcommand("apply")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Score, tyro.conf.subcommand("score")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[ShowResults, tyro.conf.subcommand("results")]
    | Annotated[Modules, tyro.conf.subcommand("modules")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)


HELP = """Knowledge from English tasks in small modules on a frozen XLM-R, stacked below a
task that is trained in English only, evaluated in up to 50 languages.

  xadapt run xnli "mnli > xnli"              train, evaluate in every language
  xadapt run "mnli > xnli" --dry-run         what that would train and reuse
  xadapt study my-study.toml                 a grid of experiments as one
  xadapt results --task xnli                 what the store holds, with intervals
  xadapt apply "mnli > xnli" --in pairs.tsv  texts in, labels out

To look: tasks, explain, results, report. To do: run, study, layers, apply.
XTREME's files: predict, score. To keep and exchange: modules. What this machine has: doctor.
'xadapt COMMAND --help' says more."""


def parsed(arguments: list[str] | None) -> Any:
    """The command that the words say; exits with status 2 where they say none.

    Raises:
        UserError: a word is empty, which would else stand for this folder wherever a place is named.
    """
    words = sys.argv[1:] if arguments is None else arguments
    for before, word in zip(["xadapt", *words], words, strict=False):
        if not word or (word.endswith("=") and word.startswith("--")):
            got = f"nothing behind {shortened(word or before)!r}"
            do = "see whether a variable of the shell is unset, or leave it out"
            raise UserError(got, expected="a value: an empty one means nothing here", do=do)
    if words in (["--version"], ["-V"]):
        print(f"xadapt {version('xadapt')}")
        sys.exit(0)
    short = [shortened(word) for word in words]
    if short != words:  # a refusal repeats a word as it is, be it a megabyte
        named = [word for word in words if word.startswith("-") and "=" not in word[:100]]
        if (
            max(map(len, named), default=0) < 100
        ):  # of a longer one, the likeliest option is sought for minutes
            with suppress(SystemExit), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                return _parsed(words)
    return _parsed(short)


def _parsed(words: list[str]) -> Any:
    return tyro.cli(
        Command,
        prog="xadapt",
        args=words,
        description=HELP,
        config=(
            tyro.conf.CascadeSubcommandArgs,
            tyro.conf.OmitSubcommandPrefixes,
            tyro.conf.OmitArgPrefixes,
        ),
    )


def main(arguments: list[str] | None = None) -> None:
    """Run one command: exits with status 2 and one message on anything the user can put right."""
    with one_message(goes_on=False), _heard():
        command = parsed(arguments)
    if not leads() and not isinstance(command, Run | Layers | Predict):
        return  # nothing is trained: nothing to help with
    with one_message(goes_on=isinstance(command, Planned | Study)):
        json = getattr(command, "json", None)
        errors = wide(stderr=True)
        console = errors if json is not None and is_output(json) else wide()
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
