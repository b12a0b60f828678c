"""What a page found: rows of plain values, as JSON, as markdown tables and as pictures."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from setting import Setting

from xadapt.common.measure import Spread
from xadapt.common.text_tables import TextTable

LIBRARIES = ("torch", "transformers", "peft", "adapters", "accelerate", "numpy")
PLACES = ("out", "checkpoint", "encoder", "data")  # options that name folders of this machine: not in results
Row = dict[str, Any]  # "table" and "name", then columns: numbers, Spreads, texts, None


@dataclass(frozen=True)
class Picture:
    """One picture of a table: a bar a row, or a line a ``by`` over ``x``."""

    table: str
    value: str
    x: str | None = None
    by: str = "name"


@dataclass(frozen=True)
class Found:
    """What a page found.

    Attributes:
        facts: what it was measured on, ``Setting.facts``.
        rows: each with the title of its table and its name.
        pictures: those that help.
    """

    facts: Mapping[str, str]
    rows: Sequence[Row]
    pictures: Sequence[Picture] = field(default=())


def versions() -> dict[str, str]:
    """Of Python and the libraries that are compared."""
    found = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **found}


def as_json(page: str, options: Setting, found: Found) -> dict[str, Any]:
    """Plain values: the page, the machine, versions, options, rows."""
    kept = {k: v for k, v in asdict(options).items() if k not in PLACES}
    rows = [{k: asdict(v) if isinstance(v, Spread) else v for k, v in row.items()} for row in found.rows]
    machine = {"device": found.facts["device"], "processor": platform.machine()}
    return {
        "page": page, "machine": machine, "model": dict(found.facts), "versions": versions(),
        "options": kept, "rows": rows,
    }  # fmt: skip


def as_markdown(page: str, options: Setting, found: Found) -> str:
    """A heading that says what was measured on, and the tables."""
    f = found.facts
    weights = "its own weights" if f["weights"] == "its own" else "random weights"
    timed = any(isinstance(value, Spread) for row in found.rows for value in row.values())
    rounds = f"; {options.rounds} rounds in turns: medians (ranges)" if timed else ""
    lines = [f"# {page}", "", f"XLM-R {f['model']} ({weights}), {f['dtype']}, {f['device']}{rounds}."]
    for title in dict.fromkeys(row["table"] for row in found.rows):
        rows = [row for row in found.rows if row["table"] == title]
        columns = [k for k in dict.fromkeys(k for row in rows for k in row) if k not in ("table", "name")]
        cells = tuple((row["name"], *(shown(row.get(c)) for c in columns)) for row in rows)
        lines += ["", f"## {title}", "", TextTable(("", *columns), cells).text("markdown").rstrip()]
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write(page: str, options: Setting, found: Found, out: Path) -> None:
    """``<page>.json``, ``<page>.md`` and ``<page>-N.svg`` in a folder."""
    out.mkdir(parents=True, exist_ok=True)
    made = json.dumps(as_json(page, options, found), indent=1) + "\n"
    (out / f"{page}.json").write_text(made, encoding="utf-8")
    text = as_markdown(page, options, found)
    for number, picture in enumerate(found.pictures, 1):
        rows = [row for row in found.rows if row["table"] == picture.table]
        if all(row.get(picture.value) is None for row in rows):
            continue  # a column that was not measured
        name = f"{page}-{number}.svg"
        draw(out / name, picture, rows)
        text += f"\n![{picture.table}: {picture.value}]({name})\n"
    (out / f"{page}.md").write_text(text, encoding="utf-8")


def draw(path: Path, picture: Picture, rows: Sequence[Row]) -> None:
    """A picture as SVG, the same bytes for the same values."""
    known = [row for row in rows if row.get(picture.value) is not None]
    spreads = [v if isinstance(v := row[picture.value], Spread) else Spread(v, v, v) for row in known]
    figure = Figure(figsize=(7, 1 + 0.32 * len(known) if picture.x is None else 4), layout="constrained")
    axes = figure.subplots()
    if picture.x is None:
        middle = [s.median for s in spreads]
        around = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
        axes.barh([row["name"] for row in known], middle, xerr=around, color="#4c78a8", ecolor="#333333")
        axes.invert_yaxis()
        axes.set_xlabel(picture.value)
    else:
        for name in dict.fromkeys(row[picture.by] for row in known):
            points = [(row[picture.x], s.median) for row, s in zip(known, spreads, strict=True)
                      if row[picture.by] == name]  # fmt: skip
            axes.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
        axes.set_xlabel(picture.x)
        axes.set_ylabel(picture.value)
        axes.legend(fontsize="small")
    axes.set_title(picture.table, fontsize="medium")
    with mpl.rc_context({"svg.hashsalt": "xadapt", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def show(page: str, options: Any, measure: Callable[[Any], Found]) -> None:
    """Measure, print the tables and, as the last line, the result as JSON; write into ``--out`` if given."""
    quiet()
    found = measure(options)
    print(as_markdown(page, options, found))
    if options.out:
        write(page, options, found, options.out)
    print(json.dumps(as_json(page, options, found)))


def quiet() -> None:
    """No warnings of the libraries between the lines: ``adapters`` says at each start that nothing is
    active."""
    import logging
    import warnings

    import transformers

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    logging.getLogger("adapters").setLevel(logging.ERROR)


def slug(device: str) -> str:
    """``cpu-2-threads``, or the GPU's name: a folder's."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
