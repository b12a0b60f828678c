"""Every task of the catalogue runs in the pocket world, from its row to a score or a stored module."""

from __future__ import annotations

from pathlib import Path

import pytest

from xadapt.backbone.backbone import Backbone
from xadapt.data.pocket.source import Pocket
from xadapt.stacks.methods import LoRA
from xadapt.store.store import Store
from xadapt.study.plan import Overrides, make_plan
from xadapt.study.results import Results
from xadapt.study.run import run
from xadapt.tasks import CATALOGUE

pytestmark = pytest.mark.slow  # two minutes

TARGETS = [task.name for task in CATALOGUE.values() if task.role == "target"]
BELOW = [task.name for task in CATALOGUE.values() if task.role == "intermediate"]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone.from_pretrained("pocket")


@pytest.fixture(scope="module")
def source() -> Pocket:
    return Pocket()


def ran(expression: str, languages: list[str], backbone: Backbone, source: Pocket, store: Path) -> Results:
    made = make_plan(
        [expression],
        backbone=backbone,
        source=source,
        method=LoRA(),
        languages=languages,
        overrides=Overrides(max_steps=1, batch_size=8),
    )
    return run(made, Store(store), baselines=False)


def test_nine_and_three_below_and_twelve_targets() -> None:
    assert len(BELOW) == 12
    assert len(TARGETS) == 12


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_evaluated_zero_shot(
    backbone: Backbone, source: Pocket, tmp_path: Path, name: str
) -> None:
    task = CATALOGUE[name]
    expression = name if task.train is None else f"{name}[32]"
    found = ran(expression, ["de"], backbone, source, tmp_path)
    assert {c.metric for c in found.cells} == set(task.metrics)
    assert all(0 <= c.score <= 100 and c.n > 0 and c.lang == "de" for c in found.cells)
    assert [m.trained for m in found.modules] == ([] if task.train is None else [True])


@pytest.mark.parametrize("name", BELOW)
def test_an_intermediate_task_is_trained_and_mounted_below(
    backbone: Backbone, source: Pocket, tmp_path: Path, name: str
) -> None:
    found = ran(f"{name}[32] > tatoeba", ["de"], backbone, source, tmp_path)
    assert [m.expr for m in found.modules] == [f"{name}[32]"]
    assert len(found.cells) == 1
