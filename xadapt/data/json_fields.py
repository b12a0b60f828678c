"""JSON as the readers take it: parsed, its fields checked, every error with file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xadapt.data.reading import BOM, decoded, empty
from xadapt.errors import UserError


def field(
    holder: Any, key: str, kind: type | tuple[type, ...], where: str, path: Path, *, line: int | None = None
) -> Any:
    if not isinstance(holder, dict):
        raise wrong(holder, "an object", where, path, line)
    if key not in holder:
        raise UserError(
            f"{where} has no {key!r}, only {', '.join(map(repr, holder)) or 'nothing'}",
            expected=f"a field {key!r}",
            do="is this the file of another task?",
            path=path,
            line=line,
        )
    if not isinstance(holder[key], kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(one.__name__ for one in kinds)
        raise wrong(holder[key], names, f"{where}.{key}", path, line)
    return holder[key]


def wrong(value: object, expected: str, where: str, path: Path, line: int | None = None) -> UserError:
    return UserError(
        f"{where} is of type {type(value).__name__}",
        expected=expected,
        do="is this the file of another task?",
        path=path,
        line=line,
    )


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The number and the value of each line that is not blank; one line in memory at a time.

    Raises:
        UserError: broken JSON, not UTF-8, or nothing at all.
    """
    found = False
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = decoded(raw.removeprefix(BOM) if number == 1 else raw, path, number)
            if line.strip():
                found = True
                yield number, parsed(line.rstrip("\r\n"), path, number)
    if not found:
        raise empty(path)


def parsed(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"broken JSON: {error.msg} at column {error.colno}",
            do="download the file again; an interrupted download breaks off in the middle",
            path=path,
            line=line + error.lineno - 1,
        ) from None
