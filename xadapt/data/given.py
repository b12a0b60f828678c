"""What a user gives to be answered: a line an example, in columns or as JSON objects."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from xadapt.common.errors import UserError
from xadapt.data.json_fields import parsed
from xadapt.data.text import Line, opened, split

Form = Literal["tsv", "jsonl"]
STANDARD_INPUT = Path("-")


def form_of(path: Path) -> Form | None:
    """As the name of the file says; None where it says nothing, as that of standard input."""
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        return "jsonl"
    return "tsv" if path.suffix.lower() == ".tsv" else None


def given_rows(
    path: Path, form: Form | None, names: Sequence[str], words: Collection[str] = ()
) -> Iterator[Mapping[str, Any]]:
    """An example a line, by the names of its columns; one line in memory at a time.

    In columns they stand in the order of ``names``, all lines have as many as the first, and fields beyond
    the last name belong to it, as a list: the options of a choice. Objects have names of their own.

    Args:
        path: a file or a pipe; ``-`` is standard input.
        form: None for that of the first line: JSON where it is an object.
        words: what columns are called, by which a header is known.

    Raises:
        UserError: a line of another form, or a header, by file and line; nothing at all.
    """
    columns: int | None = None
    several = names[-1] == "options"
    for line in _lines(path):
        if form is None:
            form = "jsonl" if _is_object(line.text) else "tsv"
        if form == "jsonl":
            value = parsed(line.text, path, line.number, do="give one JSON object a line")
            if not isinstance(value, dict):
                raise UserError(
                    f"{type(value).__name__}", expected="a JSON object", path=path, line=line.number
                )
            yield value
            continue
        fields = line.text.split("\t")
        if columns is None:
            columns = len(fields)
            if _is_header(fields, words, several):
                raise UserError(
                    f"a header, {', '.join(fields)}: it would be answered as an example",
                    expected=f"examples from the first line on, with tabs between {', '.join(names)}",
                    do="remove the header; if it is an example, give it as JSON",
                    path=path,
                    line=line.number,
                )
        if len(fields) != columns and not several:
            raise UserError(
                f"{len(fields)} columns, and {columns} in the first line",
                expected=f"tabs between {', '.join(names)}",
                path=path,
                line=line.number,
            )
        if len(fields) > len(names) and not several:
            raise UserError(
                f"{len(fields)} columns",
                expected=f"at most {len(names)}: {', '.join(names)}",
                do="take out the others, or give .jsonl with their names",
                path=path,
                line=line.number,
            )
        row: dict[str, Any] = dict(zip(names, fields, strict=False))
        if several:
            row[names[-1]] = fields[len(names) - 1 :]
        yield row


def count(path: Path) -> int | None:
    """How many lines a file has, blank ones at its end left out; None for what can be read only once."""
    if path == STANDARD_INPUT or not path.is_file():
        return None
    return sum(1 for _ in _lines(path))


def _is_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _is_header(fields: Sequence[str], words: Collection[str], several: bool) -> bool:
    """Whether a line is names of columns; options are numbered, as ``choice1`` and ``choice2`` are."""
    found = [field.strip().lower() for field in fields]
    if several:
        found = [re.sub(r"^(?:option|choice|ending)_?[0-9]*$", "options", field) for field in found]
    return all(field in words for field in found)


def _lines(path: Path) -> Iterator[Line]:
    if path == STANDARD_INPUT:
        yield from split(sys.stdin.buffer, Path("standard input"))
    elif path.is_fifo():
        with path.open("rb") as file:
            yield from split(file, path)
    else:
        with opened(path) as file:
            yield from split(file, path)
