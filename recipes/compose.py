"""Nine intermediate tasks: which way to combine what they taught helps a target in other languages?

    python recipes/compose.py

Trains a module for each of the nine English tasks and puts them below the target in every way there is:
none, the best single one, one on the other, one module for all, learned weights, the mean, TIES. Accuracy
in English and zero-shot, what is stored, what training took, and inference time over the bare encoder's,
measured side by side: as the modules were trained, and folded.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.markup import escape
from rich.table import Table

from xadapt.backbone.backbone import Backbone
from xadapt.common.console import one_message, size, wide
from xadapt.common.files import write_output
from xadapt.common.measure import interleaved, ratios, timed
from xadapt.data.sources import open_source
from xadapt.kinds import kind_of
from xadapt.mount import mount
from xadapt.report.progress import Bars
from xadapt.stacks.methods import parse_method
from xadapt.stacks.places import needs
from xadapt.store.store import Store
from xadapt.study.module_loader import Shelf
from xadapt.study.plan import Overrides, Plan, make_plan
from xadapt.study.results import Results
from xadapt.study.run import run
from xadapt.train.evaluate import predict

NINE = ("anli", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmos_qa", "commonsense_qa")


@dataclass(frozen=True)
class Options:
    """The same script serves a real model and real data."""

    target: str = "xnli"
    """the task on top"""
    tasks: tuple[str, ...] = NINE
    """what is combined below it"""
    backbone: str = "pocket"
    """pocket, a hub id such as FacebookAI/xlm-roberta-base, or a folder in HF format"""
    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    method: str = "lora"
    """lora(r=8) or bottleneck(reduction=4)"""
    langs: tuple[str, ...] = ()
    """languages to evaluate in; all that the data has by default"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """one run of everything a seed"""
    max_steps: int | None = 100
    """optimiser steps a module at most; of a joint, for each of its tasks"""
    rounds: int = 5
    """rounds of the speed measurement"""
    store: Path = Path(".xadapt")
    """where modules and scores are kept"""
    json: Path | None = None
    """write the table there as well"""


def main(options: Options) -> None:
    backbone = Backbone.from_pretrained(options.backbone)
    source, store = open_source(options.data), Store(options.store)
    console, watch = wide(), Bars(wide(stderr=True))

    def study(expressions: list[str]) -> tuple[Plan, Results]:
        plan = make_plan(
            expressions,
            backbone=backbone,
            source=source,
            method=parse_method(options.method),
            seeds=options.seeds,
            languages=options.langs or None,
            overrides=Overrides(max_steps=options.max_steps),
        )
        return plan, run(plan, store, watch=watch, baselines=False)

    target, all_of = options.target, ", ".join(options.tasks)

    # 1. Each task alone below the target; the best of them by English dev, never by what is reported.
    singles = study([f"{task} > {target}" for task in options.tasks])
    best = max(options.tasks, key=lambda task: english_dev(store, singles[1], f"{task} > {target}"))
    ways = {
        "none": target,
        "best single": f"{best} > {target}",
        "sequential": " > ".join([*options.tasks, target]),
        "joint of all": f"joint({all_of}) > {target}",
        "fuse of all": f"fuse({all_of}) > {target}",
        "mean": f"mean({all_of}) > {target}",
        "ties": f"ties({all_of}) > {target}",
    }

    # 2. All ways.
    plan, results = study(list(ways.values()))

    # 3. What each costs to run.
    costs = {fold: speed(plan, store, options.rounds, fold) for fold in (False, True)}

    # 4. One table.
    rows = [row(way, expr, plan, results, costs) for way, expr in ways.items()]
    console.print(table(rows, options, source.name))
    print_singles(singles[1], options, console)
    if options.json:
        write_output(options.json, {"backbone": backbone.name, "data": source.name, "rows": rows})
    backbone.verify()


def english_dev(store: Store, results: Results, expr: str) -> float:
    """The mean over seeds of the target module's best English dev score."""
    return statistics.mean(
        store.load(m.address).manifest["dev"]["score"] for m in results.modules if m.expr == expr
    )


