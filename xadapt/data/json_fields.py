"""JSON as the readers take it: parsed, its fields checked, every error with file and line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from xadapt.common.errors import UserError
from xadapt.data.text import streamed

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # an escape that is a character only in pairs


def field(
    holder: Any, key: str, kind: type | tuple[type, ...], where: str, path: Path, *, line: int | None = None
) -> Any:
    """The value of an object's field, of the class ``kind`` or one of several.

    Args:
        where: how errors call the object.

    Raises:
        UserError: no object, no such field, or a value of another class.
    """
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
    """The error for a value of another type than expected."""
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
    for line in streamed(path):
        if line.text.strip():
            yield line.number, parsed(line.text, path, line.number)


def parsed(
    text: str,
    path: Path,
    line: int,
    *,
    do: str = "download the file again; an interrupted download breaks off in the middle",
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """The value of a JSON text that begins in ``line`` of a file.

    Args:
        do: what is asked of the user where it is broken.
        pairs: makes an object of its names and values; None for a dict.

    Raises:
        UserError: broken JSON, nested deeper than Python reads, a number of thousands of digits, or half a
            surrogate pair, which is no character.
    """
    try:
        value = json.loads(text, object_pairs_hook=pairs)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except json.JSONDecodeError as error:
        what, at = f"broken JSON: {error.msg} at column {error.colno}", line + error.lineno - 1
    except RecursionError:
        what, at = "broken JSON: nested too deeply to be read", line
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        what, at = f"broken JSON: the escape \\u{half:04x} is half a character", line
    except ValueError:
        what, at = "broken JSON: a number of thousands of digits", line
    raise UserError(what, do=do, path=path, line=at)
