"""The averages of XTREME and XTREME-R, by hand."""

from __future__ import annotations

import pytest

from xadapt.interop.leaderboards import XTREME, XTREME_R, Benchmark, average, by_language_group, headline
from xadapt.tasks import CATALOGUE

TWO = Benchmark(
    "two",
    {"pairs": ("xnli",), "reading": ("xquad", "mlqa")},
    {"xnli": ("en", "de", "sw"), "xquad": ("en", "de"), "mlqa": ("en",)},
)
WHOLE = {
    "xnli": {"en": {"accuracy": 80.0}, "de": {"accuracy": 70.0}, "sw": {"accuracy": 60.0}},
    "xquad": {"en": {"f1": 80.0, "exact_match": 70.0}, "de": {"f1": 60.0, "exact_match": 50.0}},
    "mlqa": {"en": {"f1": 50.0, "exact_match": 40.0}},
}


def test_the_lists_have_the_papers_sizes() -> None:
    # Hu et al. 2020, table 1; Ruder et al. 2021, table 2
    assert {task: len(langs) for task, langs in XTREME.languages.items()} == {
        "xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11, "mlqa": 7, "tydiqa": 9,
        "bucc": 4, "tatoeba": 36,
    }  # fmt: skip
    assert {task: len(langs) for task, langs in XTREME_R.languages.items()} == {
        "xnli": 15, "xcopa": 11, "udpos": 38, "panx": 48, "xquad": 12, "mlqa": 7, "tydiqa": 9,
        "mewslix": 11, "lareqa": 11, "tatoeba": 41,
    }  # fmt: skip
    assert len({lang for langs in XTREME.languages.values() for lang in langs}) == 40
    assert len({lang for langs in XTREME_R.languages.values() for lang in langs}) == 50


@pytest.mark.parametrize("benchmark", [XTREME, XTREME_R], ids=lambda b: b.name)
def test_every_task_is_in_one_group_and_as_the_catalogue_has_it(benchmark: Benchmark) -> None:
    grouped = [task for tasks in benchmark.groups.values() for task in tasks]
    assert sorted(grouped) == sorted(benchmark.languages)
    for task, languages in benchmark.languages.items():
        assert len(set(languages)) == len(languages)
        if task in CATALOGUE and benchmark is XTREME:
            assert set(languages) <= set(CATALOGUE[task].languages)


def test_a_whole_benchmark() -> None:
    found = average(TWO, WHOLE)
    # xnli (80 + 70 + 60) / 3 = 70; xquad ((80 + 60) / 2 + (70 + 50) / 2) / 2 = 65; mlqa (50 + 40) / 2 = 45
    assert [t.score for t in found.tasks] == [70.0, 65.0, 45.0]
    assert found.groups == {"pairs": 70.0, "reading": 55.0}  # (65 + 45) / 2
    assert found.overall == pytest.approx((70 + 65 + 45) / 3)  # over tasks, not over groups


def test_what_is_missing_is_named_and_not_averaged_away() -> None:
    xnli = {lang: WHOLE["xnli"][lang] for lang in ("en", "de")}
    found = average(TWO, {**WHOLE, "xnli": xnli})
    assert found.tasks[0].score == 75.0
    assert found.tasks[0].missing == ("sw",)
    assert found.groups == {"pairs": None, "reading": 55.0}
    assert found.overall is None
    assert average(TWO, {"xnli": WHOLE["xnli"]}).groups == {"pairs": 70.0, "reading": None}
    assert average(TWO, {}).tasks[0].score is None


def test_languages_and_tasks_of_another_benchmark_do_not_count() -> None:
    more = {**WHOLE, "xcopa": {"ht": {"accuracy": 50.0}}}
    more["xnli"] = {**WHOLE["xnli"], "fr": {"accuracy": 0.0}}
    assert average(TWO, more) == average(TWO, WHOLE)


def test_a_tagging_task_counts_with_its_first_metric() -> None:
    assert headline({"f1": 74.2, "accuracy": 78.2}) == 74.2


def test_groups_of_languages_say_which_they_are_over() -> None:
    groups = {"high": ("en", "de"), "low": ("sw", "qu"), "unseen": ("qu",)}
    found = by_language_group(WHOLE, groups)
    assert found["xnli"] == {"high": (75.0, ("en", "de")), "low": (60.0, ("sw",))}
    assert found["xquad"] == {"high": (65.0, ("en", "de"))}
