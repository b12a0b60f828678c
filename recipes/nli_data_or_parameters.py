"""What raises zero-shot accuracy on classification more: more English NLI data, or more parameters?

    python recipes/nli_data_or_parameters.py

The grid is backbones x numbers of NLI examples. PAWS-X is trained on top of a module for so many of them
(mnli[1000] > pawsx). XNLI's own training data are English NLI, in the releases MNLI itself, so there the
number is that of XNLI's examples (xnli[1000]): below all of them, MNLI would be nothing new.

Held fixed: the passes over the data (the task's epochs), so more data are also more steps, up to --max-steps;
sizes that so many steps would not show once are left out and noted. PAWS-X's own data are the same in all
arms. Two lines are fitted, in points per doubling: over data at each backbone, averaged over backbones; over
parameters at each number of examples, averaged over these. Parameters are those of the layers: embeddings,
two thirds of XLM-R base, are looked up and not computed with; --embeddings counts them too. Backbones also
differ in more than size, and a line says what holds between the sizes that were run, not beyond them.

Literature: nothing verified compares the two. With XLM-R large, intermediate training on English tasks, MNLI
among them, raised XTREME's score by 5.4 points at best (Phang et al. 2020, arXiv 2005.13013); how that
depends on how much data there is was not found there.

Cost: 3 modules and 2 evaluations for each backbone, number of examples and seed: 135 and 90 for three
backbones, five numbers and three seeds, as much for XLM-R base and large (90 and 60 for these two). GPU time
has not been measured: --dry-run estimates it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import xadapt


@dataclass(frozen=True, kw_only=True)
class Options(xadapt.RecipeOptions):
    """The same script serves a real model and real data."""

    backbone: tuple[str, ...] = ("pocket-small", "pocket-medium", "pocket")
    """two sizes or more: pocket ones, hub ids such as FacebookAI/xlm-roberta-base, folders in HF format"""
    sizes: tuple[str, ...] = ("1000", "4000", "16000", "64000", "all")
    """numbers of NLI examples; those that the data lack are left out"""
    nli: str = "mnli"
    """the English NLI task below targets other than XNLI"""
    targets: tuple[str, ...] = ("xnli", "pawsx")
    """XTREME's classification"""
    embeddings: bool = False
    """count the embeddings among the parameters"""

    def expression(self, target: str, size: str) -> str:
        """A target with so many NLI examples."""
        number = "" if size == "all" else f"[{size}]"
        return f"xnli{number}" if target == "xnli" else f"{self.nli}{number} > {target}"


def main(options: Options) -> None:
    options = options.quickly(
        backbone=("pocket-small", "pocket"), sizes=("48", "192"), langs=("en", "de", "sw"),
        max_steps=6,
    )  # fmt: skip
    there, notes = options.available((options.nli, *options.targets))
    targets = [t for t in options.targets if t in there and (t == "xnli" or options.nli in there)]

    # 1. How many examples there are of each size; those that the steps would not show are left out.
    numbers: dict[str, dict[str, int]] = {}  # target -> size -> examples
    whole = options.grid([options.expression(t, "all") for t in targets], backbones=options.backbone[:1])
    for target in targets:
        plan, task = whole.studies[0].plan, "xnli" if target == "xnli" else options.nli
        module = next(module for module in plan.modules if module.shown == task)
        most = len(plan.source.load(module.tasks[0].data.name, "en", "train"))
        shown = min(most, (module.settings.max_steps or most) * module.settings.batch_size)
        asked = {size: most if size == "all" else int(size) for size in options.sizes}
        numbers[target] = {s: n for s, n in asked.items() if n <= shown and (n < most or s == "all")}
        if left := [size for size in asked if size not in numbers[target]]:
            notes.append(f"left out for {target}: {', '.join(left)} (of {most} examples, {shown} are shown)")
    sizes = [size for size in options.sizes if all(size in numbers[target] for target in targets)]
    examples = {s: 2 ** (sum(math.log2(numbers[t][s]) for t in targets) / len(targets)) for s in sizes}

    # 2. The grid; a score is the mean over languages but English, and over targets.
    grid = options.grid([options.expression(target, size) for target in targets for size in sizes])
    weights = xadapt.encoder_sizes(grid, embeddings=options.embeddings)
    if len(sizes) < 2:
        raise xadapt.UserError(
            f"{len(sizes)} of the sizes of NLI data can be used: {', '.join(notes)}",
            expected="two at least",
            do="name others with --sizes, or take more --max-steps",
        )
    results = options.run(grid)
    if results is None:
        return
    evidence = grid.evidence(results)
    rows = evidence.by_backbone()
    score: dict[tuple[str, str], xadapt.Contrast] = {}
    for name, size in product(weights, sizes):
        found = [rows.get((name, options.expression(target, size))) for target in targets]
        if None in found:
            notes.append(f"left out: {name} with {size}: it has not all its scores")
        else:
            score[name, size] = xadapt.average([evidence.mean(row) for row in found if row])

    # 3. Two kinds of lines, each averaged over what it holds fixed, and the exchange rate between them.
    over_data = {b: {examples[s]: c for (a, s), c in score.items() if a == b} for b in weights}
    over_weights = {s: {weights[b]: c for (b, a), c in score.items() if a == s} for s in sizes}
    data, more = (
        xadapt.average([xadapt.per_doubling(evidence, line) for line in lines.values() if len(line) > 1])
        for lines in (over_data, over_weights)
    )
    of_data, of_more, difference = evidence.estimate([data, more, data - more], compared=True)
    answer = (
        f"points per doubling: of NLI data {of_data.text()}, of parameters {of_more.text()}, the first minus "
        f"the second {difference.text()}; doublings of parameters that one of data is worth: "
        f"{evidence.ratio(data, more).text()}"
    )

    # 4. A picture of each; the sizes of data and of encoders need axes of their own.
    of_encoder = "parameters" + (" with embeddings" if options.embeddings else " of the layers")
    curves = [
        xadapt.Curve(
            f"zero-shot accuracy over {axis}",
            axis,
            f"mean of {', '.join(targets)}",
            tuple(xadapt.scaling(evidence, name, points) for name, points in lines.items() if points),
            note="mean over languages but English, with 95% intervals; lines: least squares over log2 of x",
        )
        for axis, lines in (("NLI examples", over_data), (of_encoder, over_weights))
    ]
    options.conclude(grid, results, answer=answer, figures=curves, notes=notes)


if __name__ == "__main__":
    xadapt.script(main, Options)
