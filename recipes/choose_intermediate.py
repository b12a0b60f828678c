"""Which intermediate task should lie below a target, without training them all to find out?

    python recipes/choose_intermediate.py

The full grid trains every intermediate task below every target: what is known at the end. Proxies order the
tasks for each target at a part of its cost: English dev of both trained on few examples; how alike the frozen
encoder finds the texts of the two (cosine of mean hidden states); how much data the task has; its own English
dev score on few examples. Beside them a task at random, and English dev of the full grid, which costs all of
it.

Regret at k is what the best of a proxy's first k tasks loses against the best of all, in percent of that
score, after Poth et al. 2021; here of the means over targets. Both are the best in hindsight, by the scores
compared: where tasks are alike regret is mostly noise, and that of a random choice says how much. What a
proxy's first task gains over a random one is free of that: it was chosen without these scores.

Literature (Poth et al. 2021, abstract; 42 intermediate tasks, 11 English targets): the best ways to choose
have a regret at 3 of 1%, and those that embed the data sets do better than few-shot fine-tuning.

Cost: the full grid of nine tasks and six targets is 68 modules and 60 evaluations a seed (204 and 180 for
three), few-shot fine-tuning 63 short ones more a seed; the table has the seconds of each. On one GPU it has
not been measured: --dry-run estimates it from a short probe on the machine it is to run on.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import xadapt

TRAINED = ("xnli", "pawsx", "udpos", "panx", "xquad", "tydiqa")
RANDOM = "a random task"
Ranks = dict[tuple[str, str], float]  # (task, target) -> the higher, the sooner the task is taken
Scores = dict[tuple[str, str], xadapt.Contrast]


@dataclass(frozen=True, kw_only=True)
class Options(xadapt.RecipeOptions):
    """The same script serves a real model and real data."""

    below: tuple[str, ...] = xadapt.NINE_INTERMEDIATE
    """intermediate tasks to choose from; those that the data lacks are left out, and said"""
    targets: tuple[str, ...] = TRAINED
    """targets, of those that are trained"""
    few: int = 1000
    """training examples of the few-shot proxy, of task and target alike"""
    texts: int = 512
    """examples whose texts are embedded"""


def main(options: Options) -> None:
    options = options.quickly(
        below=("mnli", "qqp", "ccg"), targets=("xnli", "udpos"), langs=("en", "de", "sw"),
        max_steps=3, few=64, texts=64,
    )  # fmt: skip
    if len(options.backbone) > 1:
        raise xadapt.UserError(f"{len(options.backbone)} backbones", expected="one", do="run it for each")
    below, notes = options.available(options.below)
    wanted, more = options.available(options.targets)
    pair = "{one} > {target}"
    short = "{one}[few] > {target}[few]".replace("few", str(options.few))

    # 1. The full grid; and the same on few examples, of which English dev alone is looked at.
    over = [pair.replace("{one}", one) for one in below]
    grid = options.grid(["{target}", *over], targets=wanted)
    cheap = options.grid(
        [short.replace("{one}", one) for one in below], targets=wanted, languages=("en",), items=1
    )
    results, tried = options.run(grid), options.run(cheap)
    if results is None or tried is None:
        return
    evidence, small = grid.evidence(results), cheap.evidence(tried)
    failed = {
        t: evidence.lacking([pair.format(one=one, target=t) for one in below])
        + small.lacking([short.format(one=one, target=t) for one in below])
        for t in wanted
    }
    notes += [*more, *(f"left out: {t}: no {', '.join(gone)}" for t, gone in failed.items() if gone)]
    targets = [t for t in wanted if not failed[t]]
    if not targets:
        options.conclude(grid, results, answer="none: of no target is all there", figures=[], notes=notes)
        return

    # 2. How each proxy orders the tasks for each target, and the seconds that took.
    pairs = [(one, t) for one in below for t in targets]
    dev = {(one, t): evidence.english_dev(evidence.row(pair.format(one=one, target=t))) for one, t in pairs}
    shots = {(one, t): small.english_dev(small.row(short.format(one=one, target=t))) for one, t in pairs}
    known = {one: lowest(evidence, grid, pair.format(one=one, target=targets[0])) for one in below}
    tries = {one: lowest(small, cheap, short.format(one=one, target=targets[0])) for one in below}
    own = {one: sum(m["dev"]["score"] for m in each) / len(each) for one, each in tries.items()}
    began = time.monotonic()
    texts = {name: grid.studies[0].text_embedding(name, options.texts) for name in (*below, *targets)}
    reading = time.monotonic() - began
    proxies: dict[str, tuple[Ranks, float]] = {
        "few-shot fine-tuning": (shots, sum(m.seconds for m in tried.modules)),
        "alike texts": ({(one, t): cosine(texts[one], texts[t]) for one, t in pairs}, reading),
        "most data": ({(one, t): known[one][0]["data"]["examples"] for one, t in pairs}, 0.0),
        "own dev score": (
            {(one, t): own[one] for one, t in pairs},
            sum(m["training"]["seconds"] for each in tries.values() for m in each),
        ),
        "English dev of all": (dev, sum(m.seconds for m in results.modules)),
    }

    # 3. What each takes first, what that loses against the best, and what it gains over a random task.
    scores = {(one, t): evidence.mean(evidence.row(pair.format(one=one, target=t))) for one, t in pairs}
    ideal = dict(zip(scores, (e.value for e in evidence.estimate(list(scores.values()))), strict=True))
    best, chance = reached(scores, ideal, ideal, 1), xadapt.average(list(scores.values()))
    taken = {name: reached(scores, ranks, ideal, 1) for name, (ranks, _) in proxies.items()}
    lost = {
        name: [best - reached(scores, ranks, ideal, k) for k in (1, 3)]
        for name, (ranks, _) in proxies.items()
    }
    lost[RANDOM] = [best - at_random(scores, ideal, k) for k in (1, 3)]
    top = max(evidence.estimate([best])[0].value, 1e-9)
    percent = {name: [loss * (100 / top) for loss in losses] for name, losses in lost.items()}
    regret = {name: evidence.estimate(losses) for name, losses in percent.items()}
    gains = [one - chance for one in taken.values()]
    gained = dict(zip(taken, evidence.estimate(gains, compared=True), strict=True))
    reach = dict(zip(taken, evidence.estimate(list(taken.values())), strict=True))

    # 4. Tables, and the answer.
    seconds = {name: xadapt.Amount(each, f"{each:,.0f}") for name, (_, each) in proxies.items()}
    table = xadapt.Table(
        f"which of {len(below)} intermediate tasks to take: {len(targets)} targets",
        (
            "chosen by",
            "seconds",
            "regret at 1, %",
            "regret at 3, %",
            "its first over a random task",
            *targets,
        ),
        tuple(
            (name, seconds.get(name), *map(xadapt.shown, regret[name]))
            + ((xadapt.shown(gained[name], gain=True),) if name in gained else (None,))
            + tuple(order(proxies[name][0], t)[0] if name in proxies else None for t in targets)
            for name in (RANDOM, *proxies)
        ),
        note="seconds of training and reading, all seeds and targets; regret in percent of the best "
        "score, known in hindsight and taken as fixed; gains in points, Holm over the column; intervals of "
        "95%; below a target what is taken",
    )
    front = xadapt.Front(
        "score of the task taken first, and what choosing it costs",
        "seconds",
        "mean over targets and languages but English",
        xadapt.front_of(
            xadapt.Point(proxies[name][1] or None, e.value, e.low, e.high, name) for name, e in reach.items()
        ),
    )
    ranked = [f"{name} {regret[name][0].text(difference=False)}" for name in (*proxies, RANDOM)]
    better = [f"{name} ({e.text()} points)" for name, e in gained.items() if e.shown and e.value > 0]
    answer = (
        f"regret at 1, in percent: {', '.join(ranked)}; "
        f"shown to choose better than chance: {', '.join(better) or 'none'}"
    )
    options.conclude(grid, results, answer=answer, figures=[table, front], notes=notes)


def lowest(evidence: xadapt.Evidence, grid: xadapt.Grid, expr: str) -> list[dict[str, Any]]:
    """What the store says of an expression's lowest module, by seed."""
    return [evidence.store.manifest(grid.studies[0].addresses(expr, s)[0]) for s in grid.seeds]


