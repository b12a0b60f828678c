"""The numbers of a figure as a table, and the cells and findings of a study as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xadapt.common.text_tables import TextTable, csv_table
from xadapt.record.figure import Amount, Curve, Entry, Figure, Forest, Front, Heatmap, Point, Table
from xadapt.record.record import StudyRecord
from xadapt.statistics.estimate import Estimate
from xadapt.study.results import Results


def numbers_of(figure: Figure) -> Table:
    """What a figure shows, line by line; a table is itself."""
    columns: tuple[str, ...]
    rows: list[tuple[Entry, ...]]
    match figure:
        case Table():
            return figure
        case Heatmap():
            columns = ("", *figure.columns)
            rows = [
                (name, *(_said(one, figure.difference) for one in row))
                for name, row in zip(figure.rows, figure.values, strict=True)
            ]
        case Forest():
            columns = ("of", "compared", "difference", "p", "seeds")
            rows = [
                (d.group, d.name, _said(d.estimate, True), _p(d.estimate), d.estimate.seeds)
                for d in figure.differences
            ]
        case Curve():
            columns = ("panel", "series", "point", figure.x, figure.y, "interval")
            rows = [(s.panel, s.name, *_point(p)) for s in figure.series for p in s.points]
            rows += [
                (s.panel, s.name, "slope per doubling", None, _said(s.slope, True), None)
                for s in figure.series
                if s.slope is not None
            ]
        case Front():
            columns = ("point", figure.x, figure.y, "interval", "on the front")
            rows = [(*_point(p), "yes" if p.front else "no") for p in figure.points]
    kept = [i for i in range(len(columns)) if any(row[i] not in ("", None) for row in rows)]
    return Table(
        figure.title, tuple(columns[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows)
    )


def _said(one: Estimate | None, difference: bool) -> Entry:
    return None if one is None else Amount(one.value, one.text(difference=difference))


def _p(one: Estimate) -> Entry:
    p = one.p if one.adjusted is None else one.adjusted
    return Amount(p, f"{p:.2g}")


def _point(p: Point) -> tuple[Entry, Entry, Entry, Entry]:
    interval = None if p.low is None or p.high is None else f"{p.low:.1f} to {p.high:.1f}"
    x = None if p.x is None else Amount(p.x, f"{p.x:,g}")
    return p.name, x, Amount(p.value, f"{p.value:.2f}"), interval


CELLS = (
    "cell", "backbone", "method", "expr", "seed", "task", "lang", "split", "metric", "score", "n", "layer",
    "module", "key",
)  # fmt: skip


def cells_csv(results: Results) -> str:
    """One line a score, numbered from 1: figures name the lines that they are made of."""
    return _csv(
        CELLS,
        (
            (i, c.backbone, c.method, c.expr, c.seed, c.task, c.lang, c.split, c.metric, f"{c.score:.4f}",
             c.n, c.layer, c.module, c.key)
            for i, c in enumerate(results.cells, 1)
        ),
    )  # fmt: skip


def findings_csv(results: Results) -> str:
    """One line a mean, gap or gain, with its interval."""
    columns = ("backbone", "method", "task", "metric", "expr", "what", "against", "value", "low", "high", "p",
               "adjusted", "shown", "seeds", "items", "text")  # fmt: skip
    rows = []
    for f in results.findings:
        one = f.estimate
        numbers = [f"{value:.4f}" for value in (one.value, one.low, one.high)]
        adjusted = None if one.adjusted is None else f"{one.adjusted:.3g}"
        ends = (f"{one.p:.3g}", adjusted, one.shown) if f.compares else (None, None, None)
        rows.append(
            (f.backbone, f.method, f.task, f.metric, f.expr, f.what, f.against, *numbers, *ends, one.seeds,
             one.items, f.text)
        )  # fmt: skip
    return _csv(columns, rows)


def table_csv(table: Table) -> str:
    """A table as it is shown."""
    return _csv(table.columns, ([entry_text(entry) for entry in row] for row in table.rows))


def entry_text(entry: Entry) -> str:
    """An entry of a table as it is shown."""
    if isinstance(entry, Amount):
        return entry.text
    if isinstance(entry, int):
        return f"{entry:,}"
    return "-" if entry is None else f"{entry:g}" if isinstance(entry, float) else entry


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return csv_table(TextTable(tuple(columns), tuple(map(tuple, rows))))


def made_from(figure: Figure, record: StudyRecord) -> str:
    """What a figure is made of: ``cells 1-54, 70 of cells.csv (55 of 120)``, or how many modules."""
    if figure.modules:
        return f"{len(figure.modules)} modules: see Modules"
    total = len(record.results.cells)
    if not figure.cells:
        return f"all {total} cells of cells.csv" if total else "no cells"
    wanted = set(figure.cells)
    lines = [i for i, c in enumerate(record.results.cells, 1) if c.key in wanted]
    runs: list[list[int]] = []
    for line in lines:
        if runs and runs[-1][-1] == line - 1:
            runs[-1] = [runs[-1][0], line]
        else:
            runs.append([line])
    listed = ", ".join("-".join(map(str, run)) for run in runs)
    return f"cells {listed} of cells.csv ({len(lines)} of {total})"
