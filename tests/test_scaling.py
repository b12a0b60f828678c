"""What a doubling of size brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_backbone

from xadapt.common.arrays import as_text
from xadapt.common.errors import UserError
from xadapt.grid.grid import Grid
from xadapt.record.scaling import encoder_sizes, per_doubling, scaling
from xadapt.store.store import Store, address_of
from xadapt.study.evidence import Contrast, Evidence, average
from xadapt.study.results import Cell

RIGHT = {100: 30, 200: 40, 400: 50, 800: 60}  # of 100 items: 10 points a doubling


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    store = Store(tmp_path)
    return Evidence([cell(store, size, seed) for size in RIGHT for seed in range(3)], store, resamples=200)


def cell(store: Store, size: int, seed: int) -> Cell:
    counts = np.stack([np.arange(100) < RIGHT[size], np.ones(100)], axis=1).astype(float)
    key = address_of({"size": size, "seed": seed})
    store.write_scores(key, {"counts": {"accuracy": as_text(counts)}})
    score = float(RIGHT[size])
    return Cell(f"xnli[{size}]", seed, "xnli", "de", "test", "accuracy", score, 100, backbone="b", key=key)


def points(evidence: Evidence, *sizes: int) -> dict[float, Contrast]:
    return {float(size): evidence.mean(evidence.row(f"xnli[{size}]")) for size in sizes}


def test_a_slope_is_in_points_per_doubling(evidence: Evidence) -> None:
    (found,) = evidence.estimate([per_doubling(evidence, points(evidence, *RIGHT))])
    assert found.value == pytest.approx(10)
    assert found.low < 10 < found.high


def test_a_series_has_every_point_and_the_line_through_them(evidence: Evidence) -> None:
    series = scaling(evidence, "data", points(evidence, *RIGHT), panel="over data")
    assert [(p.x, p.value) for p in series.points] == [pytest.approx(pair) for pair in RIGHT.items()]
    assert series.slope is not None
    assert series.slope.value == pytest.approx(10)
    alone = scaling(evidence, "data", points(evidence, 100))
    assert (len(alone.points), alone.slope) == (1, None)


def test_an_average_weighs_all_alike(evidence: Evidence) -> None:
    two = list(points(evidence, 100, 800).values())
    assert [e.value for e in evidence.estimate([average(two)])] == [pytest.approx(45)]
    with pytest.raises(UserError, match="no scores"):
        average([])


def test_encoders_are_counted_without_their_embeddings_and_sorted() -> None:
    large, small = tiny_backbone(), tiny_backbone(num_hidden_layers=1)
    large.name, small.name = "large", "small"
    grid = Grid(["xnli"], backbones=[large, small])
    sizes = encoder_sizes(grid)
    assert list(sizes) == ["small", "large"]
    assert sizes["large"] == large.layers * sizes["small"]
    embeddings = large.parameters - large.layer_parameters
    assert embeddings == sum(p.numel() for p in large.model.embeddings.parameters())
    assert encoder_sizes(grid, embeddings=True)["large"] == sizes["large"] + embeddings


def test_one_size_of_encoder_says_nothing_of_sizes() -> None:
    with pytest.raises(UserError, match="one size of encoder"):
        encoder_sizes(Grid(["xnli"], backbones=[tiny_backbone()]))
