"""Which English intermediate task helps which target in other languages?

    python recipes/intermediate_transfer.py

The study's main table, with intervals: nine English intermediate tasks, each alone below each target of
XTREME (or XTREME-R), none, and all nine jointly; --compose adds other ways to use all nine. Targets are
trained in English only; gains are of the mean over the other languages, in points, against the target's
module alone.

Literature (Phang et al. 2020, arXiv 2005.13013; XLM-R large, all weights trained): on XTREME's test sets
+5.4 points over XLM-R for the best per target. The rows marked "published" below are test scores of XLM-R
large with and without intermediate training as RemBERT's authors quote them (Chung et al. 2021, arXiv
2010.12821, table 16): other data and another method than this table's, for orientation only.

Cost: 11 rows x 6 trained targets x seeds modules (228 for three seeds), and 11 x 9 x seeds evaluations. On
one GPU it has not been measured: --dry-run estimates it from a short probe on the machine it is to run on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import xadapt

# XLM-R large and X-STILTs, as Chung et al. 2021, table 16 quotes them: accuracy, and F1 for the others.
PUBLISHED = {
    "xnli": (79.2, 80.0),
    "pawsx": (86.4, 87.9),
    "udpos": (73.8, 74.9),
    "panx": (65.4, 64.0),
    "xquad": (76.6, 78.7),
    "mlqa": (71.6, 72.4),
    "tydiqa": (65.1, 76.0),
}


@dataclass(frozen=True, kw_only=True)
class Options(xadapt.RecipeOptions):
    """The same script serves a real model and real data."""

    below: tuple[str, ...] = xadapt.NINE_INTERMEDIATE
    """intermediate tasks; those that the data lacks are left out, and said"""
    targets: tuple[str, ...] = ()
    """targets; by default all of the benchmark that the data has"""
    benchmark: Literal["xtreme", "xtreme_r"] = "xtreme"
    """whose targets"""
    compose: tuple[Literal["joint", "fuse", "mean", "ties"], ...] = ("joint",)
    """ways to use all intermediate tasks together"""


def main(options: Options) -> None:
    options = options.quickly(max_steps=12)
    below, notes = options.available(options.below[1:5:3] if options.quick else options.below)
    few = ("xnli", "udpos", "tatoeba")
    wanted = options.targets or (few if options.quick else xadapt.BENCHMARKS[options.benchmark])
    targets, more = options.available(wanted)

    # 1. The grid: none, each alone, all together.
    together = [f"{way}({', '.join(below)})" for way in options.compose] if len(below) > 1 else []
    lower = [*below, *together]
    grid = options.grid(["{target}", *(f"{one} > {{target}}" for one in lower)], targets=targets)
    results = options.run(grid)
    if results is None:
        return

    # 2. Gains over none, by target and on average; one family of comparisons.
    evidence = grid.evidence(results)
    failed = set(evidence.lacking([*targets, *(f"{one} > {t}" for one in lower for t in targets)]))
    targets = tuple(t for t in targets if t not in failed)
    lower = [one for one in lower if failed.isdisjoint(f"{one} > {t}" for t in targets)]
    notes += [f"left out, since a part of it failed: {expr}" for expr in sorted(failed)]
    gains = {
        (one, target): evidence.mean(evidence.row(f"{one} > {target}")) - evidence.mean(evidence.row(target))
        for one in lower
        for target in targets
    }
    gains |= {(one, "mean"): xadapt.average([gains[one, t] for t in targets]) for one in lower}
    found = dict(zip(gains, evidence.estimate(list(gains.values()), compared=True), strict=True))

    # 3. The table, in the study's layout: the baseline's scores, then gains.
    scores = evidence.estimate([evidence.mean(evidence.row(target)) for target in targets])
    rows: list[tuple[xadapt.Entry, ...]] = [("none", *map(xadapt.shown, scores), None)]
    rows += [(one, *(xadapt.shown(found[one, t], gain=True) for t in (*targets, "mean"))) for one in lower]
    for line, place in (("published: XLM-R large", 0), ("published: with intermediate training", 1)):
        found_there = (
            xadapt.Amount(s := PUBLISHED[t][place], f"{s:.1f}") if t in PUBLISHED else None for t in targets
        )
        rows.append((line, *found_there, None))
    table = xadapt.Table(
        "zero-shot scores without an intermediate task, and gains with one",
        ("below", *targets, "mean"),
        tuple(rows),
        note="mean over languages but English, of each target's first metric; gains in points with 95% "
        "intervals, Holm over the table. Published rows: other data and method, English included.",
    )

    # 4. The answer.
    best = max(lower, key=lambda one: found[one, "mean"].value)
    shown = sum(found[one, t].shown for one in lower for t in targets)
    answer = (
        f"on average over {len(targets)} targets, {best} gains most: {found[best, 'mean'].text()}; "
        f"of {len(lower) * len(targets)} single gains {shown} are shown after Holm's correction"
    )
    options.conclude(grid, results, answer=answer, figures=[table], notes=[*notes, *more])


if __name__ == "__main__":
    xadapt.script(main, Options)
