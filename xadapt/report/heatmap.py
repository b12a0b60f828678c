"""Numbers by layer as tables with a shade each: what fusions have learned, how alike modules are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from xadapt.study.analysis import LayerValues

SHADES = " ░▒▓█"
ABREAST = 12  # layers side by side: deeper encoders have several tables, one below the other


def fusion_map(found: LayerValues, world: str = "") -> Group:
    """A fusion's weights; the largest is the darkest.

    Args:
        world: what the title says of generated data.
    """
    return heat_map(f"{found.subject}: {found.measure}, by layer{world}", found.names, found.values)


def similarity_map(found: LayerValues, world: str = "") -> Group:
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
) -> Group:
    """One line a name, one column a layer, the lowest on the left.

    Args:
        values: (layers, names); NaN, drawn as a point, where there is nothing.
        what: the names are.
        full: the size that has the darkest shade; by default the largest there is.
        mean: whether a last column has the mean over the layers that have a value.
    """
    there = np.abs(values[~np.isnan(values)])
    full = full or float(there.max(initial=0.0)) or 1.0
    return Group(Text(title, style="bold"), *_tables(names, values, what, full, mean))


def _tables(names: Sequence[str], values: np.ndarray, what: str, full: float, mean: bool) -> Iterator[Table]:
    for first in range(0, len(values), ABREAST):
        some = values[first : first + ABREAST]
        last = mean and first + ABREAST >= len(values)
        table = Table()
        table.add_column(what)
        for layer in range(first, first + len(some)):
            table.add_column(str(layer), justify="right", no_wrap=True)
        if last:
            table.add_column("mean", justify="right", no_wrap=True)
        for at, name in enumerate(names):
            column = values[:, at]
            present = column[~np.isnan(column)]
            means = [float(present.mean()) if len(present) else float("nan")] if last else []
            table.add_row(Text(name), *(_shaded(v, full) for v in (*some[:, at].tolist(), *means)))
        yield table


def _shaded(value: float, full: float) -> str:
    if np.isnan(value):
        return "·"
    return f"{value:.2f} {SHADES[round(min(1.0, abs(value) / full) * (len(SHADES) - 1))]}"
