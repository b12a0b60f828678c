"""Predictions and their scores as tables and JSON: per task and language, per group, overall."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from xadapt.interop.leaderboards import XTREME, XTREME_R, Average, average, by_language_group
from xadapt.interop.xtreme_files import asked
from xadapt.interop.xtreme_scores import FolderScores
from xadapt.report.sheet import Column, Sheet
from xadapt.study.results import Predicted
from xadapt.tasks.languages import GroupBy, basis_of, grouped

BENCHMARKS = (XTREME, XTREME_R)
EXAMPLES, LINES = 4, 4  # of what has no score: so many words of a list, so many lines


def print_predictions(made: Sequence[Predicted], files: Sequence[Path], console: Console) -> None:
    """What was written where."""
    table = Sheet("language", Column("examples", right=True), "file", title="predictions")
    for one, file in zip(made, files, strict=True):
        table.add(one.lang, f"{asked(one.examples):,}", str(file))
    console.print(table)


def print_scores(
    found: FolderScores, console: Console, by: GroupBy | None = None, *, whole: bool = False
) -> None:
    """Every score, the benchmarks' averages, what they lack, and what was refused.

    Args:
        by: average over groups of languages as well.
        whole: all that is missing, refused or odd; else of each so much that the scores stay in sight.
    """
    averages = _averages(found)
    console.print(_languages(found))
    if averages:
        console.print(_benchmarks(averages, whole=whole))
    console.print(_caption(found, averages), style="dim", highlight=False)
    if by is not None:
        console.print(_groups(found, by))
        caption = f"means over languages by {basis_of(by)}; en left out: it is what systems are trained in"
        console.print(caption, style="dim", highlight=False)
    lines = [
        f"missing for {one.benchmark.name}: {missing(one, whole=whole)}"
        for one in averages
        if one.overall is None
    ]
    odd = [*_refused(found, whole=whole), *_noted(found, whole=whole)]
    shown = odd if whole else odd[:LINES]
    lines += shown
    if len(odd) > len(shown):
        lines.append(f"and {len(odd) - len(shown)} more lines like these")
    if found.ignored:
        lines.append(f"no files of predictions: {_some(found.ignored, ', ', whole=whole)}")
    for line in lines:
        console.print(line, highlight=False, markup=False)
    if lines and not whole:
        console.print("--missing lists all of it, --json as well", style="dim", highlight=False)


def scores_as_json(found: FolderScores, by: GroupBy | None = None) -> dict[str, object]:
    """The machine's form; scores in 0..100, null where a benchmark is not complete."""
    return {
        "scores": [asdict(row) for row in found.scored],
        "refused": [asdict(row) for row in found.refused],
        "ignored": list(found.ignored),
        "benchmarks": {
            one.benchmark.name: {
                "overall": one.overall,
                "groups": dict(one.groups),
                "tasks": {
                    t.task: {"score": t.score, "scored": t.scored, "missing": t.missing} for t in one.tasks
                },
            }
            for one in _averages(found)
        },
        "language_groups": {
            task: {group: {"score": mean, "languages": langs} for group, (mean, langs) in per.items()}
            for task, per in by_language_group(found.by_task(), _grouped(found, by)).items()
        },
    }


def missing(one: Average, *, whole: bool = True) -> str:
    """Tasks and languages that a benchmark asks for and that have no score.

    Args:
        whole: all of them; else a few examples and how many more there are.
    """
    parts = []
    for task in sorted(one.tasks, key=lambda t: not t.scored):  # what was begun is named first
        if task.missing:
            some = _some(task.missing, " ", whole=whole)
            parts.append(f"{task.task} ({some if task.scored else f'all {len(task.missing)} languages'})")
    return _some(parts, ", ", whole=whole)


def _refused(found: FolderScores, *, whole: bool) -> list[str]:
    """A line a task and reason, with its languages."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in found.refused:
        groups.setdefault((one.task, one.reason), []).append(one.lang)
    return [
        f"not scored: {task} in {_some(langs, ' ', whole=whole)}: {reason}"
        for (task, reason), langs in groups.items()
    ]


def _noted(found: FolderScores, *, whole: bool) -> list[str]:
    """A line a task and what was dropped or repaired, with how often in which language."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in found.scored:
        for what, count in row.notes.items():
            groups.setdefault((row.task, what), []).append(f"{count:,} in {row.lang}")
    return [f"{task}: {what}: {_some(counts, ', ', whole=whole)}" for (task, what), counts in groups.items()]


