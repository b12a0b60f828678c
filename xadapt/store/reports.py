"""What studies have concluded, by name: ROOT/reports/<name>.json, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xadapt.common.errors import UserError
from xadapt.common.files import TEMPORARY, explained, read_json, write_json
from xadapt.common.identity import digest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Reports:
    """The recorded studies of one store. Making the object touches no disk."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "reports"

    def write(self, name: str, study: Mapping[str, Any]) -> None:
        """Keep what a study concluded; what had its name before is replaced.

        Raises:
            UserError: that is no name, or the disk refuses.
            TypeError, ValueError: it is not plain JSON, or has a NaN.
        """
        check_report_name(name)
        write_json(self._folder / f"{name}.json", {"study": study, "sha256": digest(study)})

    def read(self, name: str) -> dict[str, Any]:
        """What was kept under ``name``.

        Raises:
            UserError: nothing was, or the file is damaged.
        """
        check_report_name(name)
        path = self._folder / f"{name}.json"
        with explained(path, "read"):
            kept = read_json(path) or {}
        study = kept.get("study")
        if not isinstance(study, dict) or kept.get("sha256") != digest(study):
            raise UserError(
                "this record of a study is damaged",
                expected="what a recipe wrote",
                do="run the recipe again: what is in the store is reused",
                path=path,
            )
        return study

    def names(self) -> list[str]:
        """Of all that are kept, in the order of the alphabet. Raises ``UserError`` where the disk refuses."""
        with explained(self._folder, "read"):
            try:
                found = [path for path in self._folder.iterdir() if path.suffix == ".json"]
            except FileNotFoundError:
                return []
        return sorted(path.stem for path in found if not path.name.startswith(TEMPORARY))


def check_report_name(name: str) -> None:
    """Refuse what cannot be a file's name everywhere: a UserError."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be the name of a study",
            expected="letters, digits, - _ and ., a letter or digit first; at most 100",
            do="take another",
        )
