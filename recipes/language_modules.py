"""Do language modules help a target that is trained in English alone, and is it their exchange that helps?

    python recipes/language_modules.py

MAD-X (Pfeiffer et al. 2020): a module of masked language modelling is trained in each language; the target is
trained on English's, and evaluated on that of the language at hand. For each way to have modules three arms
on every target: the target alone, on English's module in all languages, and exchanged: `lang(mlm) > udpos`.
Ways are bottlenecks with invertible adapters on the embeddings, as published, and LoRA. Where a language has
no running text, --missing says what stands there; those languages are told apart in the table.

Literature: MAD-X (arXiv 2005.00052, abstract) is better than its predecessors on named entities and on causal
commonsense reasoning and competitive on question answering, over languages that are far apart. Its figures
could not be verified here; its language modules saw 250,000 steps, and nothing of that size is repeated by
this recipe's defaults.

Cost: for each way a module a language and seed, and two for each target and seed: 2 x (7 + 2 x 2) x 3 = 66 on
the pocket world. GPU time has not been measured: --dry-run estimates it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import xadapt


@dataclass(frozen=True, kw_only=True)
class Options(xadapt.RecipeOptions):
    """The same script serves a real model and real data."""

    targets: tuple[str, ...] = ("udpos", "panx")
    """targets whose items are of one language each"""
    ways: tuple[str, ...] = ("bottleneck(reduction=2, inv=nice)", "lora")
    """methods of the language modules; the target's is the same, without what is for languages alone"""
    missing: Literal["mean", "none"] = "mean"
    """for a language without running text: the mean of its family's modules, or none"""


def main(options: Options) -> None:
    options = options.quickly(
        targets=("udpos",), ways=("bottleneck(reduction=2, inv=nice)",), langs=("en", "de", "sw"),
        max_steps=4,
    )  # fmt: skip
    targets, notes = options.available(options.targets)
    ways = {way: arms_of(way, options.missing) for way in options.ways}

    # 1. The grid: three arms a way, on every target.
    arms = [expr for three in ways.values() for expr in three.values()]
    grid = options.grid(list(dict.fromkeys(arms)), targets=targets)
    results = options.run(grid)
    if results is None:
        return

    # 2. Differences between the arms, by target and on average; own modules and stand-ins apart.
    evidence = grid.evidence(results)
    needed = {t: [named(expr, t) for expr in arms] for t in targets}
    notes += [f"left out: {t}: {gone}" for t in targets if (gone := evidence.lacking(needed[t]))]
    targets = tuple(t for t in targets if not evidence.lacking(needed[t]))
    without = {(c.task, c.lang) for c in results.cells if c.instead}

    def difference(
        way: str, one: str, other: str, only: tuple[str, ...], own: bool | None = None
    ) -> xadapt.Contrast:
        """Means over the languages but English, of all or of those with (``own``) or without a module."""
        total, count = xadapt.Contrast(), 0
        for target in only:
            row, base = (evidence.row(named(ways[way][arm], target)) for arm in (one, other))
            spoken = [lang for lang in evidence.languages(row) if lang != "en"]
            chosen = [lang for lang in spoken if own in (None, (target, lang) not in without)]
            if chosen:
                total += evidence.mean(row, chosen) - evidence.mean(base, chosen)
                count += 1
        return total / max(count, 1)

    pairs = (("exchanged", "alone"), ("exchanged", "on English's"), ("on English's", "alone"))
    asked = {
        (way, one, other, column): contrast
        for way in ways
        for one, other in pairs
        for column, only, own in (
            *((t, (t,), None) for t in targets),
            ("mean", targets, None),
            ("own module", targets, True),
            ("none of its own", targets, False),
        )
        if (contrast := difference(way, one, other, only, own))
    }
    found = dict(zip(asked, evidence.estimate(list(asked.values()), compared=True), strict=True))

    # 3. The table and the picture.
    columns = (*targets, "mean", *(["own module", "none of its own"] if without else []))
    rows = tuple(
        (way, f"{one} - {other}", *(gain(found.get((way, one, other, c))) for c in columns))
        for way in ways
        for one, other in pairs
    )
    table = xadapt.Table(
        "what language modules add to a target that is trained in English",
        ("modules", "difference", *columns),
        rows,
        note="points, with 95% intervals, Holm over all; means over languages but English, of each target's "
        "first metric",
    )
    forest = xadapt.Forest(
        "differences, mean over targets",
        tuple(
            xadapt.Difference(f"{one} - {other}", estimate, group=way)
            for (way, one, other, column), estimate in found.items()
            if column == "mean"
        ),
    )

    # 4. The answer.
    said = [
        f"{way}: exchanged against {other} {found[way, 'exchanged', other, 'mean'].text()}"
        for way in ways
        for other in ("alone", "on English's")
        if (way, "exchanged", other, "mean") in found
    ]
    answer = f"over {', '.join(targets)}, {'; '.join(said) or 'nothing to compare'}"
    options.conclude(grid, results, answer=answer, figures=[table, forest], notes=notes)


def arms_of(way: str, missing: str) -> dict[str, str]:
    """Arm -> expression; ``{target}`` is filled in by the grid."""
    above = f"{{target}}@{'lora' if way.startswith('lora') else 'bottleneck'}"
    return {
        "alone": above,
        "on English's": f"mlm@{way} > {above}",
        "exchanged": f"lang(mlm@{way}, {missing}) > {above}",
    }


def named(expr: str, target: str) -> str:
    """An arm's expression of a target as cells have it."""
    return str(xadapt.Stack(expr.replace("{target}", target)))


def gain(estimate: xadapt.Estimate | None) -> xadapt.Amount | None:
    return xadapt.shown(estimate, gain=True) if estimate else None


if __name__ == "__main__":
    xadapt.script(main, Options)
