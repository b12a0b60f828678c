"""Files that are there whole or not at all, and errors of the disk in words.

Everything is written beside its place, forced to the disk, and renamed into its place. A
process that is killed leaves a temporary, never half a file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from xadapt.common.errors import UserError

TEMPORARY = ".tmp-"  # how the names of temporaries begin
# A name of a file that is no UTF-8 becomes a JSON escape, "\\udcff", which reads back as it was.
ENCODING: Final[dict[str, Any]] = {"encoding": "utf-8", "errors": "backslashreplace"}
_OS_ERROR = re.compile(r"os error (\d+)")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)


class NoRoomError(UserError):
    """The disk is full."""


@contextmanager
def explained(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn what the disk refuses within the block into a UserError about ``path``."""
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        raise _refusal(path, doing, error) from error
    except SafetensorError as error:  # carries the system's error number in its text only
        match = _OS_ERROR.search(str(error))
        if not match:
            got = f"not a whole safetensors file: {error}"
            raise UserError(got, do="put back the file that was there, or remove it", path=path) from error
        raise _refusal(path, doing, OSError(int(match[1]), os.strerror(int(match[1])))) from error


def _refusal(path: Path, doing: str, error: OSError) -> UserError:
    got = f"cannot {doing}: {error.strerror or error}"
    if error.errno in _NO_SPACE:
        return NoRoomError(
            got, do="free some space there, or choose another folder, and run again", path=path
        )
    if error.errno in _NO_RIGHT:
        return UserError(got, do="give yourself the right to it, or choose another folder", path=path)
    if error.errno in _NO_FOLDER:
        return UserError(got, expected="a folder", do="choose another folder", path=path)
    if error.errno == errno.ENAMETOOLONG:
        shown = str(path) if len(str(path)) <= 200 else f"{str(path)[:100]}...{str(path)[-60:]}"
        got = f"{got}, {len(os.fsencode(path)):,} bytes"
        return UserError(
            got, expected="a path of less than 4,096 bytes, 255 a name", do="choose a shorter one", path=shown
        )
    return UserError(got, do="see whether the disk is there and sound, or choose another folder", path=path)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where it is not one. Raises OSError if it cannot be read."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def sync(path: Path) -> None:
    """Force a file, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def temporary(folder: Path, name: str = "") -> Path:
    """A new empty folder in ``folder``, to be filled and renamed. Raises OSError."""
    path = folder / f"{TEMPORARY}{name}-{os.getpid()}-{secrets.token_hex(4)}"
    path.mkdir(parents=True)
    return path


def json_text(value: Mapping[str, Any], indent: int | None = None) -> str:
    """A JSON file's text; ValueError, TypeError where JSON has no word for something."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent) + "\n"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Put a JSON file in its place, whole or not at all.

    Raises:
        UserError: the disk refuses; nothing is left behind.
    """
    text = json_text(value)
    with explained(path):
        replace_text(path, text)


def replace_text(path: Path, text: str) -> None:
    """Put a text in the place of a file, which keeps its permissions if it was there. Raises OSError."""
    replace_bytes(path, text.encode(**ENCODING))


def replace_bytes(path: Path, content: bytes) -> None:
    """The same with bytes."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of another when the block ends; gone where it fails. Raises OSError."""
    part = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
        with suppress(FileNotFoundError):
            shutil.copymode(path, part)
        sync(part)
        os.replace(part, path)
        sync(path.parent)
    except BaseException:
        with suppress(OSError):  # the error to tell of is the first one
            part.unlink()
        raise
