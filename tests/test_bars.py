"""What the pocket world must give: three seeds, 1,000 test items a language. Minutes; marked slow."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from xadapt.backbone.backbone import Backbone
from xadapt.data.sources import open_source
from xadapt.stacks.methods import LoRA
from xadapt.store.store import Store
from xadapt.study.plan import make_plan
from xadapt.study.results import Results
from xadapt.study.run import run

pytestmark = pytest.mark.slow

# Task, metric, English, mean over the other languages.
BARS = [
    ("xnli", "accuracy", 80, 55),
    ("udpos", "f1", 97, 75),
    ("panx", "f1", 90, 65),
    ("xquad", "exact_match", 65, 35),
    ("pawsx", "accuracy", 80, 62),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    plan = make_plan(
        [task for task, *_ in BARS] + ["tatoeba"],
        backbone=Backbone.from_pretrained("pocket"),
        source=open_source("pocket"),
        method=LoRA(),
        seeds=(0, 1, 2),
    )
    return run(plan, Store(tmp_path_factory.mktemp("store")))


def mean(results: Results, task: str, metric: str, english: bool) -> float:
    rows = [c for c in results.cells if (c.task, c.metric, c.lang == "en") == (task, metric, english)]
    assert len({c.seed for c in rows}) == 3
    assert all(c.n == 1000 and c.split == "test" for c in rows)
    return statistics.mean(c.score for c in rows)


@pytest.mark.parametrize(
    ("task", "metric", "where", "bar"),
    [
        (task, metric, where, bar)
        for task, metric, english, others in BARS
        for where, bar in (("en", english), ("others", others))
    ],
)
def test_a_task_reaches_its_bar(results: Results, task: str, metric: str, where: str, bar: float) -> None:
    assert mean(results, task, metric, where == "en") >= bar


def test_nli_is_not_word_overlap(results: Results) -> None:
    rows = [
        b.score for b in results.baselines if b.task == "xnli" and b.name == "overlap only" and b.lang != "en"
    ]
    assert len(rows) == 6
    assert statistics.mean(rows) + 8 <= mean(results, "xnli", "accuracy", False)


def test_retrieval_has_room_in_both_directions(results: Results) -> None:
    assert 40 <= mean(results, "tatoeba", "accuracy", False) <= 80


def test_the_checkpoint_is_small() -> None:
    folder = Path(__file__).parents[1] / "xadapt" / "data" / "pocket" / "model"
    assert sum(f.stat().st_size for f in folder.iterdir()) < 8_000_000
