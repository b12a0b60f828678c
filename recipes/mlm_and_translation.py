"""Does an intermediate task help more with multilingual running text, or translated, than in plain English?

    python recipes/mlm_and_translation.py

An intermediate module is trained on English alone, on English and masked language modelling over running text
in many languages together, on the same with English running text (is it the languages, or only the text?), on
translations, and on English and translations together. Each lies below every target, which is trained in
English only. Differences are to plain English, in points of the mean over the other languages; apart for the
languages that the intermediate data are in and for those that they are not. A joint takes as many steps for
each of its tasks as each would take alone. Give --size to compare equal numbers of intermediate examples.

Literature (Phang et al. 2020, arXiv 2005.13013, abstract): of continuing multilingual MLM during intermediate
training, and of machine-translated intermediate data, "neither consistently outperforms" English alone. Their
corpora, languages and mixing ratios could not be verified; those here are this recipe's own.

Cost: for each intermediate task 5 modules, and 6 for each target that is trained (36 for XTREME's six), times
seeds: 123 for one task and three seeds, and 162 evaluations, at XLM-R base as at large. On one GPU it has not
been measured: --dry-run estimates it from a short probe on the machine it is to run on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import xadapt

XNLI = ("en", "ar", "bg", "de", "el", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")


@dataclass(frozen=True, kw_only=True)
class Options(xadapt.RecipeOptions):
    """The same script serves a real model and real data."""

    below: tuple[str, ...] = ("mnli",)
    """intermediate tasks, each on its own; those that the data lacks are left out, and said"""
    targets: tuple[str, ...] = ()
    """targets; by default all of XTREME that the data has"""
    running: tuple[str, ...] = XNLI
    """languages of the running text, of those that the data has"""
    translated: tuple[str, ...] = ("de", "ru", "sw")
    """languages of the translated data, of those that the data has"""
    size: int | None = None
    """intermediate examples, of all their languages together; by default all, so that three languages are
    three times as many"""


def main(options: Options) -> None:
    options = options.quickly(
        targets=("xnli", "udpos"), langs=("en", "de", "sw"), running=("en", "de"),
        translated=("de",), max_steps=3,
    )  # fmt: skip
    below, notes = options.available(options.below)
    targets, more = options.available(options.targets or xadapt.BENCHMARKS["xtreme"])
    notes += more

    # 1. The grid: none, plain English, and each way to have more languages.
    ways = {term(task, options.size): ways_of(task, options, notes) for task in below}
    lower = [*ways, *(expr for more_of in ways.values() for expr, _ in more_of.values())]
    grid = options.grid(["{target}", *(f"{one} > {{target}}" for one in lower)], targets=targets)
    results = options.run(grid)
    if results is None:
        return

    # 2. Differences to plain English: by target, on average, and by whether the data are in the language.
    evidence = grid.evidence(results)
    needed = {t: [t, *(stacked(one, t) for one in lower)] for t in targets}
    notes += [f"left out: {t}: {gone}" for t in targets if (gone := evidence.lacking(needed[t]))]
    targets = tuple(t for t in targets if not evidence.lacking(needed[t]))
    if not targets:
        options.conclude(grid, results, answer="none: of no target is all there", figures=[], notes=notes)
        return

    def difference(
        one: str, other: str, only: Sequence[str], langs: set[str] | None = None
    ) -> xadapt.Contrast:
        """Of the means over targets; each over its languages but English, or those of them in ``langs``."""
        total, count = xadapt.Contrast(), 0
        for target in only:
            row, base = (evidence.row(stacked(lying, target)) for lying in (one, other))
            chosen = [x for x in evidence.languages(row) if x != "en" and (langs is None or x in langs)]
            if chosen:
                total += evidence.mean(row, chosen) - evidence.mean(base, chosen)
                count += 1
        return total / max(count, 1)

    spoken = {c.lang for c in results.cells if c.lang != "en"}
    asked: dict[tuple[str, str, str], xadapt.Contrast] = {}
    for plain, more_of in ways.items():
        for way, (expr, langs) in more_of.items():
            asked |= {(plain, way, t): difference(expr, plain, [t]) for t in targets}
            asked[plain, way, "mean"] = difference(expr, plain, targets)
            if seen := spoken & set(langs):
                asked[plain, way, "its languages"] = difference(expr, plain, targets, seen)
                asked[plain, way, "other languages"] = difference(expr, plain, targets, spoken - seen)
    asked = {key: contrast for key, contrast in asked.items() if contrast}
    found = dict(zip(asked, evidence.estimate(list(asked.values()), compared=True), strict=True))

    # 3. The table: plain English's gain over none, and what each way adds to it.
    columns = (*targets, "mean", "its languages", "other languages")
    rows: list[tuple[xadapt.Entry, ...]] = []
    for plain, more_of in ways.items():
        gains = evidence.estimate(
            [difference(plain, "", only) for only in (*([t] for t in targets), targets)]
        )
        rows.append((f"{plain}: gain over none", "en", *map(gain, gains), None, None))
        for way, (_, langs) in more_of.items():
            rows.append(
                (f"{plain}: {way}", " ".join(langs), *(gain(found.get((plain, way, c))) for c in columns))
            )
    table = xadapt.Table(
        "what more languages in the intermediate data add to plain English",
        ("below the target", "data in", *columns),
        tuple(rows),
        note="differences in points to the first row of each task (its own is to none), with 95% intervals, "
        "Holm over all; means over languages but English, of each target's first metric",
    )
    forest = xadapt.Forest(
        "differences to plain English, mean over targets",
        tuple(
            xadapt.Difference(f"{plain}: {way}", estimate, group=column)
            for (plain, way, column), estimate in found.items()
            if column not in targets
        ),
    )

    # 4. The answer.
    said = [f"{plain} with {way} {e.text()}" for (plain, way, column), e in found.items() if column == "mean"]
    over = f"against plain English, on average over {len(targets)} targets"
    answer = f"{over}: {'; '.join(said) or 'nothing to compare'}"
    options.conclude(grid, results, answer=answer, figures=[table, forest], notes=notes)


def ways_of(task: str, options: Options, notes: list[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Way -> (expression, languages of its data); what the data lack is noted."""

    def there(name: str, wanted: Sequence[str]) -> tuple[str, ...]:
        has = xadapt.training_languages(name, options.data, intermediate=options.intermediate)
        if lacking := [lang for lang in wanted if lang not in has]:
            notes.append(f"left out: training data of {name} in {' '.join(lacking)}")
        return tuple(lang for lang in wanted if lang in has)

    ways: dict[str, tuple[str, tuple[str, ...]]] = {}
    running, translated = there("mlm", options.running), there(task, options.translated)
    if set(running) - {"en"}:
        ways["MLM"] = (f"joint({term(task, options.size)}, mlm[{'+'.join(running)}])", running)
    if "en" in running:
        ways["English MLM"] = (f"joint({term(task, options.size)}, mlm)", ("en",))
    if translated:
        ways["translated"] = (term(task, options.size, *translated), translated)
        ways["English and translated"] = (term(task, options.size, "en", *translated), ("en", *translated))
    return ways


def term(task: str, size: int | None, *langs: str) -> str:
    """``mnli``, ``mnli[1000]``, ``mnli[1000, de+ru]``"""
    inside = [str(size)] * (size is not None) + ["+".join(langs)] * bool(langs)
    return f"{task}[{', '.join(inside)}]" if inside else task


def gain(estimate: xadapt.Estimate | None) -> xadapt.Amount | None:
    return xadapt.shown(estimate, gain=True) if estimate else None


def stacked(lower: str, target: str) -> str:
    """The expression as cells have it; the target alone where nothing lies below."""
    return str(xadapt.Stack(f"{lower} > {target}" if lower else target))


if __name__ == "__main__":
    xadapt.script(main, Options)
