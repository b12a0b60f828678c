"""The report as Markdown; pictures lie beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from xadapt.common.text_tables import TextTable, markdown_table, markdown_text
from xadapt.record.figure import Figure, Table
from xadapt.record.record import StudyRecord
from xadapt.report.numbers import entry_text, made_from

POCKET = "pocket world: generated text; evidence for nothing about real languages"


def markdown(record: StudyRecord, pictures: Mapping[int, str], beside: Mapping[int, str]) -> str:
    """The whole text.

    Args:
        pictures: number of a figure of ``record.figures`` -> where its picture lies.
        beside: number of a table of ``record.sources`` -> the file that has it in the place of the text.
    """
    parts = [f"# {markdown_text(record.question)}", f"**Answer.** {markdown_text(record.answer)}"]
    label = f"*{POCKET}*" if record.pocket else ""
    parts.append(label)
    parts += [f"- {markdown_text(note)}" for note in record.notes]
    if record.literature:
        parts += ["## What the literature found", *(markdown_text(text) for text in record.literature)]
    parts += ["## Results", markdown_text(record.reading)]
    for number, figure in enumerate(record.figures):
        parts += [f"### {markdown_text(figure.title)}", label]
        place = pictures.get(number)
        parts.append(f"![{markdown_text(figure.title)}]({place})" if place else table_text(figure))
        parts += _below(figure, record)
    if record.methods:
        parts += ["## Methods", markdown_text(record.methods)]
    parts.append("## Where it comes from")
    if record.command:
        parts.append(_fenced(record.command, "sh"))
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    parts.append(markdown_text(f"Recorded {record.created}. {versions}"))
    for number, table in enumerate(record.sources):
        place = beside.get(number)
        parts += [f"### {markdown_text(table.title)}", label]
        parts.append(f"{len(table.rows):,} lines: [{place}]({place})" if place else table_text(table))
        parts.append(markdown_text(table.note))
    parts.append(
        "All scores: [cells.csv](cells.csv). Means, gaps and gains with intervals: "
        "[findings.csv](findings.csv)."
    )
    if record.bibtex:
        parts += ["## References", _fenced(record.bibtex.strip(), "bibtex")]
    return "\n\n".join(part for part in parts if part) + "\n"


def _below(figure: Figure, record: StudyRecord) -> Iterable[str]:
    return (markdown_text(figure.note), f"<sub>From {made_from(figure, record)}.</sub>")


def table_text(figure: Figure) -> str:
    """A table as Markdown has it; numbers to the right."""
    assert isinstance(figure, Table)
    rows = tuple(tuple(map(entry_text, row)) for row in figure.rows)
    right = [i for i in range(len(figure.columns)) if column_is_numeric(figure, i)]
    return markdown_table(TextTable(tuple(figure.columns), rows), right).rstrip("\n")


def column_is_numeric(table: Table, column: int) -> bool:
    """Whether a column has numbers and nothing else."""
    entries = [row[column] for row in table.rows if row[column] is not None]
    return bool(entries) and not any(isinstance(entry, str) for entry in entries)


def _fenced(text: str, language: str) -> str:
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", text))])
    return f"{fence}{language}\n{text}\n{fence}"
