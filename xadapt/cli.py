"""The command line: options, typed once, into calls. A command is a file of ``commands/``."""

from __future__ import annotations

from typing import Annotated, Any

import tyro

from xadapt.commands.explain import Explain, explain
from xadapt.commands.layers import Layers, sweep
from xadapt.commands.modules import Modules, modules
from xadapt.commands.predict import Predict, predict
from xadapt.commands.run import Run, execute
from xadapt.commands.score import Score, score
from xadapt.commands.tasks import Tasks, show_tasks
from xadapt.console import one_message, wide

Command = (
    Annotated[Tasks, tyro.conf.subcommand("tasks")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Explain, tyro.conf.subcommand("explain")]
    | Annotated[Layers, tyro.conf.subcommand("layers")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Score, tyro.conf.subcommand("score")]
    | Annotated[Modules, tyro.conf.subcommand("modules")]
)


def parsed(arguments: list[str] | None) -> Any:
    """The command that the words say; exits with status 2 where they say none."""
    return tyro.cli(
        Command,
        prog="xadapt",
        args=arguments,
        description=__doc__,
        config=(
            tyro.conf.CascadeSubcommandArgs,
            tyro.conf.OmitSubcommandPrefixes,
            tyro.conf.OmitArgPrefixes,
        ),
    )


def main(arguments: list[str] | None = None) -> None:
    """The entry point: exits with status 2 and one message on anything the user can put right."""
    command = parsed(arguments)
    console, errors = wide(), wide(stderr=True)
    with one_message():
        match command:
            case Tasks():
                show_tasks(command, console)
            case Run():
                execute(command, console, errors)
            case Explain():
                explain(command, console, errors)
            case Predict():
                predict(command, console, errors)
            case Score():
                score(command, console, errors)
            case Layers():
                sweep(command, console, errors)
            case Modules():
                modules(command, console)


if __name__ == "__main__":
    main()
