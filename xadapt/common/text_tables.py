"""A table of plain values as text: Markdown, LaTeX, CSV, HTML; no value is taken for a mark of these."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Form = Literal["markdown", "csv", "latex"]

_MARKDOWN = re.compile(r"([\\`*_\[\]|<>#])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "·": r"$\cdot$",
    "±": r"$\pm$",
} | {mark: f"\\{mark}" for mark in "&%$#_{}"}
_MINUS = re.compile(r"(?<![\w.])-(?=[0-9])")


@dataclass(frozen=True)
class TextTable:
    """Names of columns, and lines of as many values: texts, numbers, or None for nothing."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def text(self, form: Form) -> str:
        """The table in that form, ending in a line break."""
        return {"markdown": markdown_table, "csv": csv_table, "latex": latex_table}[form](self)

    def without(self, columns: Iterable[str]) -> TextTable:
        """The other columns."""
        left_out = set(columns)
        kept = [i for i, name in enumerate(self.columns) if name not in left_out]
        return TextTable(
            tuple(self.columns[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in self.rows)
        )

    def constant(self, columns: Iterable[str]) -> dict[str, Any]:
        """Those of ``columns`` that have one value in all lines, with it."""
        found = {name: {row[self.columns.index(name)] for row in self.rows} for name in columns}
        return {name: values.pop() for name, values in found.items() if len(values) == 1}

    def numeric(self, column: int) -> bool:
        """Whether a column is of numbers, or of texts that begin with one: it is set to the right."""
        shown = [row[column] for row in self.rows if row[column] not in (None, "", "-", "·")]
        return bool(shown) and all(
            isinstance(one, int | float) or re.match(r"[+-]?[0-9]+\.[0-9]", str(one)) for one in shown
        )


def csv_table(table: TextTable) -> str:
    """Comma-separated values, names first; numbers in full."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return out.getvalue()


def markdown_table(table: TextTable, right: Collection[int] | None = None) -> str:
    """A table of GitHub's Markdown; the columns ``right`` to the right, None for those of numbers."""
    columns = range(len(table.columns))
    right = [i for i in columns if table.numeric(i)] if right is None else right
    sides = ["---:" if i in right else "---" for i in columns]
    lines = [[markdown_text(name) or " " for name in table.columns], sides]
    lines += _shown(table, markdown_text)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex_table(table: TextTable) -> str:
    """A ``tabular`` with the rules of the package booktabs; numbers to the right."""
    sides = "".join("r" if table.numeric(i) else "l" for i in range(len(table.columns)))
    lines = [
        f"\\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        " & ".join(map(latex_text, table.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(line) + r" \\" for line in _shown(table, latex_text)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def html_table(table: TextTable) -> str:
    """An HTML table; numbers to the right."""
    right = [' style="text-align:right"' if table.numeric(i) else "" for i in range(len(table.columns))]

    def line(tag: str, values: Iterable[str]) -> str:
        cells = (f"<{tag}{side}>{value}</{tag}>" for side, value in zip(right, values, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    head = line("th", map(html.escape, table.columns))
    body = "\n".join(line("td", values) for values in _shown(table, html.escape))
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def html_facts(facts: Mapping[str, Any]) -> str:
    """An HTML table of what one thing is: a line a fact, its name before it; what is None is left out."""
    lines = "\n".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(shown_value(value))}</td></tr>'
        for name, value in facts.items()
        if value is not None
    )
    return f"<table>\n<tbody>\n{lines}\n</tbody>\n</table>"


def html_first(table: TextTable, most: int = 20) -> str:
    """An HTML table of the first ``most`` lines, and how many more there are."""
    more = len(table.rows) - most
    rest = f"<p>and {more:,} more</p>" if more > 0 else ""
    return html_table(TextTable(table.columns, table.rows[:most])) + rest


def markdown_text(text: str) -> str:
    """A text in which nothing is a mark of Markdown's or HTML's; one paragraph."""
    plain = _MARKDOWN.sub(r"\\\1", " ".join(text.split()).replace("&", "&amp;"))
    return plain.replace("\\<", "&lt;").replace("\\>", "&gt;")


def latex_text(text: str) -> str:
    """A text in which nothing is a mark of LaTeX's; a hyphen before a number is a minus."""
    pieces = _MINUS.split(" ".join(text.split()))
    return "$-$".join("".join(_LATEX.get(c, c) for c in piece) for piece in pieces)


def shown_value(value: Any) -> str:
    """How a table for people shows a value: a whole number with commas, another with one place."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def _shown(table: TextTable, escaped: Callable[[str], str]) -> list[list[str]]:
    return [[escaped(shown_value(value)) for value in row] for row in table.rows]
