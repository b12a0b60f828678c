"""The folder of encoded items as the store sees it: what of it may go, and when.

    ROOT/cache/<address>/manifest.json      ``content.version``: which code can find the entry
    ROOT/cache/.tmp-<address>-...           being written, under the lock of the address

An entry's address has the version of the code in it, so other code never finds it. Removing an entry
costs time and nothing else: a run that has it mapped into memory reads on, and a run that looks for it
encodes again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xadapt.common.files import TEMPORARY, json_text, read_json, sync
from xadapt.common.identity import digest

MANIFEST = "manifest.json"
SCHEMA = 2
ROOM = 2**30  # bytes that entries leave free on the disk, for modules and checkpoints
UNUSED = 86_400.0  # seconds without use after which an entry of another version may go


def code_version() -> str:
    """A digest of the code and libraries that read and encode: a version that nobody can forget to raise."""
    package = Path(__file__).parents[1]
    code = hashlib.sha256()
    for folder in ("data", "kinds"):
        for path in sorted((package / folder).glob("*.py")):
            code.update(path.read_bytes())
    libraries = {name: version(name) for name in ("tokenizers", "transformers")}
    return digest({"schema": SCHEMA, "code": code.hexdigest(), "libraries": libraries})[:16]


class Cache:
    """The entries of one store. Making the object touches no disk.

    Args:
        locked: whether some process holds the lock of an address.
    """

    def __init__(self, root: Path, locked: Callable[[str], bool]) -> None:
        self.root, self._locked = root, locked

    def used(self, address: str) -> None:
        """Remember that an entry was used now; a store that can only be read remembers nothing."""
        with suppress(OSError):
            os.utime(self.root / address / MANIFEST)

    def check_room(self) -> None:
        """Raise the OSError of a full disk where less than ``ROOM`` is left for modules."""
        if shutil.disk_usage(self.root).free < ROOM:
            raise OSError(errno.ENOSPC, f"less than {ROOM >> 20:,} MB of the disk are free")

    def put(self, address: str, part: Path, content: Mapping[str, Any]) -> None:
        """Make a folder that is written whole the entry of ``address``; the caller holds its lock.

        Args:
            part: the folder, beside the place that it takes.
            content: what its manifest says of it, beside the version of the code.

        Raises:
            OSError: the disk refuses.
        """
        place, said = self.root / address, {"version": code_version(), **content}
        whole = {"content": said, "sha256": digest([address, said])}
        (part / MANIFEST).write_text(json_text(whole, indent=1), encoding="utf-8")
        for file in part.iterdir():
            sync(file)
        sync(part)
        if os.path.lexists(place):  # what a reader refused
            shutil.rmtree(place)
        part.rename(place)
        sync(self.root)

    def content(self, address: str) -> dict[str, Any] | None:
        """What the manifest of an entry says, proved; None where there is none, or not this one's."""
        manifest = read_json(self.root / address / MANIFEST)
        if manifest is None or manifest["sha256"] != digest([address, manifest["content"]]):
            return None
        found: dict[str, Any] = manifest["content"]
        return found

    def unreachable(self) -> list[Path]:
        """What no run will ever look for again, so that ``gc`` can remove it.

        That is what killed runs left half-written, and entries of another version of the code. Another
        version may be installed beside this one and share the store, and it is not slower for ``gc``:
        only what was used by nobody for a day goes, and nothing that a process holds the lock of.
        """
        current = code_version()
        old = [
            path for path in self._entries() if _version(path) != current and _age(path / MANIFEST) > UNUSED
        ]
        return self.abandoned() + old

    def abandoned(self) -> list[Path]:
        """What killed runs left half-written: nobody holds the lock that it is written under."""
        found = sorted(self.root.glob(f"{TEMPORARY}*"))
        return [path for path in found if not self._locked(path.name.removeprefix(TEMPORARY)[:20])]

    def give_way(self) -> bool:
        """Remove every entry that no process holds the lock of; False where there was none.

        A module is worth more: it may be hours of training, an entry is minutes of encoding. What a
        process has mapped into memory is freed when that process ends.
        """
        going = self.abandoned() + self._entries()
        for path in going:
            shutil.rmtree(path, ignore_errors=True)
        return bool(going)

    def _entries(self) -> list[Path]:
        found = sorted(self.root.glob("[0-9a-f]" * 20))
        return [path for path in found if not self._locked(path.name)]


def _version(entry: Path) -> str | None:
    with suppress(OSError, KeyError, TypeError):
        return str((read_json(entry / MANIFEST) or {})["content"]["version"])
    return None


def _age(path: Path) -> float:
    """Seconds since the last use; of an entry without a manifest more than any limit."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return time.time()
