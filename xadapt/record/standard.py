"""The figures that every study has: gains, scores, gaps by language, learning curves, cost.

Of each task its first metric counts. All is computed here; what ``report`` draws is what it is given.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from xadapt.common.errors import UserError
from xadapt.record.figure import (
    Amount,
    Curve,
    Difference,
    Entry,
    Figure,
    Forest,
    Heatmap,
    Point,
    Series,
    Table,
)
from xadapt.stacks.parser import parse
from xadapt.stacks.term import Term
from xadapt.statistics.estimate import Estimate
from xadapt.store.store import Store
from xadapt.study.evidence import Contrast, Evidence, Row, average, of_one_layer
from xadapt.study.results import OTHERS, Cell, Finding, ModuleRow, Results
from xadapt.tasks.languages import LANGUAGES, basis_of, grouped

_SEVERAL = 3  # lines of one panel that are drawn each; of more, the first and the mean of the others
Arm = tuple[str, str]  # backbone and method
Manifests = dict[str, dict[str, Any]]  # by address


class _Gain(NamedTuple):
    arm: Arm
    below: str
    task: str
    row: Row
    first: Row


def standard_figures(results: Results, store: Store, manifests: Manifests) -> tuple[Figure, ...]:
    """What any study's report shows, the gains first.

    Args:
        manifests: of the results' modules (``manifests_of``).

    Raises:
        UserError: scores that are no longer in the store.
    """
    found: list[Figure] = []
    metrics = main_metrics(results)
    cells = [c for c in results.cells if metrics[c.task] == c.metric]
    if of_one_layer(cells):
        evidence = Evidence(cells, store)
        several = len({(c.backbone, c.method) for c in cells}) > 1
        gains = _gains(evidence)
        for arm in dict.fromkeys(gain.arm for gain in gains):
            here = [gain for gain in gains if gain.arm == arm]
            found += _heatmaps(here, results, evidence, _of(arm, several))
        found += _forest(results, metrics, several)
        found += [_score_table(results, task, metrics[task], several) for task in metrics]
        found += _gaps(evidence, several)
    found += _learning(results.modules, manifests)
    found += _costs(results.modules, manifests)
    return tuple(found)


def main_metrics(results: Results) -> dict[str, str]:
    """Task -> its first metric."""
    found: dict[str, str] = {}
    for cell in results.cells:
        found.setdefault(cell.task, cell.metric)
    return found


def below_target(expr: str) -> str:
    """What lies below the target, as text: ``mnli`` of ``mnli > xnli``; ``none`` for a target alone. The
    target's own size or method is kept, as in ``mnli > ·[1000]``."""
    try:
        stack = parse(expr)
    except UserError:
        return expr
    top = stack.top
    own = str(top).removeprefix(top.task) if isinstance(top, Term) else str(top)
    below = "" if stack.below is None else str(stack.below)
    return (f"{below} > ·{own}" if below else f"·{own}") if own else below or "none"


def _of(arm: Arm, several: bool) -> str:
    return f", {arm[1]} on {arm[0]}" if several else ""


def _keys(cells: Sequence[Cell]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(c.key for c in cells if c.key))


# -- gains ------------------------------------------------------------------------------------


def _gains(evidence: Evidence) -> list[_Gain]:
    """What is compared with the first expression of its task, backbone and method, in the same languages."""
    return [
        _Gain((row.backbone, row.method), below_target(row.expr), row.task, row, first)
        for row, first in evidence.over_first().items()
    ]


def _heatmaps(gains: Sequence[_Gain], results: Results, evidence: Evidence, of: str) -> Iterator[Heatmap]:
    """Gains by what lies below and target, and by groups of languages over all targets."""
    belows, tasks = list(dict.fromkeys(g.below for g in gains)), list(dict.fromkeys(g.task for g in gains))
    if len(gains) < 2:
        return
    arm = gains[0].arm
    cells = _keys([c for c in evidence.cells if (c.backbone, c.method) == arm])
    said = {
        (f.expr, f.task, f.metric): f.estimate
        for f in results.findings
        if f.what == "gain" and (f.backbone, f.method) == arm
    }
    by_task = {(g.below, g.task): said.get((g.row.expr, g.task, g.row.metric)) for g in gains}
    yield Heatmap(
        f"Gain by what lies below and target{of}",
        tuple(belows),
        tuple(tasks),
        tuple(tuple(by_task.get((below, task)) for task in tasks) for below in belows),
        note="Points over the first expression of the target, mean of the languages but English.",
        cells=cells,
    )
    contrasts = _by_group(gains, evidence)
    groups = [g for g in ("high", "middle", "low", "unseen", "other") if any(k[1] == g for k in contrasts)]
    if len(groups) < 2:
        return
    found = dict(zip(contrasts, evidence.estimate(list(contrasts.values()), compared=True), strict=True))
    yield Heatmap(
        f"Gain by what lies below and resources of the language{of}",
        tuple(belows),
        tuple(groups),
        tuple(tuple(found.get((below, group)) for group in groups) for below in belows),
        note=f"Mean over the targets of the gain in the languages of each group, by {basis_of('resource')}; "
        "English left out. Holm's method over this table.",
        cells=cells,
    )


