"""Do several diverse intermediate tasks together help low-resource languages more than one alone does?

    python recipes/many_tasks_low_resource.py

Intermediate tasks of different kinds lie below each target of XTREME-R together (one module on their mixture,
a learned fusion, the mean, one on the other) and each alone. A way to use all is compared with the best
single task and with the mean of all singles. The best single one is chosen for each target by the English dev
score of the target's module, never by the scores that are compared; so is the way that the answer is about,
over all targets. Languages are grouped by what XLM-R read of them (CC-100), those that it has not read apart.
Tatoeba is left out: nothing is trained on it, so no dev score chooses and no fusion learns.

Literature: no comparison of this kind on XTREME-R could be verified. On XTREME's dev sets, with all weights
of XLM-R large trained, Phang et al. 2020 (arXiv 2005.13013) trained on all of nine tasks and on each. Task
adapters alone are about as good as full fine-tuning in languages seen in pretraining, and clearly worse in
unseen ones (MAD-X, Pfeiffer et al. 2020, as others summarise it).

Cost: 88 modules and 90 evaluations a seed with five tasks and nine targets (264 and 270 for three seeds), at
XLM-R base as at large, both under a billion parameters. On one GPU it has not been measured: --dry-run
estimates it from a short probe on the machine it is to run on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import xadapt

DIVERSE = ("mnli", "squad_v1", "hellaswag", "ccg", "qqp")
Way = Literal["joint", "fuse", "mean", "sequential"]
NAMED = {"low": "low-resource", "unseen": "unseen", "all": "all"}
SINGLES = ("none", "the mean single", "the best single")


@dataclass(frozen=True, kw_only=True)
class Options(xadapt.RecipeOptions):
    """The same script serves a real model and real data."""

    below: tuple[str, ...] = DIVERSE
    """intermediate tasks, in the order in which they are stacked; those that the data lacks are left out"""
    targets: tuple[str, ...] = tuple(t for t in xadapt.BENCHMARKS["xtreme_r"] if t != "tatoeba")
    """targets, of those that are trained"""
    ways: tuple[Way, ...] = ("joint", "fuse", "mean", "sequential")
    """ways to use all tasks together"""


def main(options: Options) -> None:
    options = options.quickly(
        below=("mnli", "ccg"), targets=("xnli", "udpos"), langs=("en", "de", "sw"),
        max_steps=4,
    )  # fmt: skip
    below, notes = options.available(options.below)
    wanted, more = options.available(options.targets)
    if len(below) < 2:
        raise xadapt.UserError(f"{len(below)} intermediate tasks", expected="two or more to use together")

    # 1. The grid: none, each task alone, all together in each way.
    together: dict[str, str] = {
        way: " > ".join(below) if way == "sequential" else f"{way}({', '.join(below)})"
        for way in options.ways
    }
    lower = [*below, *together.values()]
    grid = options.grid(["{target}", *(f"{one} > {{target}}" for one in lower)], targets=wanted)
    results = options.run(grid)
    if results is None:
        return
    evidence = grid.evidence(results)
    failed = {t: evidence.lacking([t, *(over(one, t) for one in lower)]) for t in wanted}
    notes += [*more, *(f"left out: {t}: no {', '.join(gone)}" for t, gone in failed.items() if gone)]
    targets = [t for t in wanted if not failed[t]]
    if not targets:
        options.conclude(grid, results, answer="none: of no target is all there", figures=[], notes=notes)
        return

    # 2. For each backbone: the best single task of each target, and the best way of all, by English dev.
    scores: dict[tuple[str, str, str], xadapt.Contrast] = {}
    chosen: dict[str, str] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for backbone in dict.fromkeys(row.backbone for row in evidence.rows()):
        rows = {(one, t): evidence.row(over(one, t), backbone=backbone) for one in lower for t in targets}
        dev = {place: evidence.english_dev(row) for place, row in rows.items()}
        best = {t: max(below, key=lambda one: dev[one, t]) for t in targets}
        taken = ", ".join(f"{one} for {t}" for t, one in best.items())
        notes += [f"{backbone}: best single task by English dev: {taken}"]
        chosen[backbone] = max(together, key=lambda way: sum(dev[together[way], t] for t in targets))

        # 3. Scores by group of languages: the mean over targets of each target's mean over the group.
        langs = dict.fromkeys(x for row in rows.values() for x in evidence.languages(row) if x != "en")
        groups = {"all": tuple(langs), **xadapt.grouped(langs, "resource")}
        for group, inside in groups.items():
            parts: dict[str, list[xadapt.Contrast]] = {name: [] for name in (*SINGLES, *together)}
            for t in targets:
                none = evidence.row(t, backbone=backbone)
                here = [x for x in evidence.languages(none) if x in inside]
                if here:
                    alone = [evidence.mean(rows[one, t], here) for one in below]
                    parts["none"].append(evidence.mean(none, here))
                    parts["the mean single"].append(xadapt.average(alone))
                    parts["the best single"].append(evidence.mean(rows[best[t], t], here))
                    for way, one in together.items():
                        parts[way].append(evidence.mean(rows[one, t], here))
            scores |= {(backbone, group, name): xadapt.average(each) for name, each in parts.items()}

    # 4. Each way against the best and the mean single one: one family of comparisons.
    asked = {
        (b, group, way, single): contrast - scores[b, group, single]
        for (b, group, way), contrast in scores.items()
        for single in SINGLES[1:]
        if way in together
    }
    found = dict(zip(asked, evidence.estimate(list(asked.values()), compared=True), strict=True))
    values = dict(zip(scores, evidence.estimate(list(scores.values())), strict=True))

    def against(b: str, group: str, way: str) -> list[xadapt.Amount | None]:
        each = [found.get((b, group, way, single)) for single in SINGLES[1:]]
        return [xadapt.shown(one, gain=True) if one else None for one in each]

    table = xadapt.Table(
        "all tasks together and one alone, by group of languages",
        ("backbone", "languages", "below", "score", *(f"over {single}" for single in SINGLES[1:])),
        tuple(
            (b, f"{group} ({len(groups[group])})", way, xadapt.shown(value), *against(b, group, way))
            for (b, group, way), value in values.items()
        ),
        note=f"by {xadapt.basis_of('resource')}; mean over targets with such languages, of each target's "
        "first metric; differences in points with 95% intervals, Holm over the table",
    )
    forest = xadapt.Forest(
        "all tasks together against the best single one",
        tuple(
            xadapt.Difference(f"{b}: {way}", estimate, group=f"{group}: {' '.join(groups[group])}")
            for (b, group, way, single), estimate in found.items()
            if single == "the best single"
        ),
    )

    # 5. The answer.
    poor: list[str] = [group for group in ("low", "unseen") if group in groups] or ["all"]
    notes += [
        f"no {NAMED[group]} languages in these targets" for group in ("low", "unseen") if group not in groups
    ]
    said = [
        f"on {b}, {chosen[b]} (chosen by English dev) is in {NAMED[group]} languages "
        f"({' '.join(groups[group])}) "
        + " and ".join(f"{found[b, group, chosen[b], one].text()} against {one}" for one in SINGLES[2:0:-1])
        for b in chosen
        for group in poor
    ]
    options.conclude(grid, results, answer="; ".join(said), figures=[table, forest], notes=notes)


def over(lower: str, target: str) -> str:
    """The expression as cells have it."""
    return str(xadapt.Stack(f"{lower} > {target}"))


if __name__ == "__main__":
    xadapt.script(main, Options)
