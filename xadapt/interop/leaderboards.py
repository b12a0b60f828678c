"""XTREME and XTREME-R: which tasks in which languages they average, and how.

The lists of languages are the catalogue's. They equal evaluate.py's own (XTREME_TASK2LANGS,
XTREME_R_TASK2LANGS), which Hu et al. 2020 (arXiv 2003.11080, table 1) and Ruder et al. 2021 (arXiv
2104.07412, table 2) state. LAReQA is in the paper and the leaderboard but has no languages in
evaluate.py: here it has XQuAD-R's eleven.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xadapt.tasks import XTREME as XTREME_LANGUAGES
from xadapt.tasks import XTREME_R as XTREME_R_LANGUAGES

# task -> language -> metric -> 0..100
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class Benchmark:
    """What one leaderboard averages.

    Attributes:
        name: as it is printed.
        groups: group -> its tasks; every task is in one group.
        languages: task -> the languages that its mean is over, English among them.
    """

    name: str
    groups: Mapping[str, tuple[str, ...]]
    languages: Mapping[str, tuple[str, ...]]


XTREME = Benchmark(
    "XTREME",
    {
        "sentence-pair classification": ("xnli", "pawsx"),
        "structured prediction": ("udpos", "panx"),
        "question answering": ("xquad", "mlqa", "tydiqa"),
        "retrieval": ("bucc", "tatoeba"),
    },
    XTREME_LANGUAGES,
)

XTREME_R = Benchmark(
    "XTREME-R",
    {
        "classification": ("xnli", "xcopa"),
        "structured prediction": ("udpos", "panx"),
        "question answering": ("xquad", "mlqa", "tydiqa"),
        "retrieval": ("mewslix", "lareqa", "tatoeba"),
    },
    XTREME_R_LANGUAGES,
)


@dataclass(frozen=True)
class TaskMean:
    """One task's mean over those of the benchmark's languages that have a score.

    Attributes:
        score: the mean of ``headline``, 0..100; None without any language.
        scored, missing: the benchmark's languages with and without a score.
    """

    task: str
    score: float | None
    scored: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Average:
    """A benchmark's averages. A group, and the whole, has a score only where nothing is missing of it:
    evaluate.py shows none otherwise, and a mean over other languages is another figure.

    Attributes:
        groups: group -> 0..100 or None.
        overall: the plain mean over all tasks, as the leaderboard has it; None where anything is missing.
    """

    benchmark: Benchmark
    tasks: tuple[TaskMean, ...]
    groups: Mapping[str, float | None]
    overall: float | None


def headline(metrics: Mapping[str, float]) -> float:
    """What one language counts with: the mean of exact match and F1 for question answering, else the
    task's first metric. The mean over languages of the one is evaluate.py's ``avg_metric``."""
    if "exact_match" in metrics and "f1" in metrics:
        return (metrics["exact_match"] + metrics["f1"]) / 2
    return next(iter(metrics.values()))


def average(benchmark: Benchmark, scores: Scores) -> Average:
    """The benchmark's task, group and overall means; what is missing is named, never averaged away.

    Args:
        scores: task -> language -> metric -> 0..100, the task's main metric first; what the benchmark
            does not have is left out of its means.
    """
    tasks = {}
    for task, languages in benchmark.languages.items():
        found = scores.get(task, {})
        scored = tuple(lang for lang in languages if lang in found)
        mean = statistics.fmean(headline(found[lang]) for lang in scored) if scored else None
        missing = tuple(lang for lang in languages if lang not in found)
        tasks[task] = TaskMean(task, mean, scored, missing)

    def mean_of(names: Sequence[str]) -> float | None:
        means = [tasks[name].score for name in names if not tasks[name].missing]
        whole = [mean for mean in means if mean is not None]
        return statistics.fmean(whole) if len(whole) == len(names) else None

    groups = {group: mean_of(names) for group, names in benchmark.groups.items()}
    return Average(benchmark, tuple(tasks.values()), groups, mean_of(tuple(tasks)))


def by_language_group(
    scores: Scores, groups: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, tuple[float, tuple[str, ...]]]]:
    """Task -> group -> the mean of ``headline`` over the group's languages that have a score, and which.

    Args:
        groups: name -> languages: resource levels, scripts, families; they may overlap.
    """
    result: dict[str, dict[str, tuple[float, tuple[str, ...]]]] = {}
    for task, found in scores.items():
        for group, languages in groups.items():
            scored = tuple(lang for lang in languages if lang in found)
            if scored:
                mean = statistics.fmean(headline(found[lang]) for lang in scored)
                result.setdefault(task, {})[group] = (mean, scored)
    return result
