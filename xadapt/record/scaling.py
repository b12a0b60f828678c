"""Scores over sizes, of encoders or of data: what a doubling brings, with an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping

from xadapt.common.errors import UserError
from xadapt.grid.grid import Grid
from xadapt.record.figure import Point, Series
from xadapt.study.evidence import Contrast, Evidence


def encoder_sizes(grid: Grid, *, embeddings: bool = False) -> dict[str, float]:
    """The name of each of a grid's backbones -> how many parameters it has, the smallest first.

    Args:
        embeddings: count them too. Without them: the layers alone, as what is computed with. Of XLM-R base
            the embeddings are two thirds.

    Raises:
        UserError: all of one size, so that nothing can be said of sizes.
    """
    backbones = [study.plan.backbone for study in grid.studies]
    sizes = {b.name: float(b.parameters if embeddings else b.layer_parameters) for b in backbones}
    if len(set(sizes.values())) < 2:
        raise UserError(
            f"one size of encoder: {', '.join(sizes)}",
            expected="two or more backbones of different size",
            do="name them with --backbone, the smallest first",
        )
    return dict(sorted(sizes.items(), key=lambda item: item[1]))


def per_doubling(evidence: Evidence, points: Mapping[float, Contrast]) -> Contrast:
    """The least-squares slope over log2 of size, in points per doubling; ``points`` are size -> contrast.

    Raises:
        UserError: fewer than two sizes.
    """
    return evidence.slope(list(points.values()), [math.log2(size) for size in points])


def scaling(evidence: Evidence, name: str, points: Mapping[float, Contrast], *, panel: str = "") -> Series:
    """The points of ``per_doubling`` with their intervals and its line, to be drawn; without the line where
    there is one size only.

    Raises:
        UserError: no points, or scores that share no seed.
    """
    line = [per_doubling(evidence, points)] if len(points) > 1 else []
    found = evidence.estimate([*points.values(), *line])
    drawn = tuple(Point(x, e.value, e.low, e.high) for x, e in zip(points, found, strict=False))
    return Series(name, drawn, found[-1] if line else None, panel)
