"""``xadapt run``: train what expressions need, evaluate them zero-shot, compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from xadapt.cli.checks import whole, words
from xadapt.cli.options import Planned, say_if_hub_is_silent, study_of
from xadapt.common.output import check_place, write_output
from xadapt.tasks.languages import GroupBy

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.study.plan import Layer
    from xadapt.study.results import Results
    from xadapt.study.study import Study


@dataclass(frozen=True, kw_only=True)
class Evaluated(Planned):
    """Where and with which seeds expressions are evaluated."""

    langs: str = "all"
    """languages to evaluate in, such as en,de; all that the data has by default"""
    split: Literal["auto", "dev", "test"] = "auto"
    """what to evaluate on; auto is test where it has real labels, else dev"""
    seeds: str = "0"
    """seeds of the modules, such as 0,1,2 or 0 1 2"""
    items: int | None = None
    """evaluate on so many items a language, taken evenly from all over them; all by default"""
    dry_run: bool = False
    """show the plan and stop"""
    track: Literal["tensorboard", "wandb", "mlflow"] | None = None
    """also keep a record of each training there; TensorBoard's is in the store, in tracking/"""
    json: Path | None = None
    """write the results to this file as well; - for standard output, tables then go to standard error"""


@dataclass(frozen=True)
class Run(Evaluated):
    """Train what a list of expressions needs and evaluate each zero-shot."""

    expressions: tyro.conf.Positional[tuple[str, ...]]
    """stack expressions, such as "xnli" "mnli > xnli"; gains are against the first"""
    layer: int | None = None
    """hidden layer that retrieval pools, 0 for the embeddings; by default 14/24 of the depth"""
    baselines: bool = True
    """scores that need no model stand beside the results; --no-baselines leaves them out"""
    by: GroupBy | None = None
    """add means over groups of languages, English left out"""


def execute(options: Run, console: Console, errors: Console) -> Results | None:
    """Plan, show the plan, run it. Returns None on a dry run."""
    study = evaluated(options, options.expressions, layer=options.layer)
    results = run(study, options, console, errors, baselines=options.baselines)
    if results is not None:
        from xadapt.report.tables import as_json, print_results

        print_results(results, console, options.by)
        if options.json is not None:
            write_output(options.json, as_json(results))
    return results


def evaluated(options: Evaluated, expressions: Sequence[str], *, layer: Layer) -> Study:
    """The study that the options describe. Raises ``UserError`` for what can be refused before it is run."""
    seeds = [whole(word, "--seeds") for word in words(options.seeds, "--seeds")]
    languages = None if options.langs == "all" else words(options.langs, "--langs")
    if options.json is not None:
        check_place(options.json)  # now, not after hours of training
    split = None if options.split == "auto" else options.split
    return study_of(
        options, expressions, seeds=seeds, languages=languages, split=split, layer=layer, items=options.items
    )


def run(
    study: Study, options: Evaluated, console: Console, errors: Console, *, baselines: bool
) -> Results | None:
    """Show the plan, and run it unless only that was asked for."""
    from xadapt.report.tables import plan_table

    console.print(plan_table(study))
    if options.dry_run:
        say_if_hub_is_silent(options.data, errors)
        return None
    from xadapt.report.progress import Bars

    bars = Bars(errors)
    if options.track is None:
        results = study.run(watch=bars, baselines=baselines)
    else:
        from xadapt.report.tracking import Tracked

        tracked = Tracked(options.track, options.store / "tracking", bars)
        results = study.run(watch=tracked, baselines=baselines)
        tracked.results(results)
    console.print()
    return results
