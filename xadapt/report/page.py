"""The report of a study: one page that opens offline, the same as Markdown, pictures and CSVs beside it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from xadapt.common.errors import UserError
from xadapt.common.files import explained, replace_bytes, replace_text
from xadapt.record.figure import Amount, Entry, Figure, Table
from xadapt.record.record import StudyRecord
from xadapt.report.markdown import POCKET, column_is_numeric, markdown
from xadapt.report.numbers import cells_csv, entry_text, findings_csv, made_from, numbers_of, table_csv
from xadapt.report.svg import DARK, LIGHT

TEMPLATE = "report.html.j2"
MOST_LINES = 30  # of a table of sources; a longer one is a file beside the page


def check_report(out: Path | str) -> None:
    """Refuse before anything is run what ``write_report`` would refuse at its end.

    Raises:
        UserError: no folder can be there, or matplotlib is missing.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            "a report needs matplotlib, which is not installed",
            do="pip install matplotlib",
        )
    with explained(Path(out)):
        Path(out).mkdir(parents=True, exist_ok=True)


def write_report(record: StudyRecord, out: Path | str) -> Path:
    """Write ``report.html``, ``report.md``, ``cells.csv``, ``findings.csv`` and ``figures/*.png`` into a
    folder, each whole. Returns the path of the page.

    Raises:
        UserError: matplotlib is missing, or the disk refuses.
    """
    folder = Path(out)
    check_report(folder)
    from xadapt.report import figures as drawing

    pictures: dict[int, str] = {}
    with explained(folder):
        for number, figure in enumerate(record.figures):
            if not isinstance(figure, Table):
                pictures[number] = f"figures/{number + 1:02}-{_slug(figure.title)}.png"
                replace_bytes(folder / pictures[number], drawing.png(figure))
        replace_text(folder / "cells.csv", cells_csv(record.results))
        replace_text(folder / "findings.csv", findings_csv(record.results))
        beside = {
            n: f"{_slug(t.title)}.csv" for n, t in enumerate(record.sources) if len(t.rows) > MOST_LINES
        }
        for number, name in beside.items():
            replace_text(folder / name, table_csv(record.sources[number]))
        replace_text(folder / "report.md", markdown(record, pictures, beside))
        colours = {"light": LIGHT, "dark": DARK}
        drawn = [
            Markup(drawing.svg(figure, f"f{n}")) if n in pictures else None
            for n, figure in enumerate(record.figures)
        ]
        replace_text(folder / "report.html", _page(record, drawn, beside, colours))
    return folder / "report.html"


def _page(
    record: StudyRecord,
    drawn: Sequence[Markup | None],
    beside: Mapping[int, str],
    colours: Mapping[str, Mapping[str, str]],
) -> str:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((files("xadapt.report") / TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        record=record,
        label=POCKET if record.pocket else "",
        figures=[
            {**_block(figure, record), "svg": picture, "id": f"figure-{n + 1}"}
            for n, (figure, picture) in enumerate(zip(record.figures, drawn, strict=True))
        ],
        sources=[
            {**_block(table, record), "lines": len(table.rows), "place": beside.get(number)}
            for number, table in enumerate(record.sources)
        ],
        counts=_counts(record),
        colours=colours,
    )


def _block(figure: Figure, record: StudyRecord) -> dict[str, Any]:
    table = numbers_of(figure)
    numeric = [column_is_numeric(table, i) for i in range(len(table.columns))]
    rows = [[_entry(e) for e in row] for row in table.rows]
    return {
        "title": figure.title,
        "note": figure.note,
        "from": made_from(figure, record),
        "columns": list(zip(table.columns, numeric, strict=True)),
        "rows": rows,
        "numeric": numeric,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    text = entry_text(entry)
    value = entry.value if isinstance(entry, Amount) else entry
    link = text if isinstance(entry, str) and re.match(r"https?://\S+$", text) else None
    sort = None if text == str(value) else "" if value is None else value
    return {"text": text, "sort": sort, "link": link, "none": "no difference" in text}


def _counts(record: StudyRecord) -> str:
    results = record.results
    seeds = sorted({c.seed for c in results.cells})
    parts = [
        (len(dict.fromkeys(c.expr for c in results.cells)), "expression"),
        (len({c.task for c in results.cells}), "target"),
        (len({c.lang for c in results.cells}), "language"),
        (len(seeds), "seed"),
        (len(results.modules), "module"),
        (len(results.cells), "score"),
    ]
    return ", ".join(f"{n:,} {word}{'s' * (n != 1)}" for n, word in parts)


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "figure"
