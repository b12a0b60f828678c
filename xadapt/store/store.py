"""Trained modules on disk, addressed by what determined them, written whole or not at all.

    ROOT/modules/<address>/     adapter_model.safetensors, or model.safetensors of a full copy
                                head.safetensors, adapter_config.json, manifest.json, README.md
    ROOT/work/<address>/        what a training run needs to resume; gone when it is done
    ROOT/locks/<address>.lock   held by the process that trains the module
    ROOT/cells/                 scores: see xadapt.store.score_cache
    ROOT/studies/, ROOT/names/  why modules are kept: see xadapt.store.records
    ROOT/reports/               what studies have concluded: see xadapt.store.reports
    ROOT/cache/                 encoded data: see xadapt.store.cache, and xadapt.store.listing; may be removed
                                at any time, and is where a module needs the room

How a module proves itself when it is loaded: see xadapt.store.integrity.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from xadapt.common.errors import UserError
from xadapt.common.files import TEMPORARY, NoRoomError, explained, json_text, read_json, sync, temporary
from xadapt.common.tensors import check_tensors, read_tensors, write_tensors
from xadapt.common.text_tables import TextTable, html_first
from xadapt.store.cache import Cache
from xadapt.store.integrity import (
    CONFIG,
    HEAD,
    MANIFEST,
    OWN_KEYS,
    SUMMARY,
    WEIGHTS,
    WeightsFile,
    address_of,
    copy_module,
    peek,
    prove,
    proven_manifest,
    sealed,
)
from xadapt.store.listing import listed
from xadapt.store.locks import Locks
from xadapt.store.records import ADDRESS, Records
from xadapt.store.reports import Reports
from xadapt.store.score_cache import ScoreCache
from xadapt.store.summary import ModuleInfo, describe, summary

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Check", "ModuleInfo", "Saved", "Store", "address_of"]

T = TypeVar("T")
_BEFORE_ANY = "left by a run that was stopped before its first checkpoint"
_ABANDONED = 3600.0  # seconds after which nobody can still be writing a temporary folder


@dataclass(frozen=True)
class Saved:
    """A module as it lies in the store.

    Attributes:
        manifest: what the caller of ``write`` gave, and what the store adds: schema, address,
            files (name -> sha256 and bytes), created, versions.
        weights, head: on the CPU, in the dtype they were given in.
        config: what stands in ``adapter_config.json``; None where the module has none.
    """

    address: str
    path: Path
    manifest: dict[str, Any]
    weights: dict[str, Tensor]
    head: dict[str, Tensor]
    config: dict[str, Any] | None = None


class Check(NamedTuple):
    """What ``verify`` found at one place; ``problem`` is None for a sound module."""

    address: str
    expression: str
    problem: str | None


class Store:
    """The folder of modules. Making the object touches no disk; reading needs no right to write."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._modules = self.root / "modules"
        self._scores = ScoreCache(self.root / "cells")
        self.locks = Locks(self.root / "locks")
        self.cache = Cache(self.root / "cache", self.locks.held)
        self.records = Records(self.root)
        self.reports = Reports(self.root)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r}, {len(_entries(self._modules)):,} modules)"

    def _repr_html_(self) -> str:
        """What a notebook shows: the newest modules."""
        columns = ("address", "expression", "method", "seed", "backbone", "data", "dev", "created")
        rows = tuple(tuple(getattr(info, name) for name in columns) for info in reversed(self.modules()))
        return html_first(TextTable(columns, rows))

    # -- modules ----------------------------------------------------------------------------

    def path(self, address: str) -> Path:
        """Where the module of ``address`` lies, if it does.

        Raises:
            UserError: that is no address, and could be a way out of the store.
        """
        return self._modules / _valid_address(address)

    def has(self, address: str) -> bool:
        """Whether the module is there; ``load`` says whether it is sound."""
        path = self.path(address) / MANIFEST
        with explained(path, "read"):
            return path.is_file()

    def write(
        self,
        address: str,
        *,
        weights: Mapping[str, Tensor],
        head: Mapping[str, Tensor],
        manifest: Mapping[str, Any],
        config: Mapping[str, Any] | None = None,
        weights_file: WeightsFile = "adapter_model.safetensors",
    ) -> Saved:
        """Put a module in its place, whole or not at all, and read it back.

        Where another process was first, its module stays and is returned, and this one is dropped.

        Args:
            address: ``address_of(manifest["determinants"])``.
            manifest: plain JSON; ``determinants`` must be in it.
            config: for ``adapter_config.json``; None for no such file.

        Raises:
            UserError: the disk refuses, or a weight is not finite; nothing half-written is left.
            ValueError, TypeError: a manifest or weights that no module can have.
        """
        place = self.path(address)
        if address != address_of(manifest["determinants"]):
            raise ValueError(f"{address} is not the address of these determinants")
        if taken := [key for key in OWN_KEYS if key in manifest]:
            raise ValueError(f"the store fills in these keys of a manifest itself: {', '.join(taken)}")
        if not weights or weights_file not in WEIGHTS:
            raise ValueError(f"a module has weights, in one of {WEIGHTS}")
        check_tensors(weights, place / weights_file)
        check_tensors(head, place / HEAD)

        def fill(part: Path) -> None:
            write_tensors(part / weights_file, weights)
            write_tensors(part / HEAD, head)
            if config is not None:
                (part / CONFIG).write_text(json_text(config, indent=2), encoding="utf-8")
            full = sealed(address, manifest, part)
            (part / SUMMARY).write_text(summary(full), encoding="utf-8")
            (part / MANIFEST).write_text(json_text(full, indent=2), encoding="utf-8")

        self._new(place, fill)
        return self.load(address)

    def take_in(self, folder: Path) -> Saved:
        """Put a copy of a module's folder, from another store or anywhere, in its place here.

        Raises:
            UserError: it is no sound module, before or after; the disk refuses.
        """
        address = str((peek(folder) or {}).get("address", folder.name))
        with explained(folder, "read"):
            prove(folder, _valid_address(address))

        def fill(part: Path) -> None:
            copy_module(folder, part)
            prove(part, address)

        self._new(self.path(address), fill)
        return self.load(address)

    def manifest(self, address: str) -> dict[str, Any]:
        """What stands in the manifest of ``address``, proven by its own hash; no other file is looked at.

        Raises:
            UserError: there is none, or it was altered.
        """
        path = self.path(address) / MANIFEST
        with explained(path, "read"):
            return proven_manifest(path, address)

    def load(self, address: str) -> Saved:
        """The module of ``address``, proven.

        Raises:
            UserError: it is missing, incomplete, altered, of another schema, or holds files that
                no module has; the file is named.
        """
        path = self.path(address)
        with explained(path, "read"):
            return read_module(path, self._prove(path))

    def remove(self, address: str) -> bool:
        """Take the module away, whole or not at all; False where there is none.

        Raises:
            UserError: the disk refuses.
        """
        place = self.path(address)
        if not os.path.lexists(place):
            return False
        with explained(place, "remove"):
            away = self._move_aside(place, f"{TEMPORARY}removed")
            if away.is_symlink():
                away.unlink()
            else:
                with suppress(FileNotFoundError):  # another process may be sweeping it away
                    shutil.rmtree(away)
        return True

    def lock(self, address: str, on_wait: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Hold the module for training. Of two processes the second waits for the first, and
        should then ask ``has`` again. Raises as ``Locks.hold``, and a UserError for what is no address.
        """
        return self.locks.hold(_valid_address(address), on_wait)

    # -- what a training run keeps, and scores -----------------------------------------------

    def work(self, address: str) -> Path:
        """The folder for the checkpoint of a module in training; made if it is not there.

        Raises:
            UserError: the disk refuses.
        """
        path = self.root / "work" / _valid_address(address)

        def make() -> None:
            with explained(path):
                path.mkdir(parents=True, exist_ok=True)

        self.making_room(make)
        return path

    def done(self, address: str) -> None:
        """Remove what ``work`` gave; harmless where there is nothing."""
        shutil.rmtree(self.root / "work" / _valid_address(address), ignore_errors=True)

    def read_scores(self, key: str) -> dict[str, Any] | None:
        """The scores kept under ``key``; None where there are none, or damaged ones."""
        return self._scores.read(key)

    def write_scores(self, key: str, cell: Mapping[str, Any]) -> None:
        """Keep scores under ``key``, whole or not at all; raises as ``ScoreCache.write``."""
        self.making_room(lambda: self._scores.write(key, cell))

    def all_scores(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every cell under its key; raises as ``ScoreCache.all``."""
        return self._scores.all()

    def making_room(self, write: Callable[[], T]) -> T:
        """What ``write`` gives; on a full disk the cache gives way, and ``write`` is tried once more."""
        try:
            return write()
        except NoRoomError:
            if not self.cache.give_way():
                raise
            return write()

    # -- what is there ----------------------------------------------------------------------

    def modules(self) -> list[ModuleInfo]:
        """What the store holds, oldest first. What has no manifest is left to ``verify``."""
        addresses = [name for name in _names(self._modules) if ADDRESS.fullmatch(name)]
        found = listed(self._modules, addresses, self.cache.root / "listing.json")
        return sorted(found, key=lambda info: (info.created, info.address))

    def addresses(self, beginning: str = "") -> list[str]:
        """Of the modules whose address begins so; no manifest is read."""
        found = [path for path in _entries(self._modules) if path.name.startswith(beginning)]
        return [p.name for p in found if ADDRESS.fullmatch(p.name) and (p / MANIFEST).is_file()]

    def verify(self) -> list[Check]:
        """Prove every module, and name what lies among them and is none."""
        found = []
        for path in _entries(self._modules):
            if path.name.startswith(TEMPORARY):
                continue
            manifest = peek(path)
            expression = describe(path, manifest).expression if manifest else ""
            problem = None
            try:
                with explained(path, "read"):
                    self._prove(path)
            except UserError as error:
                problem = str(error)
            found.append(Check(path.name, expression, problem))
        return found

    def leftovers(self, *, abandoned: bool = False) -> list[tuple[Path, str]]:
        """What stopped runs have left, and what it is; no fault, and nothing that is ever loaded.

        Args:
            abandoned: without the temporaries that someone may still be writing.
        """
        saving = [self._modules / n for n in _names(self._modules) if n.startswith(TEMPORARY)]
        saving = [path for path in saving if not abandoned or _age(path) > _ABANDONED]
        return [(path, "left by a run that was stopped while saving") for path in saving] + [
            (path, "a checkpoint to resume training from" if _entries(path) else _BEFORE_ANY)
            for path in _entries(self.root / "work")
        ]

    def discard(self, leftover: Path) -> None:
        """Remove what ``leftovers`` named; harmless where it is gone."""
        shutil.rmtree(leftover, ignore_errors=True)

    # -- how --------------------------------------------------------------------------------

    def _new(self, place: Path, fill: Callable[[Path], None]) -> None:
        """Have an empty folder filled, which then is at ``place``, whole; or, on an error, nowhere."""

        def write() -> None:
            with explained(place):
                self._sweep()
                part = temporary(self._modules, place.name)
                try:
                    fill(part)
                    for file in part.iterdir():
                        sync(file)
                    sync(part)
                    self._place(part, place)
                    sync(self._modules)
                finally:
                    shutil.rmtree(part, ignore_errors=True)

        self.making_room(write)

    def _prove(self, path: Path) -> dict[str, Any]:
        """The manifest of the module at ``path``, proven; UserError, OSError."""
        if path.is_symlink() or not ADDRESS.fullmatch(path.name):
            raise UserError(
                "not a module", expected="a folder named by its address", do="move it elsewhere", path=path
            )
        if not path.is_dir():
            raise UserError(
                f"the store has no module {path.name}",
                do="'xadapt modules' lists what it has; 'xadapt run' trains what is missing",
                path=self.root,
            )
        return prove(path, path.name)

    def _place(self, part: Path, place: Path) -> None:
        """Rename ``part`` to ``place``, unless a module is there already."""
        if os.path.lexists(place) and not (place / MANIFEST).is_file():
            self._move_aside(place, "incomplete")  # perhaps someone's copy: 'verify' will name it
        try:
            part.rename(place)
        except OSError:
            if not (place / MANIFEST).is_file():
                raise

    def _move_aside(self, place: Path, why: str) -> Path:
        """Rename what lies at ``place`` to where nobody looks for a module."""
        away = self._modules / f"{why}-{place.name}-{os.getpid()}-{time.time_ns()}"
        place.rename(away)
        return away

    def _sweep(self) -> None:
        """Remove what runs that were killed while saving have left, once it is old enough."""
        for path in _entries(self._modules):
            if path.name.startswith(TEMPORARY) and _age(path) > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def read_module(path: Path, manifest: dict[str, Any]) -> Saved:
    """What lies in a folder that was proven to be ``manifest``'s; raises as ``read_tensors``."""
    name = next(name for name in WEIGHTS if name in manifest["files"])
    config = read_json(path / CONFIG) if CONFIG in manifest["files"] else None
    return Saved(
        manifest["address"], path, manifest, read_tensors(path / name), read_tensors(path / HEAD), config
    )


def _age(path: Path) -> float:
    """Seconds since the last change; 0 for what its own process has just moved or removed."""
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _valid_address(address: str) -> str:
    """``address`` if it is one: anything else could be a way out of the store. Raises ``UserError``."""
    if not ADDRESS.fullmatch(address):
        raise UserError(
            f"{address!r} is not an address of the store",
            expected="20 hexadecimal digits",
            do="'xadapt modules' lists the addresses",
        )
    return address


def _entries(folder: Path) -> list[Path]:
    return [folder / name for name in _names(folder)]


def _names(folder: Path) -> list[str]:
    """What a folder holds, in order; names are much quicker to make and to sort than paths."""
    with explained(folder, "read"):
        try:
            return sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
