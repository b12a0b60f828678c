"""Numbers by layer as tables with a shade each: what fusions have learned, how alike modules are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xadapt.report.sheet import Column, Sheet
from xadapt.study.analysis import LayerValues

SHADES = " ░▒▓█"


def fusion_map(found: LayerValues, world: str = "") -> Sheet:
    """A fusion's weights; the largest is the darkest.

    Args:
        world: what the title says of generated data.
    """
    return heat_map(f"{found.subject}: {found.measure}, by layer{world}", found.names, found.values)


def similarity_map(found: LayerValues, world: str = "") -> Sheet:
    """Cosines of pairs of modules, with their mean over the layers that have one; 1 is the darkest."""
    title = f"{found.subject}: {found.measure}, by layer{world}"
    return heat_map(title, found.names, found.values, what="modules", full=1.0, mean=True)


def heat_map(
    title: str,
    names: Sequence[str],
    values: np.ndarray,
    *,
    what: str = "module",
    full: float | None = None,
    mean: bool = False,
) -> Sheet:
    """One line a name, one column a layer, the lowest on the left; of deep encoders in several tables.

    Args:
        values: (layers, names); NaN, drawn as a point, where there is nothing.
        what: the names are.
        full: the size that has the darkest shade; by default the largest there is.
        mean: whether a last column has the mean over the layers that have a value.
    """
    there = np.abs(values[~np.isnan(values)])
    full = full or float(there.max(initial=0.0)) or 1.0
    layers = [*map(str, range(len(values))), *(["mean"] if mean else [])]
    table = Sheet(what, *(Column(layer, right=True, whole=True) for layer in layers), title=title)
    for at, name in enumerate(names):
        column = values[:, at]
        present = column[~np.isnan(column)]
        means = [float(present.mean()) if len(present) else float("nan")] if mean else []
        table.add(name, *(_shaded(v, full) for v in (*column.tolist(), *means)))
    return table


def _shaded(value: float, full: float) -> str:
    if np.isnan(value):
        return "·"
    return f"{value:.2f} {SHADES[round(min(1.0, abs(value) / full) * (len(SHADES) - 1))]}"
