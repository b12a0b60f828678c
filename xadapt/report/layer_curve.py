"""Retrieval at every layer: which one is best, and how much hangs on it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from xadapt.report.sheet import Column, Sheet
from xadapt.study.results import Cell, Results

WIDTH = 40  # characters of the longest bar
WIDE = 12  # languages in the table at most; JSON has them all


def print_layers(results: Results, console: Console) -> None:
    """For each expression a table with a line a layer, 0 for the embeddings, and a bar beside it."""
    for expr, curve in layer_means(results).items():
        cells = [c for c in _main(results) if c.expr == expr]
        best = max(curve, key=lambda layer: curve[layer])
        top = max(curve.values())
        languages = list(dict.fromkeys(c.lang for c in cells))
        of = f"{len(languages)} language" + "s" * (len(languages) > 1)
        console.print(Text(f"{expr}: {cells[0].metric} on {cells[0].split} by hidden layer", "bold"))
        shown = languages if len(languages) <= WIDE else []
        table = Sheet(*(Column(name, right=True) for name in ("layer", *shown, "mean")), Column("", drop=1))
        for layer, mean in curve.items():
            per_lang = [_mean(c.score for c in cells if (c.layer, c.lang) == (layer, lang)) for lang in shown]
            bar = "█" * round(WIDTH * mean / top) if top > 0 else ""
            style = "bold" if layer == best else None
            table.add(str(layer), *(f"{s:.1f}" for s in (*per_lang, mean)), bar, style=style)
        console.print(table)
        console.print(
            f"best: layer {best}, {top:.1f} (mean of {of}); chosen on "
            "what it is measured on: fix a layer beforehand to compare systems",
            style="dim",
            highlight=False,
        )
        console.print()


def layer_means(results: Results) -> dict[str, dict[int, float]]:
    """Expression -> layer -> the mean of the task's first metric over languages and seeds."""
    means: dict[str, dict[int, float]] = {}
    cells = _main(results)
    for expr in dict.fromkeys(c.expr for c in cells):
        mine = [c for c in cells if c.expr == expr]
        layers = sorted({c.layer for c in mine if c.layer is not None})
        means[expr] = {layer: _mean(c.score for c in mine if c.layer == layer) for layer in layers}
    return means


def best_layers(results: Results) -> list[dict[str, object]]:
    """The machine's form: each expression's curve and its best layer, the first of equally good ones."""
    return [
        {
            "expr": expr,
            "best": max(curve, key=lambda layer: curve[layer]),
            "means": [{"layer": layer, "mean": mean} for layer, mean in curve.items()],
        }
        for expr, curve in layer_means(results).items()
    ]


def _main(results: Results) -> list[Cell]:
    """The cells of the task's first metric."""
    return [c for c in results.cells if c.metric == results.cells[0].metric]


def _mean(scores: Iterable[float]) -> float:
    return statistics.mean(scores)
