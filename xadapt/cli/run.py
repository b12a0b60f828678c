"""``xadapt run``: train what expressions need, evaluate them zero-shot, compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from xadapt.cli.checks import check_numbers, whole, words
from xadapt.cli.opening import opened
from xadapt.cli.options import Planned
from xadapt.common.files import check_place, write_output
from xadapt.tasks.languages import GroupBy

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.study.results import Results


@dataclass(frozen=True)
class Run(Planned):
    """Train what a list of expressions needs and evaluate each zero-shot."""

    expressions: tyro.conf.Positional[tuple[str, ...]]
    """stack expressions, such as "xnli" "mnli > xnli"; gains are against the first"""
    langs: str = "all"
    """languages to evaluate in, such as en,de; all that the data has by default"""
    split: Literal["auto", "dev", "test"] = "auto"
    """what to evaluate on; auto is test where it has real labels, else dev"""
    seeds: str = "0"
    """seeds, such as 0,1,2"""
    dry_run: bool = False
    """show the plan and stop"""
    json: Path | None = None
    """write the results to this file as well; with - they go to standard output, and
    the tables to standard error"""
    layer: int | None = None
    """hidden layer that retrieval pools, 0 for the embeddings; by default 14/24 of the depth"""
    baselines: bool = True
    """put scores that need no model beside the results"""
    by: GroupBy | None = None
    """add means over groups of languages, English left out"""


def execute(options: Run, console: Console, errors: Console, *, every_layer: bool = False) -> Results | None:
    """Plan, show the plan, run it. Returns None on a dry run."""
    seeds = [whole(word, "--seeds") for word in words(options.seeds, "--seeds")]
    languages = None if options.langs == "all" else words(options.langs, "--langs")
    check_numbers(options)
    if options.json is not None:
        check_place(options.json)  # now, not after hours of training

    from xadapt.report.layer_curve import best_layers, print_layers
    from xadapt.report.progress import Bars
    from xadapt.report.tables import as_json, plan_table, print_results
    from xadapt.study.run import run

    found = opened(options)
    plan = found.plan(
        options.expressions,
        options,
        seeds=seeds,
        languages=languages,
        split=None if options.split == "auto" else options.split,
        layers=range(found.backbone.layers + 1) if every_layer else None,
    )
    store = found.store
    console.print(plan_table(plan, store))
    if options.dry_run:
        return None
    results = run(plan, store, watch=Bars(errors), baselines=options.baselines)
    console.print()
    content = as_json(results)
    if every_layer:
        print_layers(results, console)
        content["layers"] = best_layers(results)
    else:
        print_results(results, console, options.by)
    if options.json is not None:
        write_output(options.json, content)
    return results
