"""A task's row as the TOML that a user's own file has: something to start from."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from xadapt.data.readers import KIND_READ, READERS, options_of
from xadapt.tasks.task import File, Hub, Task

# What no user's file has: it is about our own catalogue.
_OURS = frozenset({"size", "no_hub", "translated", "parts"})


def as_toml(task: Task) -> str:
    """The row, without what is as by default; ``read_tasks`` reads it back, given a name that is free.

    Paths are as in XTREME's download folder; in a file of one's own they are relative to that file.
    """
    lines = ["[[task]]"]
    for name, value in _set(task, _OURS | {"files", "hub"}).items():
        lines.append(f"{name} = {_value(value)}")
    for split, found in task.files.items():
        entries = ", ".join(_inline(_set(file)) for file in found)
        lines.append(f"files.{split} = [{entries}]")
    if task.hub is not None:
        lines += [f"hub.{name} = {_value(value)}" for name, value in _set(task.hub).items()]
    return "\n".join(lines) + "\n"


def reader_lines() -> list[tuple[str, str, str, str]]:
    """Of each reader: its name, the kind that it reads for, its options with defaults, what it reads."""
    found = []
    for name, reader in READERS.items():
        options = [p.name if p.default is p.empty else f"{p.name} = {p.default!r}" for p in options_of(name)]
        about = " ".join((inspect.getdoc(reader) or "").split("\n\n")[0].split())
        about = about.removesuffix("Raises ``UserError``.").rstrip().replace("``", "'")  # it is for people
        found.append((name, str(KIND_READ[name]), ", ".join(options), about))
    return found


def as_table(task: Task) -> dict[str, Any]:
    """The row as the table that a user's file would have for it."""
    row = {name: value for name, value in _set(task).items() if value != ""}
    files = {split: [_set(file) for file in found] for split, found in task.files.items()}
    row |= {"files": files} if files else {}
    row |= {"hub": _set(task.hub)} if task.hub else {}
    listed: dict[str, Any] = _lists(row)
    return listed


def _lists(value: Any) -> Any:
    """What is fixed in rows as it is read from files: lists and plain tables."""
    if isinstance(value, Mapping):
        return {key: _lists(one) for key, one in value.items()}
    return [_lists(one) for one in value] if isinstance(value, tuple | list) else value


def _set(row: Task | File | Hub, but: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    """Attributes that differ from their defaults."""
    found = {}
    for one in fields(row):
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        value = getattr(row, one.name)
        if one.name not in but and value is not None and (default is MISSING or value != default):
            found[one.name] = value
    return found


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return _inline(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's basic strings have JSON's escapes
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)


def _inline(table: Mapping[str, Any]) -> str:
    shown = (f"{_key(name)} = {_value(value)}" for name, value in table.items())
    return f"{{ {', '.join(shown)} }}"


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("-", "_").isidentifier()
    return name if plain else json.dumps(name, ensure_ascii=False)
