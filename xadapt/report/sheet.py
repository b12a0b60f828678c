"""A table that fits the width that it is printed in, whatever it holds.

Where there is too little room, in this order: the heads of numbers are wrapped between words; then names are,
down to their longest word; then numbers are; then columns that may go are left out, and said below; then the
others go on in a further table, with the first column repeated; and only where a word is wider than what is
left, is it broken.
Where lines cannot be drawn, or are not wanted (``--plain``), columns stand side by side without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.table import Table
from rich.text import Text

DIGITS = 8  # of a module's address: as many as commands need to know it by
Cell = str | Text

WORD = 18  # signs of a word that are kept together in a column of names; longer ones are broken


@dataclass(frozen=True)
class Column:
    """How a column of a ``Sheet`` is set.

    Attributes:
        right: of numbers, which are set to the right and keep their width longer than names do.
        drop: 1 is left out first where there is no room, then 2, and so on; 0 stays. With nothing in it, a
            column that may go is not there at all.
        whole: never broken, as what is copied from it must not be.
    """

    name: str
    right: bool = False
    drop: int = 0
    whole: bool = False


@dataclass(frozen=True)
class _Row:
    cells: tuple[Text, ...]
    style: str | None
    section: bool


class Sheet:
    """Columns, then rows of as many cells: texts as they are, or rich's where they have a style."""

    def __init__(self, *columns: str | Column, title: str = "", caption: str = "") -> None:
        self.columns = [Column(one) if isinstance(one, str) else one for one in columns]
        self.title, self.caption = title, caption
        self._rows: list[_Row] = []
        self._section = False

    def add(self, *cells: Cell, style: str | None = None) -> None:
        """One row. Raises ``ValueError`` where it has not a cell a column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells in a table of {len(self.columns)} columns")
        texts = tuple(Text(one) if isinstance(one, str) else one for one in cells)
        self._rows.append(_Row(texts, style, self._section))
        self._section = False

    def column(self, name: str) -> list[str]:
        """The texts of a column. Raises ``StopIteration`` where there is none of that name."""
        at = next(i for i, column in enumerate(self.columns) if column.name == name)
        return [row.cells[at].plain for row in self._rows]

    def section(self) -> None:
        """A line before the next row."""
        self._section = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = not options.ascii_only
        if self.title:
            yield Text(self.title, style="bold")
        pages, lost = self._pages(options.max_width, lines)
        for columns, widths in pages:
            yield self._table(columns, widths, lines)
        if self.caption:
            yield Text(self.caption, style="dim")
        if lost:
            yield Text(f"no room here for: {', '.join(self.columns[i].name for i in lost)}", style="dim")

    # -- what fits --------------------------------------------------------------------------------

    def _pages(self, width: int, lines: bool) -> tuple[list[tuple[list[int], list[int]]], list[int]]:
        """Of each table its columns and their widths; and the columns that are left out."""
        kept, lost = list(range(len(self.columns))), list[int]()
        kept = [i for i in kept if not self.columns[i].drop or any(row.cells[i].plain for row in self._rows)]
        full, least = zip(*map(self._widths, range(len(self.columns))), strict=True)
        going = sorted((i for i in kept if self.columns[i].drop), key=lambda i: self.columns[i].drop)
        while going and sum(least[i] for i in kept) > _room(kept, width, lines):
            lost.append(going.pop(0))
            kept.remove(lost[-1])
        pages = []
        for columns in _parted(kept, least, width, lines):
            widths = self._shared(columns, full, least, _room(columns, width, lines))
            pages.append((columns, widths))
        return pages, sorted(lost)

    def _widths(self, i: int) -> tuple[int, int]:
        """Of a column: what it would have, and the least that breaks no word."""
        column = self.columns[i]
        cells = [Text(column.name), *(row.cells[i] for row in self._rows)]
        full = max((line.cell_len for cell in cells for line in cell.split("\n")), default=0)
        words = (Text(word).cell_len for cell in cells for word in cell.plain.split())
        least = full if column.whole else max(words, default=0)
        return full, least if column.right or column.whole else min(least, WORD)

    def _body(self, i: int) -> int:
        """The width of a column without its name."""
        return max((line.cell_len for row in self._rows for line in row.cells[i].split("\n")), default=0)

    def _shared(self, columns: list[int], full: Sequence[int], least: Sequence[int], room: int) -> list[int]:
        """The widths that ``room`` is shared out in: names give way first, the widest before others."""
        widths = {i: full[i] for i in columns}
        names = [i for i in columns if not self.columns[i].right]
        numbers = [i for i in columns if self.columns[i].right]
        heads = [max(least[i], self._body(i)) for i in range(len(full))]
        ways = ((numbers, heads), (names, least), (numbers, least), (names, [1] * len(full)))
        for group, floor in ways:
            while sum(widths.values()) > room and (able := [i for i in group if widths[i] > floor[i]]):
                widths[max(able, key=lambda i: widths[i])] -= 1
        return [widths[i] for i in columns]

    def _table(self, columns: list[int], widths: list[int], lines: bool) -> Table:
        style = box.HEAVY_HEAD if lines else None
        table = Table(box=style, pad_edge=lines, padding=(0, 1) if lines else (0, 2, 0, 0))
        for i, width in zip(columns, widths, strict=True):
            side: JustifyMethod = "right" if self.columns[i].right else "left"
            table.add_column(Text(self.columns[i].name), justify=side, width=width, overflow="fold")
        for row in self._rows:
            if row.section:
                table.add_section()
            table.add_row(*(row.cells[i] for i in columns), style=row.style)
        return table


def _room(columns: Sequence[int], width: int, lines: bool) -> int:
    """What cells may take of ``width``: the rest is lines and gaps."""
    return width - (3 * len(columns) + 1 if lines else 2 * (len(columns) - 1))


def _parted(columns: list[int], least: Sequence[int], width: int, lines: bool) -> Iterator[list[int]]:
    """The columns of each table: as many as fit, at least one beside the first, which all have."""
    part = columns[:1]
    for i in columns[1:]:
        longer = [*part, i]
        if len(part) > 1 and sum(least[j] for j in longer) > _room(longer, width, lines):
            yield part
            longer = [columns[0], i]
        part = longer
    yield part
