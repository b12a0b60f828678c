"""Does what intermediate training gains grow or shrink from a base to a large encoder?

    python recipes/base_to_large.py

On XTREME-R's classification (XNLI and XCOPA), for each backbone: the target's module alone, and on top of a
module for each intermediate task. The gain is the second minus the first, of the mean over the languages but
English. For each intermediate task the gain on the largest backbone minus that on the smallest is the
difference of differences that answers; with three sizes or more also the gain's slope, in points per
doubling of the layers' parameters (--embeddings counts the embeddings too).

Modules of one seed start alike in both arms. XNLI's own training data are MNLI's in the releases, so there
MNLI below adds training, not data. Backbones differ in more than size.

Literature: Phang et al. 2020 (arXiv 2005.13013) trained XLM-R large only: on XTREME 5.4 points over it for
the best per target. What smaller encoders gain was not found in what we have verified.

Cost: 29 modules and 20 evaluations for each backbone and seed with all nine intermediate tasks: 174 and 120
for XLM-R base and large and three seeds. GPU time has not been measured: --dry-run estimates it.
"""

from __future__ import annotations

from dataclasses import dataclass

import xadapt


@dataclass(frozen=True, kw_only=True)
class Options(xadapt.RecipeOptions):
    """The same script serves a real model and real data."""

    backbone: tuple[str, ...] = ("pocket-small", "pocket-medium", "pocket")
    """two sizes or more, such as FacebookAI/xlm-roberta-base and -large; or folders in HF format"""
    below: tuple[str, ...] = xadapt.NINE_INTERMEDIATE
    """intermediate tasks; those that the data lack are left out"""
    targets: tuple[str, ...] = ("xnli", "xcopa")
    """XTREME-R's classification; those that the data lack are left out"""
    embeddings: bool = False
    """count the embeddings among the parameters"""


def main(options: Options) -> None:
    options = options.quickly(
        backbone=("pocket-small", "pocket"), below=("mnli", "hellaswag"), langs=("en", "de", "sw"),
        max_steps=6,
    )  # fmt: skip
    below, notes = options.available(options.below)
    targets, more = options.available(options.targets)
    notes += more

    # 1. The grid: every target alone and on each intermediate task, on every backbone.
    grid = options.grid(["{target}", *(f"{one} > {{target}}" for one in below)], targets=targets)
    weights = xadapt.encoder_sizes(grid, embeddings=options.embeddings)
    small, *_, large = weights
    results = options.run(grid)
    if results is None:
        return

    # 2. Gains by intermediate task, target and backbone, and their means over targets.
    evidence = grid.evidence(results)
    rows = evidence.by_backbone()
    gains: dict[tuple[str, str], dict[str, xadapt.Contrast]] = {}  # (below, target) -> backbone -> gain
    for one in below:
        for target in targets:
            for name in weights:
                with_it, alone = rows.get((name, f"{one} > {target}")), rows.get((name, target))
                if with_it and alone:
                    gain = evidence.mean(with_it) - evidence.mean(alone)
                    gains.setdefault((one, target), {})[name] = gain
                else:
                    notes.append(f"left out: {one} > {target} on {name}: a score is missing")
        of = [gains.get((one, target), {}) for target in targets]
        everywhere = [name for name in weights if all(name in each for each in of)]
        gains[one, "mean"] = {name: xadapt.average([each[name] for each in of]) for name in everywhere}

    # 3. The largest minus the smallest, and slopes; of the means, and of each target, a family each.
    grown = {place: of[large] - of[small] for place, of in gains.items() if small in of and large in of}
    found: dict[tuple[str, str], xadapt.Estimate] = {}
    slopes: dict[str, xadapt.Estimate] = {}
    for target in ("mean", *targets):
        family = {place: contrast for place, contrast in grown.items() if place[1] == target}
        found |= zip(family, evidence.estimate(list(family.values()), compared=True), strict=True)
    if len(weights) > 2:
        sized = {one: {weights[b]: gain for b, gain in gains[one, "mean"].items()} for one in below}
        lines = {one: xadapt.per_doubling(evidence, of) for one, of in sized.items() if len(of) > 2}
        slopes |= zip(lines, evidence.estimate(list(lines.values()), compared=True), strict=True)

    # 4. The answer: of each intermediate task.
    by_task = [f"{one} {found[one, 'mean'].text()}" for one in below if (one, "mean") in found]
    said = "; ".join(by_task) or "scores are missing"
    answer = f"gain on {large} minus gain on {small}, mean of {', '.join(targets)}: {said}"

    # 5. Gains at each size, and the differences of differences.
    table: list[tuple[xadapt.Entry, ...]] = []
    for one in below:
        of_means = gains[one, "mean"]
        values = dict(zip(of_means, evidence.estimate(list(of_means.values())), strict=True))
        entries = [xadapt.shown(values[b], gain=True) if b in values else None for b in weights]
        both = [found.get((one, "mean")), slopes.get(one)]
        table.append((one, *entries, *(xadapt.shown(e, gain=True) if e else None for e in both)))
    figures: list[xadapt.Figure] = [
        xadapt.Table(
            "gains by size of the encoder, and whether they grow",
            ("below", *(f"{b} ({weights[b] / 1e6:.3g}M)" for b in weights), "difference", "per doubling"),
            tuple(table),
            note=f"points, mean of {', '.join(targets)} in languages but English; difference: {large} minus "
            f"{small}; Holm over the differences, and over the slopes",
        ),
        xadapt.Forest(
            f"gain on {large} minus gain on {small}",
            tuple(xadapt.Difference(one, found[one, t], t) for one, t in sorted(found, key=lambda p: p[1])),
            note="above 0: the larger encoder gains more; Holm within each group",
        ),
    ]
    options.conclude(grid, results, answer=answer, figures=figures, notes=notes)


if __name__ == "__main__":
    xadapt.script(main, Options)