def _by_group(gains: Sequence[_Gain], evidence: Evidence) -> dict[tuple[str, str], Contrast]:
    """(below, group of languages) -> the mean gain over the targets that have such languages."""
    parts: dict[tuple[str, str], list[Contrast]] = defaultdict(list)
    for gain in gains:
        others = [lang for lang in evidence.languages(gain.row) if lang != "en"]
        for group, languages in grouped(others, "resource").items():
            difference = evidence.mean(gain.row, languages) - evidence.mean(gain.first, languages)
            parts[gain.below, group].append(difference)
    return {key: average(some) for key, some in parts.items()}


def _forest(results: Results, metrics: Mapping[str, str], several: bool) -> Iterator[Forest]:
    gains = [f for f in results.findings if f.what == "gain" and metrics.get(f.task) == f.metric]
    if gains:
        differences = tuple(
            Difference(
                f.expr + _of((f.backbone, f.method), several), f.estimate, f"{f.task}: over {f.against}"
            )
            for f in sorted(gains, key=lambda f: (list(metrics).index(f.task), f.against))
        )
        note = "Mean of the languages but English; filled circles: a difference is shown."
        yield Forest(
            "Gains with their intervals", differences, x="points over the first expression", note=note
        )


# -- scores -----------------------------------------------------------------------------------