def order(ranks: Ranks, target: str) -> list[str]:
    """The tasks of a target, the first to be taken first; the same as given, where they are alike."""
    return sorted((one for one, t in ranks if t == target), key=lambda one: -ranks[one, target])


def reached(scores: Scores, ranks: Ranks, known: Ranks, k: int) -> xadapt.Contrast:
    """The mean over targets of the best, by ``known``, of the first ``k`` tasks by ``ranks``."""
    targets = dict.fromkeys(t for _, t in scores)
    return xadapt.average(
        [scores[max(order(ranks, t)[:k], key=lambda one: known[one, t]), t] for t in targets]
    )


def at_random(scores: Scores, known: Ranks, k: int) -> xadapt.Contrast:
    """The same for k random tasks, on average: the j-th best is the best of those in C(n - j, k - 1) of
    C(n, k) draws."""
    total = xadapt.Contrast()
    targets = dict.fromkeys(t for _, t in scores)
    for t in targets:
        tasks = order(known, t)
        n, drawn = len(tasks), min(k, len(tasks))
        for j, one in enumerate(tasks, 1):
            total += scores[one, t] * (math.comb(n - j, drawn - 1) / math.comb(n, drawn))
    return total / len(targets)


def cosine(a: Any, b: Any) -> float:
    return float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))


if __name__ == "__main__":
    xadapt.script(main, Options)
