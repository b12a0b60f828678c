"""Does a larger encoder lose less from English to other languages, with and without intermediate training?

    python recipes/parameters_and_gap.py

For each backbone two arms on XTREME's classification: the target's module alone, and the same on top of a
module for MNLI (--below). The gap is the English score minus the mean over the other languages (Hu et al.
2020, arXiv 2003.11080), averaged over targets. A line over the logarithm of the parameters is fitted to each
arm, and the two slopes are compared: points of gap per doubling, below 0 where larger encoders lose less.

Parameters are those of the layers: embeddings, two thirds of XLM-R base, are looked up and not computed with;
--embeddings counts them too. A gap shrinks also where English alone gets worse, so the table shows English
and the other languages apart. XNLI's own training data are MNLI's in the releases: there the second arm adds
training, not data. Backbones differ in more than size; nothing is said beyond the sizes that were run.

Literature: nothing verified fits the gap over size. Of the verified sources none has both arms at several
sizes either: Phang et al. 2020 (arXiv 2005.13013) is XLM-R large only.

Cost: 5 modules and 4 evaluations for each backbone and seed: 45 and 36 for three backbones and three seeds,
30 and 24 for XLM-R base and large. GPU time has not been measured: --dry-run estimates it.
"""

from __future__ import annotations

from dataclasses import dataclass

import xadapt


@dataclass(frozen=True, kw_only=True)
class Options(xadapt.RecipeOptions):
    """The same script serves a real model and real data."""

    backbone: tuple[str, ...] = ("pocket-small", "pocket-medium", "pocket")
    """two sizes or more: pocket ones, hub ids such as FacebookAI/xlm-roberta-base, folders in HF format"""
    below: str = "mnli"
    """the intermediate task"""
    targets: tuple[str, ...] = ("xnli", "pawsx")
    """XTREME's classification; those that the data lack are left out"""
    embeddings: bool = False
    """count the embeddings among the parameters"""


def main(options: Options) -> None:
    two, langs = ("pocket-small", "pocket"), ("en", "de", "sw")
    options = options.quickly(backbone=two, langs=langs, max_steps=6)
    (below,), notes = options.available((options.below,))
    targets, more = options.available(options.targets)
    notes += more

    # 1. The grid: two arms on every backbone.
    arms = {"none": "{target}", f"{below} below": f"{below} > {{target}}"}
    grid = options.grid(list(arms.values()), targets=targets)
    weights = xadapt.encoder_sizes(grid, embeddings=options.embeddings)
    results = options.run(grid)
    if results is None:
        return

    # 2. The gap of each arm at each size; backbones that lack a score of either arm are left out.
    evidence = grid.evidence(results)
    scored = evidence.by_backbone()
    rows: dict[str, dict[str, list[xadapt.Row]]] = {}  # backbone -> arm -> a row for each target
    for name in weights:
        wanted = {arm: [(name, text.format(target=t)) for t in targets] for arm, text in arms.items()}
        if all(key in scored for keys in wanted.values() for key in keys):
            rows[name] = {arm: [scored[key] for key in keys] for arm, keys in wanted.items()}
        else:
            notes.append(f"left out: {name}: it has not all its scores")
    gaps = {
        arm: {weights[b]: xadapt.average([evidence.gap(row) for row in rows[b][arm]]) for b in rows}
        for arm in arms
    }

    # 3. A slope for each arm, and their difference: one family of comparisons.
    plain, with_it = (xadapt.per_doubling(evidence, gaps[arm]) for arm in arms)
    found = evidence.estimate([plain, with_it, with_it - plain], compared=True)
    without, with_below, difference = (one.text() for one in found)
    answer = (
        f"points of gap per doubling of parameters: {without} without intermediate training, {with_below} "
        f"with {below}; the second minus the first: {difference}"
    )

    # 4. The picture, and what the gap is made of.
    curve = xadapt.Curve(
        "the zero-shot gap over the encoder's parameters",
        "parameters" + (" with embeddings" if options.embeddings else " of the layers"),
        f"English minus the others, points, mean of {', '.join(targets)}",
        tuple(xadapt.scaling(evidence, arm, points) for arm, points in gaps.items()),
        note="lines: least squares over log2 of the parameters; 95% intervals over seeds and items",
    )
    lines: list[tuple[xadapt.Entry, ...]] = []
    for name, of in rows.items():
        for arm, each in of.items():
            english = xadapt.average([evidence.mean(row, ["en"]) for row in each])
            others = xadapt.average([evidence.mean(row) for row in each])
            scores = evidence.estimate([english, others, english - others])
            lines.append((name, int(weights[name]), arm, *map(xadapt.shown, scores)))
    table = xadapt.Table(
        "what the gap is made of",
        ("backbone", "parameters", "below", "English", "others", "gap"),
        tuple(lines),
        note="means over the targets, with 95% intervals",
    )
    options.conclude(grid, results, answer=answer, figures=[curve, table], notes=notes)


if __name__ == "__main__":
    xadapt.script(main, Options)
