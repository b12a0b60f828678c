"""Why modules are kept: a record for every study that was run, and names for modules from elsewhere.

    ROOT/studies/<key>.json     expressions and module addresses of a run, or of a copy from another store
    ROOT/names/<name>.json      an address under a name of the user's

What neither leads to, directly or through what a module stands on, ``gc`` may remove. A record is
written before its run looks for the first module, under the same lock as ``gc`` works under, so a
module is either seen as kept or gone before anyone counts on it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xadapt.common.errors import UserError
from xadapt.common.files import TEMPORARY, explained, read_json, write_json
from xadapt.common.identity import digest
from xadapt.store.locks import Locks

ADDRESS = re.compile(r"[0-9a-f]{20}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Record:
    """Why modules are kept: a study that was run, or a copy from another store.

    Attributes:
        key: 16 hexadecimal digits, a hash of the rest; the same study has one record.
        why: it was run here, or its modules were copied here.
        expressions: as the user wrote them.
        modules: addresses; what they stand on is kept as well.
        facts: backbone, data and seeds of a run; for people.
    """

    key: str
    why: Literal["run", "copy"]
    expressions: tuple[str, ...]
    modules: tuple[str, ...]
    facts: Mapping[str, Any]
    created: str


class Records:
    """The records and names of one store. Making the object touches no disk."""

    def __init__(self, root: Path) -> None:
        self._studies = root / "studies"
        self._names = root / "names"
        self._locks = Locks(root / "locks")

    def held(self) -> AbstractContextManager[None]:
        """Nobody else records, names or sweeps within the block. Not to be nested.

        Raises:
            UserError: the disk refuses.
        """
        return self._locks.hold("studies")

    # -- records ----------------------------------------------------------------------------

    def keep(
        self,
        why: Literal["run", "copy"],
        expressions: Sequence[str],
        modules: Sequence[str],
        facts: Mapping[str, Any] | None = None,
        *,
        held: bool = False,
    ) -> str:
        """Record a study before its modules are looked for; again is harmless. Returns its key.

        Args:
            held: the caller is within ``held``.

        Raises:
            UserError: the disk refuses.
        """
        study = {
            "why": why,
            "expressions": list(expressions),
            "modules": sorted(set(modules)),
            "facts": dict(facts or {}),
        }
        key = digest(study)[:16]
        path = self._studies / f"{key}.json"
        with explained(path):
            there = path.exists()
        if not there:
            created = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
            with nullcontext() if held else self.held():
                write_json(path, {"study": study, "created": created})
        return key

    def all(self) -> list[Record]:
        """Every record, oldest first.

        Raises:
            UserError: a record is damaged: what it keeps cannot be known. The file is named.
        """
        found = [self._read(path) for path in _files(self._studies)]
        return sorted(found, key=lambda study: (study.created, study.key))

    def forget(self, key: str) -> bool:
        """Drop a record: ``gc`` may then take what only it kept. False where there is none.

        Raises:
            UserError: that is no key, or the disk refuses.
        """
        if not _KEY.fullmatch(key):
            raise UserError(
                f"{key!r} is not the key of a study",
                expected="16 hexadecimal digits",
                do="'xadapt modules studies' lists them",
            )
        path = self._studies / f"{key}.json"
        with self.held(), explained(path, "remove"):
            there = path.exists()
            path.unlink(missing_ok=True)
        return there

    def _read(self, path: Path) -> Record:
        with explained(path, "read"):
            content = read_json(path) or {}
        study = content.get("study")
        if (
            not isinstance(study, dict)
            or digest(study)[:16] != path.stem
            or not {"why", "expressions", "modules", "facts"} <= study.keys()
        ):
            raise UserError(
                "this record of a study is damaged, so what it keeps cannot be known",
                expected="what 'xadapt run' wrote",
                do="delete the file and run the study again: what is in the store is reused",
                path=path,
            )
        return Record(
            key=path.stem,
            why=study["why"],
            expressions=tuple(study["expressions"]),
            modules=tuple(study["modules"]),
            facts=study["facts"],
            created=str(content.get("created", "")),
        )

    # -- names ------------------------------------------------------------------------------

    def name(self, name: str, address: str) -> None:
        """Give a module a name, which can stand in an expression.

        Raises:
            UserError: a word of the grammar, no name at all, or another module's; the disk refuses.
        """
        check_name(name)
        if not ADDRESS.fullmatch(address):
            raise ValueError(f"{address!r} is not an address")
        with self.held():
            if (taken := self.names().get(name, address)) != address:
                raise UserError(
                    f"the name {name!r} belongs to module {taken}",
                    expected="a name that is free",
                    do=f"take another --name, or 'xadapt modules rm {name}' first",
                )
            write_json(self._names / f"{name}.json", {"address": address})

    def names(self) -> dict[str, str]:
        """Name -> address.

        Raises:
            UserError: a file of names is damaged.
        """
        found = {}
        for path in _files(self._names):
            with explained(path, "read"):
                address = (read_json(path) or {}).get("address")
            if not isinstance(address, str) or not ADDRESS.fullmatch(address):
                raise UserError(
                    "this name of a module is damaged",
                    do="delete the file and import the module again under the name",
                    path=path,
                )
            found[path.stem] = address
        return found

    def unname(self, address: str) -> bool:
        """Drop every name of a module; False where it had none. Only within ``held``."""
        names = [name for name, named in self.names().items() if named == address]
        for name in names:
            path = self._names / f"{name}.json"
            with explained(path, "remove"):
                path.unlink(missing_ok=True)
        return bool(names)


def check_name(name: str) -> None:
    """Refuse what cannot be a file's name everywhere, or could be taken for an address: a UserError."""
    if not _NAME.fullmatch(name) or ADDRESS.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be the name of a module",
            expected="letters, digits and _, not a digit first; at most 60, and no address",
            do="take another --name",
        )


def _files(folder: Path) -> list[Path]:
    with explained(folder, "read"):
        try:
            return sorted(p for p in folder.glob("*.json") if not p.name.startswith(TEMPORARY))
        except (FileNotFoundError, NotADirectoryError):
            return []
