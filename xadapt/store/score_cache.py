"""Scores that were computed once: one small file a cell, found by what determines it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xadapt.common.files import explained, read_json, write_json
from xadapt.common.identity import digest

_KEY = re.compile(r"[0-9a-f]{16,64}")


class ScoreCache:
    """A folder of cells, spread over 256 folders by the first two digits of their keys."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, key: str) -> dict[str, Any] | None:
        """The cell of ``key``; None where there is none, or where its file is damaged: a score
        costs seconds to compute again, and the damaged file is replaced then.

        Raises:
            UserError: the file is there and the disk refuses to read it.
        """
        path = self._path(key)
        with explained(path, "read"):
            try:
                found = read_json(path)
            except (FileNotFoundError, NotADirectoryError):
                return None
        if found is None or not isinstance(cell := found.get("cell"), dict):
            return None
        try:
            sound = found.get("sha256") == digest([key, cell])
        except (TypeError, ValueError, RecursionError):  # nothing that 'write' has made
            return None
        return cell if sound else None

    def all(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every whole cell under its key, in the order of the keys.

        Raises:
            UserError: the disk refuses to read one.
        """
        with explained(self.root, "read"):
            keys = sorted(path.stem for path in self.root.glob("??/*.json") if _KEY.fullmatch(path.stem))
        for key in keys:
            if (cell := self.read(key)) is not None:
                yield key, cell

    def write(self, key: str, cell: Mapping[str, Any]) -> None:
        """Keep ``cell`` under ``key``, whole or not at all.

        Raises:
            UserError: the disk refuses.
            TypeError, ValueError: ``cell`` is not plain JSON, or has a NaN.
        """
        write_json(self._path(key), {"cell": cell, "sha256": digest([key, cell])})

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"a cell's key is 16 to 64 hexadecimal digits, got {key!r}")
        return self.root / key[:2] / f"{key}.json"