def speed(plan: Plan, store: Store, rounds: int, fold: bool) -> dict[str, float]:
    """Expression -> inference time over that of the bare encoder: the median of rounds run in turns."""
    evaluation = plan.evaluations[0]
    kind = kind_of(evaluation.task)
    head = kind.head(plan.backbone.config).to(plan.backbone.device)
    examples = plan.source.load(evaluation.task.name, "en", evaluation.split)[:256]
    items = kind.encode(examples, plan.backbone.tokenizer, evaluation.max_length, training=False)
    device = str(plan.backbone.device)

    def work(mounted: Any) -> Callable[[], tuple[int, float]]:
        return timed(lambda: len(predict(mounted, head, kind, items)), device)

    contenders = {"bare": work(mount(plan.backbone, []))}
    shelf = Shelf(plan, store)
    for one in plan.evaluations:
        if one.expr not in contenders:
            contenders[one.expr] = work(mount(plan.backbone, shelf.elements(one.stack, one.seed), fold=fold))
    rates = interleaved(contenders, rounds=rounds, warmup=1)
    return {name: 1 / spread.median for name, spread in ratios(rates, "bare").items()}


def row(
    way: str, expr: str, plan: Plan, results: Results, costs: dict[bool, dict[str, float]]
) -> dict[str, Any]:
    """One line: scores by seed, sizes and seconds of all modules that the expression needs, a seed."""
    cells = [c for c in results.cells if c.expr == expr and c.metric == plan.evaluations[0].task.metrics[0]]
    seeds = sorted({c.seed for c in cells})
    english = [c.score for c in cells if c.lang == "en"]
    zero_shot = [statistics.mean(c.score for c in cells if c.seed == s and c.lang != "en") for s in seeds]
    needed = needed_by(plan, expr)
    modules = [m for m in results.modules if m.address in needed]
    return {
        "way": way,
        "expr": expr,
        "english": english,
        "zero_shot": zero_shot,
        "parameters": sum(m.parameters for m in modules) // len(seeds),
        "bytes": sum(m.bytes for m in modules) // len(seeds),
        "training_seconds": sum(m.seconds for m in modules) / len(seeds),
        "inference": costs[False][expr],
        "inference_folded": costs[True][expr],
        "cells": [asdict(c) for c in cells],
    }


def needed_by(plan: Plan, expr: str) -> set[str]:
    """The addresses of all modules that an expression stands on, its own included."""
    evaluations = [e for e in plan.evaluations if e.expr == expr]
    return {
        plan.addresses[e.seed][need.stack]
        for e in evaluations
        if e.stack is not None
        for need in needs(e.stack)
    }


def table(rows: list[dict[str, Any]], options: Options, source: str) -> Table:
    world = ", pocket world: no evidence about real languages" if source == "pocket" else ""
    made = Table(title=escape(f"{options.target}, {len(options.seeds)} seeds{world}"), title_justify="left")
    made.add_column("what lies below")
    for column in (
        "English",
        "zero-shot",
        "gain",
        "parameters",
        "on disk",
        "training s",
        "inference",
        "folded",
    ):
        made.add_column(column, justify="right", no_wrap=True)
    first = rows[0]["zero_shot"]
    for r in rows:
        gain = [a - b for a, b in zip(r["zero_shot"], first, strict=True)]
        made.add_row(
            r["way"] if r["way"] != "best single" else escape(f"best single: {r['expr'].split(' > ')[0]}"),
            spread(r["english"]),
            spread(r["zero_shot"]),
            "·" if r is rows[0] else spread(gain, sign=True),
            f"{r['parameters']:,}",
            size(r["bytes"]),
            f"{r['training_seconds']:.0f}",
            f"{r['inference']:.2f}x",
            f"{r['inference_folded']:.2f}x",
        )
    made.caption = (
        "± standard deviation over seeds; gain: zero-shot against none; parameters, bytes and training "
        "seconds of all modules needed, a seed; inference: time over the bare encoder's, same run"
    )
    return made


def print_singles(results: Results, options: Options, console: Any) -> None:
    made = Table(title="each task alone below the target", title_justify="left")
    for column in ("below", "English", "zero-shot"):
        made.add_column(column, justify="left" if column == "below" else "right")
    for task in options.tasks:
        cells = [c for c in results.cells if c.expr == f"{task} > {options.target}"]
        first = cells[0].metric
        cells = [c for c in cells if c.metric == first]
        zero = [
            statistics.mean(c.score for c in cells if c.seed == s and c.lang != "en") for s in options.seeds
        ]
        made.add_row(task, spread([c.score for c in cells if c.lang == "en"]), spread(zero))
    console.print(made)


def spread(values: list[float], sign: bool = False) -> str:
    mean = f"{statistics.mean(values):{'+' if sign else ''}.1f}"
    return mean if len(values) == 1 else f"{mean} ±{statistics.stdev(values):.1f}"


if __name__ == "__main__":
    options = tyro.cli(Options, description=__doc__)
    with one_message():
        main(options)
