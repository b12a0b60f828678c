"""Folders of other libraries: read without pickle, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from xadapt.disk import explained, read_json, sync, temporary
from xadapt.errors import UserError


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ``UserError`` where there is none."""
    with explained(path, "read"):
        found = read_json(path)
    if found is None:
        raise UserError("not a JSON object", expected="a configuration", path=path)
    return found


def read_weights(folder: Path, name: str, pickled: str) -> dict[str, Tensor]:
    """The tensors of ``folder/name``.

    Args:
        pickled: what the same weights are called when they are saved with pickle.

    Raises:
        UserError: only the pickle is there, or nothing, or no whole safetensors file.
    """
    from safetensors.torch import load_file

    path = folder / name
    if not path.is_file():
        if (folder / pickled).is_file():
            raise UserError(
                "weights saved with pickle, which can run any code when read: refused",
                expected=name,
                do="load the module in its own library, in a place where nothing can be lost, and save it "
                "anew with safetensors (PEFT: save_pretrained; adapters: use_safetensors=True)",
                path=folder / pickled,
            )
        raise UserError(f"no {name}", expected=f"the folder of a module, with {name}", path=folder)
    with explained(path, "read"):
        return load_file(path)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """An empty folder to be filled, which then is ``out``; on an error nothing is left.

    Raises:
        UserError: ``out`` is there and not empty, or the disk refuses.
    """
    out = out.absolute()
    with explained(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError("there is something already", expected="a new or an empty folder", path=out)
        part = temporary(out.parent, out.name)
        try:
            yield part
            for path in sorted(part.rglob("*")):
                sync(path)
            if out.exists():
                out.rmdir()
            part.rename(out)
            sync(out.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
