"""The tables of the pages of text, from what the benchmarks found."""

from __future__ import annotations

import csv
import json
import re
import statistics
from pathlib import Path
from typing import Any

from results import shown

from xadapt.common.text_tables import TextTable

MISSING = "Not measured yet: `python benchmarks/run.py --readme` measures it and writes it here.\n"
CELLS = Path(__file__).parents[1] / "recipes" / "results" / "pocket_size_and_throughput" / "cells.csv"
# A method: its row in train.json, its row in infer.json, its expression in the recipe's scores.
METHODS = {
    "full fine-tuning": ("full fine-tuning", "bare encoder", "xnli@full"),
    "LoRA": ("LoRA", "LoRA", "xnli@lora"),
    "LoRA on q and v": ("LoRA on q and v", "LoRA on q and v", "xnli@lora(targets=qv)"),
    "LoRA in the top 4 layers": (
        "LoRA in the top 4 layers",
        "LoRA in the top 4 layers",
        "xnli@lora(layers=top4)",
    ),
    "bottleneck": ("bottleneck", "bottleneck", "xnli@bottleneck"),
}
COLUMNS = (
    "",
    "accuracy, pocket world",
    "training ex/s over full",
    "inference ex/s over bare",
    "peak GB",
    "stored MB",
)


def accuracies() -> dict[str, float]:
    """Expression -> its mean score over seeds and languages but English, of the recipe's largest backbone."""
    if not CELLS.is_file():
        return {}
    scores: dict[str, list[float]] = {}
    for cell in csv.DictReader(CELLS.open(encoding="utf-8")):
        if cell["backbone"] == "pocket in float32" and cell["lang"] != "en":
            scores.setdefault(cell["expr"], []).append(float(cell["score"]))
    return {expr: statistics.mean(values) for expr, values in scores.items()}


def spread(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    if isinstance(value, dict):
        return f"{value['median']:.2f} ({value['low']:.2f} to {value['high']:.2f})"
    return shown(value)


def choice(folder: Path) -> str:
    """The table as markdown, from ``train.json`` and ``infer.json``; without them it says so."""
    if not all((folder / f"{page}.json").is_file() for page in ("train", "infer")):
        return MISSING
    train, infer = (
        json.loads((folder / f"{page}.json").read_text(encoding="utf-8")) for page in ("train", "infer")
    )
    first = train["rows"][0]["table"], infer["rows"][0]["table"]  # other tables have rows of the same names
    trained, run = (
        {row["name"]: row for row in found["rows"] if row["table"] == table}
        for found, table in zip((train, infer), first, strict=True)
    )
    known = accuracies()
    lines = tuple(
        (
            method,
            f"{known[expr]:.1f}" if expr in known else "",
            spread(trained[own], "over full"),
            spread(run[served], "over bare"),
            spread(trained[own], "peak GB"),
            spread(trained[own], "stored MB"),
        )
        for method, (own, served, expr) in METHODS.items()
    )
    f = train["model"]
    about = f"XLM-R {f['model']}'s shape, {f['weights']} weights, {f['dtype']}, {f['device']}."
    return f"{TextTable(COLUMNS, lines).text('markdown').rstrip()}\n\n{about}\n"


def claims(folder: Path) -> str:
    """The rows with a bar as markdown, from ``bars.json``; without it it says so."""
    path = folder / "bars.json"
    if not path.is_file():
        return MISSING
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = tuple(
        (
            str(row["row"]),
            row["name"],
            row["peer"],
            "" if row["value"] is None else f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
            f"{'at least' if row['least'] else 'at most'} {row['bar']:g}",
            {True: "holds", False: "missed", None: "not measured"}[row["holds"]],
        )
        for row in found["bars"]
    )
    f = found["model"]
    about = f"XLM-R {f['model']}'s shape, {f['weights']} weights, {f['dtype']}, {f['device']}."
    table = TextTable(("", "ours", "over", "measured", "bar", ""), lines).text("markdown").rstrip()
    return f"{table}\n\n{about}\n"


def tables(folder: Path, *pages: str) -> str:
    """What the pages' own markdown files say, one below another; where one is missing it says so."""
    files = [folder / f"{page}.md" for page in pages]
    if not all(file.is_file() for file in files):
        return MISSING
    texts = [re.sub(r"^#+ ", "### ", file.read_text(encoding="utf-8"), flags=re.MULTILINE) for file in files]
    return "\n".join(re.sub(r"^!\[.*\n", "", text, flags=re.MULTILINE).strip() + "\n" for text in texts)


TABLES = {
    "what to choose": choice,
    "bars": claims,
    "inference": lambda folder: tables(folder, "infer", "swap"),
    "stacks": lambda folder: tables(folder, "stacks"),
    "quality": lambda folder: tables(folder, "quality"),
    "lengths": lambda folder: tables(folder, "lengths"),
    "trunk": lambda folder: tables(folder, "trunk"),
}


def write_tables(page: Path, folder: Path) -> None:
    """The tables that a page has marks for (``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``), anew."""
    text = page.read_text(encoding="utf-8")
    for name, made in TABLES.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if begin in text:
            before, rest = text.split(begin)
            _, after = rest.split(end)
            text = f"{before}{begin}\n\n{made(folder)}\n{end}{after}"
    page.write_text(text, encoding="utf-8")
