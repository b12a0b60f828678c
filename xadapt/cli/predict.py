"""``xadapt predict``: an expression's predictions as the files that XTREME's leaderboard takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from xadapt.cli.checks import words
from xadapt.cli.options import Planned, say_if_hub_is_silent, study_of, with_target

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Predict(Planned):
    """Predict a task with an expression and write XTREME's submission files; labels are not needed."""

    expression: tyro.conf.Positional[str]
    """a stack expression, such as "mnli > xnli" """
    task: str | None = None
    """the target; put above an expression that does not end in it. By default the expression's own"""
    langs: str = "all"
    """languages to predict, such as en,de; all that the data has by default"""
    split: Literal["test", "dev"] = "test"
    """what to predict; test files may come without labels"""
    out: Path = Path("predictions")
    """the folder to write <task>/test-<language>.tsv, json or jsonl into"""
    overwrite: bool = False
    """replace the task's folder in it, with all languages"""
    seed: int = 0
    """the seed of every module"""
    dry_run: bool = False
    """show the plan and stop"""
    layer: int | None = None
    """hidden layer that retrieval pools, 0 for the embeddings; by default 14/24 of the depth"""


def predict(options: Predict, console: Console, errors: Console) -> list[Path]:
    """Train what is missing, predict, write; returns the files, none on a dry run."""
    languages = None if options.langs == "all" else words(options.langs, "--langs")

    from xadapt.data.user_tasks import catalogue_with
    from xadapt.interop.xtreme_folder import check_place
    from xadapt.report.leaderboard_tables import print_predictions
    from xadapt.report.progress import Bars
    from xadapt.report.tables import plan_table
    from xadapt.study.submission import write

    study = study_of(
        options,
        [with_target(options.expression, options.task, catalogue_with(options.tasks))],
        seeds=[options.seed],
        languages=languages,
        split=options.split,
        layer=options.layer,
    )
    check_place(options.out, study.plan.evaluations[0].task, overwrite=options.overwrite)  # before training
    console.print(plan_table(study))
    if options.dry_run:
        say_if_hub_is_silent(options.data, errors)
        return []
    made = study.predict(watch=Bars(errors))
    files = write(study.plan, made, options.out, overwrite=options.overwrite)
    print_predictions(made, files, console)
    return files
