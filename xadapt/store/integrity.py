"""A module's folder proves itself: its files by their hashes, its manifest by its own, its
address by what the manifest says determined it.

``README.md`` is for people, who may edit it, and is not part of the proof.
"""

from __future__ import annotations

import datetime
import errno
import importlib.metadata
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from xadapt.common.errors import UserError
from xadapt.common.files import file_digest, read_json
from xadapt.common.identity import digest

SCHEMA: Final = 1
WeightsFile = Literal["adapter_model.safetensors", "model.safetensors"]
WEIGHTS: Final[tuple[WeightsFile, ...]] = ("adapter_model.safetensors", "model.safetensors")
HEAD, CONFIG, MANIFEST, SUMMARY = "head.safetensors", "adapter_config.json", "manifest.json", "README.md"
OWN_KEYS: Final = ("schema", "address", "files", "created", "versions", "sha256")

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_PACKAGES = ("xadapt", "torch", "transformers", "peft", "adapters", "safetensors")
_AGAIN = "delete the module's folder and run again: it will be trained anew"


def address_of(determinants: Mapping[str, Any]) -> str:
    """The address of what is determined by ``determinants``: 20 hexadecimal digits.

    Raises:
        TypeError, ValueError: they are not plain JSON, or have a NaN.
    """
    return digest(determinants)[:20]


def sealed(address: str, manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """``manifest`` with the files of ``folder``, their sizes and hashes, time, versions and its own hash.

    Raises:
        TypeError, ValueError: ``manifest`` is not plain JSON, or has a NaN.
    """
    files = {
        file.name: {"sha256": file_digest(file), "bytes": file.stat().st_size}
        for file in sorted(folder.iterdir())
    }
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    full = {"schema": SCHEMA, "address": address, **manifest}
    full |= {"files": files, "created": created, "versions": versions()}
    return full | {"sha256": digest(full)}


def versions() -> dict[str, str]:
    """Of this package and of those that decide a module's weights: name -> installed version."""
    return {name: version for name in _PACKAGES if (version := _version(name))}


def peek(folder: Path) -> dict[str, Any] | None:
    """The manifest in ``folder`` if it has the outer shape of one; nothing is proven."""
    try:
        manifest = read_json(folder / MANIFEST)
    except OSError:
        return None
    if not manifest or not isinstance(manifest.get("files"), dict):
        return None
    return manifest if isinstance(manifest.get("determinants"), dict) else None


def prove(folder: Path, address: str, *, beside: Collection[str] = ()) -> dict[str, Any]:
    """The manifest of a module of which every file is as it was written.

    Args:
        beside: names that may lie in the folder too, and are not looked at.

    Raises:
        UserError: something is missing, altered, strange or of another schema; it is named.
        OSError: the disk refuses.
    """
    names = sorted(entry.name for entry in folder.iterdir() if entry.name not in beside)
    for name in names:
        _refuse_strange(folder / name)
    if MANIFEST not in names:
        raise UserError("an incomplete module", expected=f"a file {MANIFEST}", do=_AGAIN, path=folder)
    manifest = proven_manifest(folder / MANIFEST, address)
    listed = set(manifest["files"])
    if missing := sorted(listed - set(names)):
        raise UserError(f"{', '.join(missing)} is missing", expected="all files", do=_AGAIN, path=folder)
    if extra := sorted(set(names) - listed - {MANIFEST, SUMMARY}):
        raise UserError(
            f"files that are not the module's: {', '.join(extra)}",
            expected=f"{', '.join(sorted(listed))}, {MANIFEST}, {SUMMARY} and nothing else",
            do="move them out of the folder",
            path=folder,
        )
    for name, entry in manifest["files"].items():
        _prove_file(folder / name, entry)
    return manifest


def copy_module(folder: Path, place: Path) -> None:
    """Copy the files of a proven module into the empty folder ``place``, and nothing else; OSError."""
    manifest = peek(folder)
    if manifest is None:  # removed since it was proven
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for name in (*manifest["files"], SUMMARY, MANIFEST):
        if (folder / name).exists() or name != SUMMARY:
            shutil.copyfile(folder / name, place / name)


def _prove_file(file: Path, listed: Mapping[str, Any]) -> None:
    """Refuse a file that has not the size and hash that the manifest lists: a UserError."""
    if (size := file.stat().st_size) != listed["bytes"]:
        raise UserError(
            f"{size} bytes: the file is truncated or altered",
            expected=f"{listed['bytes']} bytes",
            do=_AGAIN,
            path=file,
        )
    if (found := file_digest(file)) != listed["sha256"]:
        raise UserError(
            f"the file was altered: its sha256 is {found[:16]}...",
            expected=f"{listed['sha256'][:16]}...",
            do=_AGAIN,
            path=file,
        )


def _refuse_strange(file: Path) -> None:
    """Raise a UserError for what must not lie in a module's folder, whatever a manifest says."""
    if file.is_symlink():
        got = "a link, which may lead out of the store"
        raise UserError(got, expected="a plain file", do=_AGAIN, path=file)
    if file.suffix.lower() in _PICKLES:
        raise UserError(
            "reading this file would unpickle it, which can run any code: refused",
            expected="weights as .safetensors",
            do=_AGAIN,
            path=file,
        )
    if not file.is_file():
        raise UserError("not a plain file", expected="the files of a module only", do=_AGAIN, path=file)


def proven_manifest(path: Path, address: str) -> dict[str, Any]:
    """The manifest if it is whole, of this schema, and of this address; else a UserError."""
    manifest = read_json(path)
    if manifest is None:
        raise UserError("not JSON: the manifest is truncated or altered", do=_AGAIN, path=path)
    if manifest.get("schema") != SCHEMA:
        raise UserError(
            f"schema version {manifest.get('schema')!r}",
            expected=f"{SCHEMA}, which this version of xadapt writes",
            do="use the version of xadapt that wrote it, or give another --store",
            path=path,
        )
    files = manifest.get("files")
    names = set(files) if isinstance(files, dict) else set()
    if escaping := sorted(name for name in names if Path(name).name != name or name == ".."):
        raise UserError(f"{escaping[0]!r} leads out of the module's folder", do=_AGAIN, path=path)
    if files is None or len(names & set(WEIGHTS)) != 1 or not {HEAD} <= names <= {*WEIGHTS, HEAD, CONFIG}:
        raise UserError(
            f"the manifest lists the files {', '.join(sorted(names)) or 'none'}",
            expected=f"one of {' and '.join(WEIGHTS)}, {HEAD}, and perhaps {CONFIG}",
            do=_AGAIN,
            path=path,
        )
    if not all(isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() for entry in files.values()):
        raise UserError("the manifest lists files without size or hash", do=_AGAIN, path=path)
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    try:
        unaltered = manifest.get("sha256") == digest(body)
        belongs_to = address_of(manifest["determinants"])
    except (TypeError, ValueError, KeyError, RecursionError):  # nothing that 'sealed' has made
        unaltered, belongs_to = False, ""
    if not unaltered:
        raise UserError("the manifest was altered", expected="what its own sha256 says", do=_AGAIN, path=path)
    if not belongs_to == manifest["address"] == address:
        do = "give the folder its own name back"
        raise UserError(f"this is module {belongs_to}", expected=address, do=do, path=path)
    return manifest


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # xadapt itself, run from a checkout
        return None