def _score_table(results: Results, task: str, metric: str, several: bool) -> Table:
    """One line an expression or baseline, one column a language, then mean, gap and gain."""
    cells = [c for c in results.cells if (c.task, c.metric) == (task, metric)]
    languages = sorted(dict.fromkeys(c.lang for c in cells), key=lambda lang: lang != "en")
    found: dict[tuple[Arm, str, str], Finding] = {
        ((f.backbone, f.method), f.expr, f.what): f
        for f in results.findings
        if (f.task, f.metric) == (task, metric)
    }
    summary = [(what, name) for what, name in (("gain", "gain"), (OTHERS, "mean of others"), ("gap", "gap"))
               if any(key[2] == what for key in found)]  # fmt: skip
    rows: list[tuple[Entry, ...]] = []
    scores: dict[tuple[Arm, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for c in cells:
        scores[(c.backbone, c.method), c.expr][c.lang].append(c.score)
    for (arm, expr), by_language in scores.items():
        ends: list[Entry] = []
        for what, _ in summary:
            finding = found.get((arm, expr, what))
            ends.append(None if finding is None else _said(finding.estimate, what != OTHERS))
        rows.append((expr + _of(arm, several), *ends, *(_mean(by_language[lang]) for lang in languages)))
    beside = [b for b in results.baselines if (b.task, b.metric) == (task, metric)]
    for name in dict.fromkeys(b.name for b in beside):
        of = {b.lang: [b.score] for b in beside if b.name == name}
        rows.append(
            (f"no model: {name}", *[None] * len(summary), *(_mean(of.get(lang, [])) for lang in languages))
        )
    seeds, splits = len({c.seed for c in cells}), ", ".join(dict.fromkeys(c.split for c in cells))
    items = sorted({c.n for c in cells})
    sizes = f"{items[0]:,}" if len(items) == 1 else f"{items[0]:,} to {items[-1]:,}"
    return Table(
        f"{task}: {metric} on {splits}",
        ("expression", *(name for _, name in summary), *languages),
        tuple(rows),
        note=f"Means of {seeds} seed{'s' * (seeds > 1)}, {sizes} items a language. gap: English minus the "
        "mean of the others; gain: that mean over the first expression's.",
        cells=_keys(cells),
    )


def _said(one: Estimate, difference: bool) -> Amount:
    return Amount(one.value, one.text(difference=difference))


def _mean(scores: Sequence[float]) -> Entry:
    return Amount(value := statistics.mean(scores), f"{value:.1f}") if scores else None


# -- by language ------------------------------------------------------------------------------


def _gaps(evidence: Evidence, several: bool) -> Iterator[Curve]:
    """For each target the gap of each language over its size in CC-100."""
    names: list[tuple[str, str, str, float | None]] = []  # series, panel, language, size
    contrasts: list[Contrast] = []
    for task in dict.fromkeys(c.task for c in evidence.cells):
        rows = evidence.rows(task)
        for name, some in _chosen(rows, several).items():
            shared = set.intersection(*(set(evidence.languages(row)) for row in some))
            for lang in evidence.languages(some[0]):
                if lang == "en" or lang not in shared or lang not in LANGUAGES:
                    continue
                score = average([evidence.mean(row, [lang]) for row in some])
                english = average([evidence.mean(row, ["en"]) for row in some]) if "en" in shared else None
                contrasts.append(english - score if english else score)
                names.append((name, f"{task}: {'gap' if english else 'score'}", lang, LANGUAGES[lang].cc100))
    if not contrasts or len({lang for *_, lang, _ in names}) < 2:
        return
    points: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for (name, panel, lang, size), one in zip(names, evidence.estimate(contrasts), strict=True):
        points[name, panel].append(Point(size, one.value, one.low, one.high, name=lang))
    yield Curve(
        "Gap by language and how much of it XLM-R has read",
        "GiB of CC-100",
        "points",
        tuple(Series(name, tuple(some), panel=panel) for (name, panel), some in points.items()),
        joined=False,
        nowhere="unseen",
        note="gap: English minus the language; where there is no English, the score. Sizes: Conneau et al. "
        "2020, table 6: XLM-R's, whatever the backbone. Lines are intervals; long ones are cut by the frame.",
        cells=_keys(evidence.cells),
    )


def _chosen(rows: Sequence[Row], several: bool) -> dict[str, list[Row]]:
    """Few lines each; of many the first of all, and the mean of the others."""
    if len(rows) <= _SEVERAL:
        return {below_target(row.expr) + _of((row.backbone, row.method), several): [row] for row in rows}
    first = [row for row in rows if row.expr == rows[0].expr]
    others = [row for row in rows if row.expr != rows[0].expr]
    mean = " (mean)" if len(first) > 1 else ""
    groups = {below_target(rows[0].expr) + mean: first, "mean of the others": others}
    return {name: group for name, group in groups.items() if group}


# -- training ---------------------------------------------------------------------------------


def manifests_of(modules: Sequence[ModuleRow], store: Store) -> Manifests:
    """Address -> manifest of those that the store still has."""
    addresses = dict.fromkeys(m.address for m in modules)
    return {address: store.manifest(address) for address in addresses if store.has(address)}


def _learning(modules: Sequence[ModuleRow], found: Manifests) -> Iterator[Curve]:
    """English dev over steps, a panel for each task, seeds averaged."""
    backbones = {m["backbone"]["name"] for m in found.values()}
    looks: dict[tuple[str, str], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for module in {m.address: m for m in modules}.values():
        manifest = found.get(module.address, {})
        panel, history = str(manifest.get("task", "")), manifest.get("dev", {}).get("history", [])
        name = below_target(module.expr) + (
            f" on {manifest['backbone']['name']}" if len(backbones) > 1 else ""
        )
        for look in history:
            scores = [value for key, value in look.items() if key not in ("step", "loss")]
            looks[panel, name][look["step"]].append(statistics.mean(scores))
    by_panel: dict[str, dict[str, dict[float, list[float]]]] = defaultdict(dict)
    for (panel, name), steps in looks.items():
        by_panel[panel][name] = steps
    series = []
    for panel, named in by_panel.items():
        for name, steps in _few(named).items():
            seeds = max(map(len, steps.values()))
            points = tuple(
                Point(step, statistics.mean(values))
                for step, values in sorted(steps.items())
                if len(values) == seeds
            )
            series.append(Series(name, points, panel=panel))
    if series:
        yield Curve(
            "Learning curves", "step", "English dev", tuple(series), log=False,
            note="Mean over seeds, as long as all of them were training; of many modules of one task, the "
            "one with nothing below and the mean of the others.",
            modules=tuple(found),
        )  # fmt: skip


def _few(named: Mapping[str, dict[float, list[float]]]) -> dict[str, dict[float, list[float]]]:
    if len(named) <= _SEVERAL:
        return dict(named)
    first = next(iter(named)) if "none" not in named else "none"
    others: dict[float, list[float]] = defaultdict(list)
    for name, steps in named.items():
        for step, values in steps.items() if name != first else ():
            others[step] += values
    return {first: named[first], "mean of the others": others}


def _costs(modules: Sequence[ModuleRow], found: Manifests) -> Iterator[Table]:
    """What modules took and weigh, by backbone, method and the kind of their task."""
    kinds: dict[tuple[str, str, str], list[ModuleRow]] = defaultdict(list)
    for module in {m.address: m for m in modules}.values():
        manifest = found.get(module.address)
        if manifest is not None:
            kinds[manifest["backbone"]["name"], manifest["method"], manifest["kind"]].append(module)
    rows: list[tuple[Entry, ...]] = []
    for (backbone, method, kind), some in kinds.items():
        seconds = [m.seconds for m in some]
        weighs = [statistics.median(m.parameters for m in some), statistics.median(m.bytes for m in some)]
        total = sum(seconds)
        rows.append(
            (kind, f"{method} on {backbone}", len(some), round(weighs[0]),
             Amount(weighs[1], _bytes(weighs[1])), Amount(m := statistics.median(seconds), f"{m:,.1f}"),
             Amount(total, _time(total)))
        )  # fmt: skip
    if rows:
        whole = sum(m.bytes for some in kinds.values() for m in some)
        yield Table(
            "What the modules cost",
            ("kind of task", "method", "modules", "parameters (median)", "on disk (median)",
             "seconds (median)", "training in all"),
            tuple(rows),
            note=f"{_bytes(whole)} on disk in all. Seconds of training alone, on the machine that trained "
            "each module; what the store held already is counted as it was. Energy was not measured.",
            modules=tuple(found),
        )  # fmt: skip


def _bytes(value: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} GB"


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{minutes} min"
        if minutes < 120
        else f"{minutes / 60:.1f} h"
    )
