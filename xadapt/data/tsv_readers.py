"""Texts and labels in columns between tabs, a row a line, read in one pass whatever their number.

The pass decodes, checks and counts; what stays is where each row lies. See ``xadapt.data.lazy``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xadapt.common.errors import UserError
from xadapt.data.lazy import FileRows, RowOffsets, list_if_few
from xadapt.data.reading import Reading, missing_label, placeholders, unknown_label
from xadapt.data.text import Line, streamed
from xadapt.tasks.examples import Classified
from xadapt.tasks.task import Task


@dataclass
class Columns:
    """From a line to its example; and what a pass over all lines finds out.

    Attributes:
        text, pair, label: the columns they stand in, from 0; None for none.
        names: a label in the file -> ours, where they differ.
        unwrap: texts with quotes were wrapped by ``csv.writer``.
        labelled: False leaves the labels out.
        blank, nul: rows with a text that has nothing in it, and rows with a NUL.
        seen: the labels of all lines.
    """

    text: int
    pair: int | None
    label: int | None
    names: Mapping[str, str] = field(default_factory=dict)
    unwrap: bool = False
    labelled: bool = True
    blank: int = 0
    nul: int = 0
    seen: set[str] = field(default_factory=set)
    places: RowOffsets = field(default_factory=RowOffsets)

    def __call__(self, number: int, line: str) -> Classified:
        columns = line.split("\t")
        text = columns[self.text]
        pair = None if self.pair is None else columns[self.pair]
        if self.unwrap:
            text, pair = _unwrapped(text), None if pair is None else _unwrapped(pair)
        label = self._label(columns) if self.labelled else None
        return Classified(str(number), text, pair, label)

    def _label(self, columns: Sequence[str]) -> str | None:
        if self.label is None:
            return None
        label = columns[self.label]
        return self.names.get(label, label)

    def take(self, line: Line, columns: Sequence[str], path: Path, task: Task) -> None:
        """Check a row and remember where it lies. Raises ``UserError`` for an unknown label."""
        label = self._label(columns)
        if label is not None and label not in self.seen:
            if label not in task.labels:
                raise unknown_label(path, line.number, label, task.labels)
            self.seen.add(label)
        pair = None if self.pair is None else columns[self.pair]
        self.blank += not columns[self.text].strip() or (pair is not None and not pair.strip())
        self.nul += "\0" in columns[self.text] or (pair is not None and "\0" in pair)
        self.places.add(line.start, line.size)

    def reading(self, path: Path, split: str, notes: Mapping[str, int]) -> Reading:
        """The examples; without their labels where those of a test file are placeholders."""
        self.labelled = self.label is not None and not placeholders(len(self.places), self.seen, split)
        found = {"blank": self.blank, "NUL": self.nul, **notes}
        rows = FileRows(path, self.places, Classified, self)
        return Reading(list_if_few(rows), self.labelled, {name: n for name, n in found.items() if n})


def pairs(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """XTREME's pairs: text, pair and label between tabs, no header; no label in its test files.

    Quotes are literal, except in a file that ``csv.writer`` wrote, as XTREME's own
    script does: there every text with a quote in it is wrapped, and is unwrapped here.

    Raises:
        UserError: another number of columns, an unknown label, labels missing in train or dev.
    """
    path = paths[0]
    rows = Columns(0, 1, 2)
    width = 3
    quoted = wrapped = 0
    for line in streamed(path):
        columns = line.text.split("\t")
        if line.number == 1 and len(columns) == 2:
            if split != "test":
                one_text = "for one text and its label a row, name the reader `table`; else "
                raise missing_label(split, "2 columns, no label", path, 1, do=one_text)
            width, rows.label = 2, None
        if len(columns) != width:
            raise ragged(path, line.number, len(columns), ("text", "pair", "label")[:width])
        if '"' in line.text:
            held = [text for text in columns[:2] if '"' in text]
            quoted += len(held)
            wrapped += sum(map(_wrapped, held))
        rows.take(line, columns, path, task)
    rows.unwrap = 0 < quoted == wrapped
    return rows.reading(path, split, {"unwrapped": quoted if rows.unwrap else 0})


def table(
    paths: Sequence[Path],
    task: Task,
    split: str,
    columns: Mapping[str, str],
    ragged: int = 0,
    labels: Mapping[str, str] | None = None,
) -> Reading:
    """A file with a header between tabs (GLUE); ``columns``: our field -> its column.

    ``ragged`` rows may be torn and are dropped, counted as ``dropped``. ``labels``: its label -> ours,
    where they differ.

    Raises:
        UserError: a column is missing, more rows are torn, an unknown label.
    """
    path = paths[0]
    lines = streamed(path)
    header = next(lines).text.split("\t")
    needed = {ours: theirs for ours, theirs in columns.items() if split != "test" or ours != "label"}
    if lost := [theirs for theirs in needed.values() if theirs not in header]:
        raise UserError(
            f"no column {', '.join(lost)}; the header has {', '.join(header)}",
            expected=", ".join(columns.values()),
            do="is this the official file? Its first line is the header",
            path=path,
            line=1,
        )
    at = {ours: header.index(theirs) for ours, theirs in columns.items() if theirs in header}
    rows = Columns(at["text"], at.get("pair"), at.get("label"), labels or {})
    torn: list[tuple[int, int]] = []  # line, columns
    for line in lines:
        values = line.text.split("\t")
        if len(values) == len(header):
            rows.take(line, values, path, task)
            continue
        torn.append((line.number, len(values)))
        if len(torn) > ragged:
            raise _ragged(path, *torn[0], header)
    if not rows.places:
        raise UserError("a header and no rows", expected="rows", do="download it again", path=path)
    return rows.reading(path, split, {"dropped": len(torn)})


def _wrapped(text: str) -> bool:
    inner = text[1:-1]
    return text[0] == '"' == text[-1] and '""' in inner and '"' not in inner.replace('""', "")


def _unwrapped(text: str) -> str:
    """For files all of whose texts with a quote are wrapped."""
    return text[1:-1].replace('""', '"') if '"' in text else text


def ragged(path: Path, line: int, got: int, names: Sequence[str]) -> UserError:
    """The error for a row with another number of columns."""
    return UserError(
        f"{got} column{'s' if got != 1 else ''}",
        expected=f"{len(names)} between tabs: {', '.join(names)}",
        do="a text that contains a tab or a line break tears its row apart; download the file again",
        path=path,
        line=line,
    )


_ragged = ragged  # ``table`` has an argument of this name
