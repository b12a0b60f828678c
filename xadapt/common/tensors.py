"""Tensors on disk, in safetensors files; nothing is read with pickle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xadapt.common.errors import UserError
from xadapt.common.files import explained, sync

if TYPE_CHECKING:
    from torch import Tensor


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

    try:
        tensors = load_file(path)
    except RuntimeError as error:  # how torch says that it could not open or map the file
        path.open("rb").close()  # the system's own word, where it still refuses
        raise OSError(str(error)) from error
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
