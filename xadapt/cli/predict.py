"""``xadapt predict``: an expression's predictions as the files that XTREME's leaderboard takes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from xadapt.cli.checks import check_numbers, words
from xadapt.cli.opening import opened
from xadapt.cli.options import Planned
from xadapt.common.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.study.plan import Plan
    from xadapt.study.results import Predicted
    from xadapt.tasks import Catalogue


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
    check_numbers(options)

    from xadapt.interop.xtreme_folder import check_place, write_predictions
    from xadapt.report.leaderboard_tables import print_predictions
    from xadapt.report.progress import Bars
    from xadapt.report.tables import plan_table
    from xadapt.study import run as study

    found = opened(options)
    expression = with_target(options.expression, options.task, found.catalogue)
    store = found.store
    plan = found.plan([expression], options, seeds=[options.seed], languages=languages, split=options.split)
    task = plan.evaluations[0].task
    check_place(options.out, task, overwrite=options.overwrite)  # now, not after hours of training
    console.print(plan_table(plan, store))
    if options.dry_run:
        return []
    made = study.predict(plan, store, watch=Bars(errors))
    files = write_predictions(
        options.out,
        task,
        {one.lang: (one.examples, one.predictions) for one in made},
        provenance(plan, made),
        overwrite=options.overwrite,
    )
    print_predictions(made, files, console)
    return files


def with_target(expression: str, task: str | None, catalogue: Catalogue) -> str:
    """The expression with ``task`` on top, unless it ends in it or none is named. What is wrong with an
    expression is not said here. Raises ``UserError`` for an unknown task."""
    from xadapt.stacks.parser import parse
    from xadapt.tasks import task_named

    if task is None:
        return expression
    name = task_named(task, catalogue).name
    with suppress(UserError):  # not every expression can stand without a target above it
        if parse(expression).target.task == name:
            return expression
    return f"{expression} > {name}"


def provenance(plan: Plan, made: list[Predicted]) -> dict[str, object]:
    """What the predictions come from: expression, modules, backbone, data."""
    (evaluation,) = plan.evaluations
    return {
        "expression": evaluation.expr,
        "seed": evaluation.seed,
        "split": evaluation.split,
        "max_length": evaluation.max_length,
        "layer": evaluation.layer,
        "modules": [
            {"expression": str(place), "address": address}
            for place, address in plan.addresses[evaluation.seed].items()
        ],
        "backbone": {
            "name": plan.backbone.name,
            "fingerprint": plan.backbone.fingerprint,
            "dtype": plan.backbone.dtype_name,
        },
        "data": {"source": plan.source.name, "revisions": {one.lang: one.revision for one in made}},
    }
