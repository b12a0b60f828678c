"""Results as tables for people and JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from xadapt.report.formats import POCKET_NOTE, said
from xadapt.report.sheet import DIGITS, Column, Sheet
from xadapt.stacks.stack import Stack
from xadapt.study.results import OTHERS, Cell, Results
from xadapt.study.scored_languages import held_out
from xadapt.tasks.languages import GroupBy, basis_of, grouped

if TYPE_CHECKING:
    from xadapt.study.study import Study

NO_MODEL = "no model: "

# Parts up to which a plan shows a stack whole.
LONG_STACK = 12


def plan_table(study: Study) -> Sheet:
    """What will be trained, what is in the store, what will be evaluated."""
    plan = study.plan
    columns = ("", "expression", Column("seed", right=True), "what", Column("address", drop=1, whole=True))
    table = Sheet(*columns, title=f"plan: {plan.on.name} on {plan.source.name}")
    for module in plan.modules:
        known = study.has(module.address)
        action = Text("reuse", "green") if known else Text("train", "yellow")
        data = ", ".join(f"{t.data.name} ({'+'.join(t.languages)})" for t in module.tasks)
        what = f"{module.method} on {data}" + ("" if known else f", lr {module.settings.lr:g}")
        table.add(
            action, brief(module.need.shown), str(module.seed), what, Text(module.address[:DIGITS], "dim")
        )
    for where, what in _of_use_otherwise(study):
        table.add(where, "", "", what, "")
    evaluated: dict[tuple[str, str, tuple[str, ...]], list[int]] = {}
    for e in plan.evaluations:
        evaluated.setdefault((e.expr, e.split, e.languages), []).append(e.seed)
    for (expr, split, languages), found in evaluated.items():
        seeds = list(dict.fromkeys(found))
        at = f" at {len(found) // len(seeds)} layers" if len(found) > len(seeds) else ""
        table.add("evaluate", expr, " ".join(map(str, seeds)), f"{split}: {' '.join(languages)}{at}", "")
    for task, split in {e.task.name: (e.task, e.split) for e in plan.evaluations}.values():
        if held := held_out(task, plan.source, split):
            why = f"has no dev set in {' '.join(held)}: the end of its training data chooses checkpoints"
            table.add("not scored", "", "", f"{task.name} {why}", "")
    return table


def _of_use_otherwise(study: Study) -> Iterator[tuple[str, str]]:
    """Of modules that would be trained: why those that the store has do not serve."""
    plan = study.plan
    lacking = [module.address for module in plan.modules if not study.has(module.address)]
    other = plan.other_dtype
    if count := sum(study.has(plan.twins[address]) for address in lacking):
        what = f"{count} of {len(lacking)}, trained in {other}: --dtype {other} uses them"
        if other != plan.on.dtype_name:
            what += f", --trained-in {other} evaluates them in {plan.on.dtype_name}"
        yield "in the store", what
    if lacking and (count := study.outdated()):
        what = f"{count} modules of an earlier version of the training: what is needed is trained again"
        yield "in the store", what


def brief(stack: Stack) -> str:
    """A stack for a line of a table: of a long one its ends, and how many parts stand between."""
    if len(stack) <= LONG_STACK:
        return str(stack)
    first, *middle, before, top = stack.parts
    return f"{first} > ({len(middle)} more) > {before} > {top}"


def print_results(results: Results, console: Console, by: GroupBy | None = None) -> None:
    """One table a target task, then the modules.

    Args:
        by: means over groups of languages, English left out, as columns of each table.
    """
    for task in dict.fromkeys(c.task for c in results.cells):
        for title, table, caption in _task_tables(results, task, console.width, by):
            console.print(title, highlight=False)
            console.print(table)
            console.print(caption, style="dim", highlight=False, markup=False)
            console.print()
    if results.modules:
        console.print(_module_table(results))
    trained = sum(m.trained for m in results.modules)
    reused = len(results.modules) - trained
    says = f"{trained} modules trained, {reused} reused, {results.seconds:.1f} s in all"
    console.print(says + ("" if trained or not results.modules else ": nothing was trained"))
    if results.pocket:
        console.print(POCKET_NOTE, style="dim")


def _task_tables(
    results: Results, task: str, width: int, by: GroupBy | None
) -> Iterator[tuple[Text, Sheet, str]]:
    """For each metric: a title, the table, what is to be known of it."""
    cells = [c for c in results.cells if c.task == task]
    seeds = len({c.seed for c in cells})
    for metric in dict.fromkeys(c.metric for c in cells):
        rows = [c for c in cells if c.metric == metric]
        split = rows[0].split
        low, high = min(c.n for c in rows), max(c.n for c in rows)
        items = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        world = f", {results.data} world" if results.generated else ""
        header, lines = _grid(results, task, metric, by)
        # Many languages, or a narrow screen: languages go down, expressions across.
        if sum(max(len(line[i]) for line in [header, *lines]) + 3 for i in range(len(header))) > width:
            header, *lines = [list(column) for column in zip(header, *lines, strict=True)]
            header[0] = "language"
        title = Text(f"{task}: {metric} on {split}{world}", "bold")
        title.append(f" ({items} items a language, {seeds} seed{'s' * (seeds > 1)})", "not bold")
        table = Sheet(header[0], *(Column(name, right=True) for name in header[1:]))
        for line in lines:
            table.add(*line, style="dim" if line[0].startswith(NO_MODEL) else None)
        yield title, table, _caption(results, rows, split, seeds, by)


def _grid(results: Results, task: str, metric: str, by: GroupBy | None) -> tuple[list[str], list[list[str]]]:
    """One line an expression or baseline, one column a language, then groups, mean, gap and gain."""
    rows = [c for c in results.cells if c.task == task and c.metric == metric]
    beside = [b for b in results.baselines if b.task == task and b.metric == metric]
    languages = list(dict.fromkeys(c.lang for c in rows))
    languages.sort(key=lambda lang: lang != "en")
    others = [lang for lang in languages if lang != "en"]
    summary = ["mean of others", *(["gap"] if "en" in languages else []), "gain"] if others else []
    groups = {} if by is None else grouped(others, by)
    lines: list[list[str]] = []
    found = {(f.expr, f.what): f.text for f in results.findings if (f.task, f.metric) == (task, metric)}

    def line(name: str, per_lang: dict[str, list[float]], ends: Mapping[str, str]) -> list[str]:
        within = (_spread(_means_over(per_lang, codes)) for codes in groups.values())
        return [name, *map(_spread, per_lang.values()), *within, *(ends.get(s, "") for s in summary)]

    for expr in dict.fromkeys(c.expr for c in rows):
        per_lang = {lang: [c.score for c in rows if (c.expr, c.lang) == (expr, lang)] for lang in languages}
        zero_shot = _spread(_means_over(per_lang, others))
        ends = {"mean of others": found.get((expr, OTHERS), zero_shot), "gap": found.get((expr, "gap"), "-")}
        lines.append(line(expr, per_lang, ends | {"gain": found.get((expr, "gain"), "·")}))
    for name in dict.fromkeys(b.name for b in beside):
        per_lang = {lang: [b.score for b in beside if (b.name, b.lang) == (name, lang)] for lang in languages}
        lines.append(
            line(f"{NO_MODEL}{name}", per_lang, {"mean of others": _spread(_means_over(per_lang, others))})
        )
    named = (f"{group} ({len(codes)})" for group, codes in groups.items())
    return ["expression", *languages, *named, *summary], lines


def _caption(results: Results, rows: Sequence[Cell], split: str, seeds: int, by: GroupBy | None) -> str:
    parts = []
    if (layer := rows[0].layer) is not None:
        parts.append(f"hidden layer {layer}, mean-pooled")
    if seeds > 1:
        parts.append("± is the standard deviation over seeds")
    if by is not None:
        parts.append(f"means over languages by {basis_of(by)}, en left out; in parentheses how many")
    if any(c.lang == "en" for c in rows):
        parts.append("gap: en - mean of others")
    parts.append("gain: mean of others against the first expression")
    if results.findings:
        parts.append(
            "in parentheses 95% intervals over seeds and items, languages as they are; one seed: over items "
            "only; gains count as shown where Holm's method, over those of the table, allows it"
        )
    stands: dict[str, list[str]] = {}
    for c in rows:
        if c.instead and c.lang not in (found := stands.setdefault(f"{c.expr}: {c.instead}", [])):
            found.append(c.lang)
    parts += [f"{what} in {' '.join(langs)}" for what, langs in stands.items()]
    trained = {m.expr for m in results.modules}
    if split == "dev" and any(c.lang == "en" and c.expr in trained for c in rows):
        parts.append("en dev also stopped the training: read en with that in mind")
    return "; ".join(parts)


def _means_over(per_lang: dict[str, list[float]], languages: Sequence[str]) -> list[float]:
    """For each seed, the mean over languages."""
    columns = [per_lang[lang] for lang in languages]
    if not columns or not all(columns):
        return []
    return [statistics.mean(scores) for scores in zip(*columns, strict=True)]


def _spread(scores: Sequence[float]) -> str:
    if not scores:
        return "-"
    mean = f"{statistics.mean(scores):.1f}"
    return mean if len(scores) == 1 else f"{mean} ±{statistics.stdev(scores):.1f}"


def _module_table(results: Results) -> Sheet:
    numbers = (Column("parameters", right=True, drop=2), Column("on disk", right=True, drop=1))
    table = Sheet(
        "expression", Column("seed", right=True), "", Column("seconds", right=True), *numbers, title="modules"
    )
    for m in results.modules:
        done = Text("trained", "yellow") if m.trained else Text("reused", "green")
        table.add(m.expr, str(m.seed), done, f"{m.seconds:.1f}", f"{m.parameters:,}", decimal(m.bytes))
    return table


def as_json(results: Results) -> dict[str, object]:
    """The machine's form of the results; scores in 0..100."""
    return {
        "backbone": results.backbone,
        "data": results.data,
        "generated": results.generated,
        "cells": [asdict(c) for c in results.cells],
        "modules": [asdict(m) for m in results.modules],
        "baselines": [asdict(b) for b in results.baselines],
        "differences": [said(f) for f in results.findings if f.compares],
        "means": [said(f) for f in results.findings if not f.compares],
        "failures": [asdict(f) for f in results.failures],
        "seconds": round(results.seconds, 2),
    }
