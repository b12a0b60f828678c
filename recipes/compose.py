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
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

import xadapt


@dataclass(frozen=True)
class Options:
    """The same script serves a real model and real data."""

    target: str = "xnli"
    """the task on top"""
    tasks: tuple[str, ...] = xadapt.NINE_INTERMEDIATE
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
    backbone = xadapt.Backbone.from_pretrained(options.backbone)
    store = xadapt.Store(options.store)
    target, all_of = options.target, ", ".join(options.tasks)

    # 1. Each task alone below the target; the best of them by English dev, never by what is reported.
    study = xadapt.Study(
        [f"{task} > {target}" for task in options.tasks],
        backbone,
        options.data,
        method=options.method,
        seeds=options.seeds,
        languages=options.langs or None,
        max_steps=options.max_steps,
        store=store,
    )
    singles = study.run(watch=xadapt.Bars(), baselines=False)
    best = max(options.tasks, key=lambda task: english_dev(store, singles, f"{task} > {target}"))
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
    study = replace(study, expressions=list(ways.values()), data=study.plan.source)
    results = study.run(watch=xadapt.Bars(), baselines=False)

    # 3. What each costs to run.
    costs = {fold: speed(backbone, study, options.rounds, fold) for fold in (False, True)}

    # 4. One table.
    rows = [row(way, expr, study, results, costs) for way, expr in ways.items()]
    xadapt.show(table(rows, options, results.data))
    xadapt.show(singles_table(singles, options))
    if options.json:
        content = {"backbone": backbone.name, "data": results.data, "rows": rows}
        xadapt.write_json(options.json, content)
    backbone.verify()


def english_dev(store: xadapt.Store, results: xadapt.Results, expr: str) -> float:
    """The mean over seeds of the target module's best English dev score."""
    return statistics.mean(
        store.manifest(m.address)["dev"]["score"] for m in results.modules if m.expr == expr
    )


def speed(backbone: xadapt.Backbone, study: xadapt.Study, rounds: int, fold: bool) -> dict[str, float]:
    """Expression -> inference time over that of the bare encoder: the median of rounds run in turns."""
    batches = study.batches("en", 256)

    def work(mounted: xadapt.Mounted) -> Callable[[], object]:
        return lambda: [mounted.encode(batch) for batch in batches]

    with ExitStack() as block, torch.inference_mode():
        ways = {"bare": work(block.enter_context(backbone.mount(None)))}
        for expr in study.expressions:
            mounted = block.enter_context(backbone.mount(expr, study, seed=study.seeds[0], fold=fold))
            ways[str(expr)] = work(mounted)
        seconds = xadapt.side_by_side(ways, rounds=rounds, device=str(backbone.device))
    return {
        name: statistics.median(a / b for a, b in zip(values, seconds["bare"], strict=True))
        for name, values in seconds.items()
    }


def row(
    way: str,
    expr: str,
    study: xadapt.Study,
    results: xadapt.Results,
    costs: dict[bool, dict[str, float]],
) -> dict[str, Any]:
    """One line: scores by seed, sizes and seconds of all modules that the expression needs, a seed."""
    cells = [c for c in first_metric(results) if c.expr == expr]
    seeds = sorted({c.seed for c in cells})
    english = [c.score for c in cells if c.lang == "en"]
    zero_shot = [statistics.mean(c.score for c in cells if c.seed == s and c.lang != "en") for s in seeds]
    needed = {address for seed in seeds for address in study.addresses(expr, seed)}
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


def first_metric(results: xadapt.Results) -> list[Any]:
    """The scores by the target's first metric."""
    return [c for c in results.cells if c.metric == results.cells[0].metric]


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
            decimal(r["bytes"]),
            f"{r['training_seconds']:.0f}",
            f"{r['inference']:.2f}x",
            f"{r['inference_folded']:.2f}x",
        )
    made.caption = (
        "± standard deviation over seeds; gain: zero-shot against none; parameters, bytes and training "
        "seconds of all modules needed, a seed; inference: time over the bare encoder's, same run"
    )
    return made


def singles_table(results: xadapt.Results, options: Options) -> Table:
    made = Table(title="each task alone below the target", title_justify="left")
    for column in ("below", "English", "zero-shot"):
        made.add_column(column, justify="left" if column == "below" else "right")
    for task in options.tasks:
        cells = [c for c in first_metric(results) if c.expr == f"{task} > {options.target}"]
        zero = [
            statistics.mean(c.score for c in cells if c.seed == s and c.lang != "en") for s in options.seeds
        ]
        made.add_row(task, spread([c.score for c in cells if c.lang == "en"]), spread(zero))
    return made


def spread(values: list[float], sign: bool = False) -> str:
    mean = f"{statistics.mean(values):{'+' if sign else ''}.1f}"
    return mean if len(values) == 1 else f"{mean} ±{statistics.stdev(values):.1f}"


if __name__ == "__main__":
    xadapt.script(main, Options)
