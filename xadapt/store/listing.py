"""What manifests say in short, kept in one file, so that a store of very many modules is listed without
reading the manifest of each again.

    ROOT/cache/listing.json     may be removed at any time

It is only a shortcut, and nothing is proven by it: a line is believed while its manifest has the size, the
time of change and the inode that it had when it was read; a manifest that has others is read again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from xadapt.common.errors import UserError
from xadapt.common.files import read_json, write_json
from xadapt.store.integrity import MANIFEST, peek
from xadapt.store.summary import ModuleInfo, describe

# Raised when ``describe`` would say something else of the same manifest.
SCHEMA = 1
MANY = 500  # manifests that are read before it is worth a file
_FIELDS = tuple(field.name for field in fields(ModuleInfo) if field.name not in ("address", "path"))


def listed(folder: Path, addresses: Sequence[str], kept: Path) -> list[ModuleInfo]:
    """The lines of the modules in ``folder`` that have a manifest, in the order of ``addresses``.

    Args:
        kept: the file for what was read; written where many manifests had to be, if the disk lets us.
    """
    known, place = _known(kept), str(folder)
    found: list[ModuleInfo] = []
    lines: dict[str, Any] = {}
    read = 0
    for address in addresses:
        state = _state(f"{place}/{address}/{MANIFEST}")
        if state is None:
            continue
        path = folder / address
        line = known.get(address)
        if line is None or line[0] != state:
            read += 1
            manifest = peek(path)
            if manifest is None:
                continue
            info = describe(path, manifest)
            line = [state, [getattr(info, name) for name in _FIELDS]]
        else:
            info = ModuleInfo(address, path, *line[1])
        lines[address] = line
        found.append(info)
    if read >= MANY:
        with suppress(UserError, TypeError, ValueError):  # full, not ours to write, or a NaN in it
            write_json(kept, {"schema": SCHEMA, "fields": _FIELDS, "modules": lines})
    return found


def _known(kept: Path) -> Mapping[str, Any]:
    """Address -> state and values, as they were written; none where the file is missing, damaged or of
    another version."""
    with suppress(OSError):
        whole = read_json(kept) or {}
        lines = whole.get("modules")
        if whole.get("schema") == SCHEMA and whole.get("fields") == list(_FIELDS) and isinstance(lines, dict):
            return {address: line for address, line in lines.items() if _is_line(line)}
    return {}


def _is_line(line: Any) -> bool:
    pair = isinstance(line, list) and len(line) == 2
    return pair and isinstance(line[1], list) and len(line[1]) == len(_FIELDS)


def _state(manifest: str) -> list[int] | None:
    """What changes with a file; None where there is none to be read."""
    try:
        found = os.stat(manifest)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ino]
