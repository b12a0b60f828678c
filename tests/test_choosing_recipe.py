"""The arithmetic of recipes/choose_intermediate.py: what the first k tasks reach, and k random ones."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from xadapt.study.evidence import Contrast, Place, Row

KNOWN = {("mnli", "xnli"): 60.0, ("qqp", "xnli"): 50.0, ("ccg", "xnli"): 20.0}
KNOWN |= {("mnli", "udpos"): 70.0, ("qqp", "udpos"): 70.0, ("ccg", "udpos"): 90.0}
SCORES = {
    (one, t): Contrast({Place(Row("tiny", "lora", f"{one} > {t}", t, "f1"), "de"): 1.0}) for one, t in KNOWN
}


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    path = Path(__file__).parents[1] / "recipes" / "choose_intermediate.py"
    spec = spec_from_file_location("choose_intermediate", path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["choose_intermediate"] = made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def value(contrast: Contrast) -> float:
    points = {f"{one} > {t}": score for (one, t), score in KNOWN.items()}
    return sum(weight * points[place.row.expr] for place, weight in contrast.items())


def test_the_first_tasks_of_a_proxy_reach_the_best_among_them(recipe: ModuleType) -> None:
    size = {(one, t): {"mnli": 3.0, "qqp": 2.0, "ccg": 1.0}[one] for one, t in KNOWN}
    assert recipe.order(size, "udpos") == ["mnli", "qqp", "ccg"]
    assert value(recipe.reached(SCORES, size, KNOWN, 1)) == (60 + 70) / 2
    assert value(recipe.reached(SCORES, size, KNOWN, 3)) == (60 + 90) / 2
    assert value(recipe.reached(SCORES, KNOWN, KNOWN, 1)) == (60 + 90) / 2


def test_tasks_that_a_proxy_finds_alike_keep_their_order(recipe: ModuleType) -> None:
    assert recipe.order(dict.fromkeys(KNOWN, 1.0), "xnli") == ["mnli", "qqp", "ccg"]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_random_tasks_reach_the_mean_over_all_draws(recipe: ModuleType, k: int) -> None:
    by_hand = 0.0
    for target in ("xnli", "udpos"):
        points = [score for (_, t), score in KNOWN.items() if t == target]
        best = [max(draw) for draw in combinations(points, k)]
        by_hand += sum(best) / len(best) / 2
    assert value(recipe.at_random(SCORES, KNOWN, k)) == pytest.approx(by_hand)


def test_alike_is_a_cosine(recipe: ModuleType) -> None:
    a, b = np.array([1.0, 0.0]), np.array([1.0, 1.0])
    assert recipe.cosine(a, 3 * a) == pytest.approx(1)
    assert recipe.cosine(a, b) == pytest.approx(0.5**0.5)
