"""Files that are there whole or not at all, and errors of the disk in words.

Everything is written beside its place, forced to the disk, and renamed into its place. A
process that is killed leaves a temporary, never half a file. Nothing is read with pickle.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from xadapt.common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

TEMPORARY = ".tmp-"  # how the names of temporaries begin
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


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file; dtypes stay as they are. Only within a folder that is a temporary."""
    from safetensors.torch import save_file

    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        # Tied weights share memory, which the format cannot say: each is written out.
        own[name] = value.clone() if storage in seen else value
        seen.add(storage)
    path.touch()
    mode = path.stat().st_mode  # save_file leaves a file that only its owner may read
    save_file(own, path, metadata={"format": "pt", **(metadata or {})})
    path.chmod(mode)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The weights in a safetensors file.

    Raises:
        UserError: a tensor of whole numbers, or with values that are not finite; it is named.
        OSError, SafetensorError: the file cannot be read, or is not whole.
    """
    from safetensors.torch import load_file

    tensors = load_file(path)
    check_tensors(tensors, path)
    return tensors


def check_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse what no weight can be, by the tensor's name; ``path`` is where they are, or are to be."""
    import torch

    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            raise UserError(
                f"the tensor {name} is of the type {str(tensor.dtype).removeprefix('torch.')}",
                expected="float32, bfloat16, float16 or float64",
                do="save the module anew, without quantising it",
                path=path,
            )
        if not bool(tensor.isfinite().all()):
            raise UserError(
                f"the tensor {name} holds NaN or infinity",
                expected="finite numbers only",
                do="train the module again, with a lower learning rate",
                path=path,
            )


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


def is_output(path: Path) -> bool:
    """Whether a place that a user named is standard output: ``-``, or what is open as it."""
    if str(path) == "-":
        return True
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(1))
    return False


def check_place(path: Path) -> None:
    """Refuse a place that ``write_output`` could not write; nothing is touched.

    Raises:
        UserError: neither a file that can be made or replaced, nor a pipe or device that can be written.
    """
    with explained(path):
        if is_output(path):
            return
        real = Path(os.path.realpath(path))  # of a circle of links, itself
        folder = real.parent
        while not folder.exists():
            folder = folder.parent
        whole = (real.is_file() or not os.path.lexists(real)) and folder.is_dir()
        able = os.access(folder, os.W_OK) if whole else _is_stream(path) and os.access(path, os.W_OK)
    if not able:
        raise UserError(
            "results cannot be written there", expected="a file in a folder that can be written", path=path
        )


def write_output(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON where a user wants it: a file whole or not at all, through a link to what it leads to;
    a pipe or device as it is; ``-`` is standard output.

    Raises:
        UserError: the place refuses.
    """
    text = json_text(value, indent=1)
    if is_output(path):
        sys.stdout.write(text)
        return
    with explained(path):
        if _is_stream(path):
            path.write_text(text, **_ENCODING)
        else:
            _replace(Path(os.path.realpath(path)), text)


def _is_stream(path: Path) -> bool:
    return path.is_fifo() or path.is_char_device()


# A name of a file that is no UTF-8 becomes a JSON escape, "\\udcff", which reads back as it was.
_ENCODING: Final[dict[str, Any]] = {"encoding": "utf-8", "errors": "backslashreplace"}


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
        _replace(path, text)


def _replace(path: Path, text: str) -> None:
    """Put a text in the place of a file, which keeps its permissions if it was there. Raises OSError."""
    part = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, **_ENCODING)
        with suppress(FileNotFoundError):
            shutil.copymode(path, part)
        sync(part)
        os.replace(part, path)
        sync(path.parent)
    except BaseException:
        with suppress(OSError):  # the error to tell of is the first one
            part.unlink()
        raise


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Put tensors and what else a training run must remember in one file, replacing the last.

    One process at a time may write ``path``: hold the module's lock. A run that was killed
    while writing leaves ``path`` as it was; the next save clears what it left.

    Args:
        meta: anything JSON can say (infinity included); read back equal, tuples as lists.

    Raises:
        UserError: the disk refuses; the checkpoint of before is still there.
    """
    part = path.with_name(path.name + ".tmp")
    with explained(path):
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            write_tensors(part / path.name, tensors, {"meta": json.dumps(meta)})
            sync(part / path.name)
            os.replace(part / path.name, path)
            sync(path.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What ``save_checkpoint`` wrote, or None where there is no checkpoint.

    Raises:
        UserError: the file is not a whole checkpoint, or cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    with explained(path, "read"):
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                meta = json.loads((file.metadata() or {})["meta"])
                return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError) as error:
            raise UserError(
                "this checkpoint is damaged",
                expected="a file that xadapt wrote whole",
                do="delete it and run again: this module's training starts over",
                path=path,
            ) from error