def _some(words: Sequence[str], between: str, *, whole: bool) -> str:
    """The words; of many a few, and how many more."""
    more = len(words) - EXAMPLES
    if whole or more <= 1:
        return between.join(words)
    return f"{between.join(words[:EXAMPLES])}{between}and {more} more".replace(", and", " and")


def _caption(found: FolderScores, averages: Sequence[Average]) -> str:
    parts = ["question answering counts with the mean of exact match and F1"]
    if any(t.scored and t.missing for one in averages for t in one.tasks):
        parts.append("in parentheses: over a part of the languages, and in no average")
    if any(row.split == "dev" for row in found.scored):
        parts.append("the leaderboards are on test: what is scored on dev cannot be put beside them")
    return "; ".join(parts)


def _averages(found: FolderScores) -> list[Average]:
    """Of the benchmarks that have one of the scored tasks."""
    scores = found.by_task()
    return [average(b, scores) for b in BENCHMARKS if any(task in b.languages for task in scores)]


def _languages(found: FolderScores) -> Sheet:
    """Languages down, tasks and their metrics across; empty where a task is not in a language."""
    columns = {(r.task, metric): r.split for r in found.scored for metric in r.scores}
    heads = [f"{t}\n{m.replace('exact_match', 'EM')}\n{split}" for (t, m), split in columns.items()]
    table = Sheet("", *(Column(head, right=True) for head in heads), title="scores")
    by_task = found.by_task()
    languages = sorted({row.lang for row in found.scored}, key=lambda lang: (lang != "en", lang))
    for lang in languages:
        cells = []
        for task, metric in columns:
            exists = any(lang in b.languages.get(task, ()) for b in BENCHMARKS)
            score = by_task[task].get(lang, {}).get(metric)
            cells.append(_shown(score) if exists or score is not None else "")
        table.add(lang, *cells)
    table.section()
    means = [statistics.fmean(s[m] for s in by_task[t].values()) for t, m in columns]
    table.add("mean of these", *map(_shown, means))
    return table


def _benchmarks(averages: Sequence[Average], *, whole: bool) -> Sheet:
    """Groups, their tasks below them, and all together; one column a benchmark. Tasks without a score are
    there where ``whole`` is."""
    begun = {t.task for one in averages for t in one.tasks if t.scored}
    heads = [head for one in averages for head in (one.benchmark.name, "languages")]
    columns = (Column(head, right=True) for head in heads)
    table = Sheet("", *columns, title="averages as the leaderboards have them")
    for group in dict.fromkeys(group for one in averages for group in one.groups):
        of_group = {task for one in averages for task in one.benchmark.groups.get(group, ())}
        if not whole and not of_group & begun:
            continue
        cells = [cell for one in averages for cell in (_shown(one.groups.get(group)), "")]
        table.add(Text(group, "bold"), *cells)
        tasks = dict.fromkeys(t for one in averages for t in one.benchmark.groups.get(group, ()))
        for task in tasks:
            if not whole and task not in begun:
                continue
            cells = []
            for one in averages:
                here = next((t for t in one.tasks if t.task == task), None)
                if here is None or task not in one.benchmark.groups.get(group, ()):
                    cells += ["", ""]
                    continue
                shown, asked_for = _shown(here.score), len(here.scored) + len(here.missing)
                partly = here.score is not None and here.missing
                cells += [f"({shown})" if partly else shown, f"{len(here.scored)} of {asked_for}"]
            table.add(f"  {task}", *cells)
    table.section()
    overall = [cell for one in averages for cell in (_shown(one.overall), "")]
    table.add(Text("overall", "bold"), *overall)
    return table


def _grouped(found: FolderScores, by: GroupBy | None) -> dict[str, tuple[str, ...]]:
    """The scored languages in groups, without English."""
    languages = dict.fromkeys(row.lang for row in found.scored if row.lang != "en")
    return {} if by is None else grouped(languages, by)


def _groups(found: FolderScores, by: GroupBy) -> Sheet:
    """Tasks down, groups of languages across, with how many languages each mean is over."""
    groups = _grouped(found, by)
    columns = (Column(group, right=True) for group in groups)
    table = Sheet("", *columns, title="means over groups of languages (how many)")
    for task, per in by_language_group(found.by_task(), groups).items():
        cells = [f"{per[g][0]:.1f} ({len(per[g][1])})" if g in per else "-" for g in groups]
        table.add(task, *cells)
    return table


def _shown(score: float | None) -> str:
    return "-" if score is None else f"{score:.2f}"
