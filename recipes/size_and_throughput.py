"""Which way to serve a task is fastest at comparable accuracy: size, method, merging, layers, precision?

    python recipes/size_and_throughput.py

One target is trained on each backbone by each method. Each trained module is then served in several ways,
without training anything again: by itself, merged into a copy of the weights (LoRA), without its modules in
the lower layers (AdapterDrop, Rücklé et al. 2021, arXiv 2010.11918), and with the encoder in float32 and in
bfloat16. All are scored, and all are timed in one process in turns, so that what the machine does meanwhile
falls on all alike. Timed is the encoder with its modules, without heads and tokenization, on the same English
examples: throughput in packed batches, latency on the first of them alone. Bytes are those of all weights
that a way holds, were it served alone.

Comparable is said of what is shown to lose less than --tolerance points to the best, one-sided, with a
Bonferroni correction for how many are tried (non-inferiority). The best is the backbone and method with the
highest English dev score, in the type it was trained in: chosen without the scores that are compared.

What merged weights give in float32 is what they give apart, so the two share a score. In bfloat16 merging
would round away a part of the update, so it is left out there. The modules are trained in --dtype bfloat16
if that is given, else in float32.

Literature (no figure below is comparable with this table's): AdapterDrop drops the first 5 layers' adapters
for 39% more speed, with 8 tasks at once; adapters infer 4 to 6% slower than none (Rücklé et al. 2021). LoRA
merged adds no latency (Hu et al. 2021).

Cost: 3 modules and 10 evaluations for each backbone and seed: 18 and 60 for XLM-R base and large and three
seeds. Timing holds all ways in memory at once. GPU time has not been measured: --dry-run estimates it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, NamedTuple

import torch

import xadapt

TYPES: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Options(xadapt.RecipeOptions):
    """The same script serves a real model and real data."""

    backbone: tuple[str, ...] = ("pocket-small", "pocket-medium", "pocket")
    """pocket ones, hub ids such as FacebookAI/xlm-roberta-base, or folders in HF format"""
    target: str = "xnli"
    """the task that is served"""
    others: tuple[str, ...] = ("bottleneck", "full")
    """methods beside --method"""
    dropped: int = 0
    """so many of the lowest layers lose their modules; 0 for half of the layers"""
    tolerance: float = 1.0
    """points that would not matter"""
    examples: int = 256
    """English examples that are timed"""
    rounds: int = 15
    """rounds of the measurement"""


class Way(NamedTuple):
    """One way to serve: what is mounted in which study, and the line that has its scores."""

    study: xadapt.Study
    expr: str
    row: xadapt.Row
    merged: bool = False


def main(options: Options) -> None:
    options = options.quickly(
        backbone=("pocket-small", "pocket"), langs=("en", "de", "sw"), max_steps=6,
        rounds=5, examples=64,
    )  # fmt: skip
    trained, other = TYPES[::-1] if options.dtype == "bfloat16" else TYPES

    # 1. The modules, scored in the type that they are trained in, and the same ones in the other.
    methods = (options.method, *options.others)
    whole = [str(xadapt.Stack(f"{options.target}@{method}")) for method in methods]
    opened = [study.plan.backbone for study in options.grid(whole, dtype=trained).studies]
    last = (options.dropped or min(backbone.layers for backbone in opened) // 2) - 1
    cut = [f"drop({expr}, 0-{last})" for expr in whole if "@full" not in expr]
    grid = options.grid([*whole, *cut], backbones=opened, dtype=trained)
    first = options.run(grid)
    if first is None:
        return
    failed = {failure.expr for failure in first.failures}
    there = [expr for expr in (*whole, *cut) if expr not in failed]
    again = options.grid(there, dtype=other, trained_in=trained)
    second = options.run(again)
    assert second is not None
    runs = ((trained, grid, first), (other, again, second))
    results = replace(
        first,
        cells=tuple(replace(c, backbone=f"{c.backbone} in {t}") for t, _, run in runs for c in run.cells),
        failures=(*first.failures, *second.failures),
        findings=(),
    )

    # 2. All ways to serve them, and what each costs.
    evidence = grid.evidence(results)
    rows = evidence.by_backbone()
    ways: dict[str, Way] = {}
    for dtype, of, _ in runs:
        for study, expr in product(of.studies, there):
            name = f"{study.plan.backbone.name} in {dtype}"
            if row := rows.get((name, expr)):
                how = expr.replace(f"{options.target}@", "")  # lora, drop(lora, 0-5), full
                ways[f"{how}, {name}"] = Way(study, expr, row)
                if dtype == "float32" and how.startswith("lora"):
                    ways[f"{how} merged, {name}"] = Way(study, expr, row, merged=True)
    costs = measured(ways, options)
    speed, size = costs["examples a second"], costs["megabytes"]

    # 3. Which of them are comparable with the best, that is the best by English dev.
    store = xadapt.Store(options.store)
    plain = {n: w for n, w in ways.items() if w.expr in whole and w.row.backbone.endswith(f"in {trained}")}
    best = max(plain, key=lambda name: english_dev(store, plain[name], options.seeds))
    base = ways[best].row
    tests = {
        row: evidence.not_worse(evidence.mean(row) - evidence.mean(base), options.tolerance)
        for row in dict.fromkeys(way.row for way in ways.values())
        if row != base
    }
    comparable = [n for n, w in ways.items() if w.row == base or tests[w.row].p * len(tests) <= 0.05]
    chosen = max(comparable, key=lambda name: statistics.median(speed[name]))

    # 4. The answer.
    same = ways[chosen].row == base
    faster = [a / b for a, b in zip(speed[chosen], speed[best], strict=True)]
    answer = (
        f"the fastest shown to lose less than {options.tolerance:g} points to {best} is {chosen}: "
        f"{'the same module' if same else tests[ways[chosen].row].text()}; "
        f"{xadapt.Spread.of(faster)} times the throughput, "
        f"{size[chosen][0] / size[best][0]:.2f} times the bytes"
    )

    tested = {way.row: tests[way.row].text() if way.row in tests else "the best" for way in ways.values()}
    options.conclude(
        grid, results, answer=answer, figures=figures(evidence, ways, costs, tested, chosen, options)
    )


def figures(
    evidence: xadapt.Evidence,
    ways: dict[str, Way],
    costs: dict[str, dict[str, list[float]]],
    tested: dict[xadapt.Row, str],
    chosen: str,
    options: Options,
) -> list[xadapt.Figure]:
    """Accuracy over each cost, and all in one table."""
    scores = dict(zip(ways, evidence.estimate([evidence.mean(w.row) for w in ways.values()]), strict=True))
    made: list[xadapt.Figure] = []
    for cost, values in costs.items():
        better: Literal["lower", "higher"] = "higher" if cost == "examples a second" else "lower"
        middle = {name: statistics.median(of) for name, of in values.items()}
        at = [xadapt.Point(middle[name], e.value, e.low, e.high, name) for name, e in scores.items()]
        points = xadapt.front_of(at, better)
        named = tuple(p if p.front or p.name == chosen else replace(p, name="") for p in points)
        front = xadapt.Front(f"accuracy over {cost}", cost, "accuracy", named, better)
        made.append(replace(front, tolerance=options.tolerance, chosen=chosen))
    lines: list[tuple[xadapt.Entry, ...]] = []
    for name, way in ways.items():
        entries = [xadapt.Spread.of(values[name]) for values in costs.values()]
        spreads = [xadapt.Amount(e.median, str(e) if e.low < e.high else f"{e.median:.3g}") for e in entries]
        lines.append((name, xadapt.shown(scores[name]), tested[way.row], *spreads))
    table = xadapt.Table(
        "all ways to serve it",
        ("way", "accuracy", "against the best", *costs),
        tuple(lines),
        note=f"accuracy on {options.target}: mean of languages but English, 95% intervals; costs: medians "
        f"(ranges) of {options.rounds} rounds in turns; tests: one-sided 95%, each for itself; comparable is "
        f"what Bonferroni's correction over all {len(set(tested)) - 1} leaves",
    )
    return [*made, table]


def measured(ways: dict[str, Way], options: Options) -> dict[str, dict[str, list[float]]]:
    """Cost -> way -> a value a round: throughput, latency of one example; and the weights, one value."""
    many: dict[str, Callable[[], object]] = {}
    one: dict[str, Callable[[], object]] = {}
    held: dict[str, list[float]] = {}
    with ExitStack() as block, torch.inference_mode():
        for name, way in ways.items():
            backbone = way.study.plan.backbone
            assert isinstance(backbone, xadapt.Backbone)
            seed = way.study.seeds[0]
            mounted = block.enter_context(backbone.mount(way.expr, way.study, seed=seed, fold=way.merged))
            many[name] = encoding(mounted, way.study.batches("en", options.examples))
            one[name] = encoding(mounted, way.study.batches("en", 1))
            held[name] = [sum(p.nbytes for p in mounted.model.parameters()) / 1e6]
        batched, alone = (
            xadapt.side_by_side(each, rounds=options.rounds, device=str(backbone.device))
            for each in (many, one)
        )
    return {
        "examples a second": {n: [options.examples / s for s in of] for n, of in batched.items()},
        "milliseconds for one example": {n: [1e3 * s for s in of] for n, of in alone.items()},
        "megabytes": held,
    }


def encoding(mounted: xadapt.Mounted, batches: list[xadapt.Packed]) -> Callable[[], object]:
    return lambda: [mounted.encode(batch) for batch in batches]


def english_dev(store: xadapt.Store, way: Way, seeds: tuple[int, ...]) -> float:
    """The mean over seeds of the module's best English dev score."""
    found = [way.study.addresses(way.expr, seed)[-1] for seed in seeds]
    return statistics.mean(store.load(address).manifest["dev"]["score"] for address in found)


if __name__ == "__main__":
    xadapt.script(main, Options)
