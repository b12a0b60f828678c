"""Folders of other libraries: read without pickle, written whole or not at all."""

from __future__ import annotations

import math
import reprlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from xadapt.common.errors import UserError
from xadapt.common.files import explained, read_json, sync, temporary
from xadapt.common.rules import Rule
from xadapt.common.tensors import read_tensors
from xadapt.stacks.methods import Method

# What a value of a configuration can be asked to be.
TEXT: Final = Rule("text", lambda v: isinstance(v, str))
SWITCH: Final = Rule("true or false", lambda v: isinstance(v, bool))
NUMBER: Final = Rule(
    "a number from -1e6 to 1e6",
    lambda v: type(v) in (int, float) and math.isfinite(v) and abs(v) <= 1e6,
)
INDEX: Final = Rule("a whole number, 0 or above", lambda v: type(v) is int and v >= 0)


def list_of(rule: Rule) -> Rule:
    """A list in which each value holds to ``rule``."""
    return Rule(f"a list, each {rule.words}", lambda v: isinstance(v, list) and all(map(rule.holds, v)))


def dict_of(rule: Rule) -> Rule:
    """An object in which each value holds to ``rule``."""
    return Rule(
        f"an object, each value {rule.words}",
        lambda v: isinstance(v, dict) and all(map(rule.holds, v.values())),
    )


def either(*rules: Rule) -> Rule:
    """What holds to one of ``rules``."""
    return Rule(" or ".join(r.words for r in rules), lambda v: any(r.holds(v) for r in rules))


@dataclass(frozen=True)
class ForeignModule:
    """What was read from another library's folder, before it is a module of ours.

    Attributes:
        source: ``peft`` or ``adapters``.
        method: as which it can be mounted.
        weights: under the names that the store keeps for ``method``; float32.
        head: under the names of HF's class, or of ``adapters``' (``flex``); empty where it has none.
        labels: what the rows of the head stand for, in order; None where the folder does not say.
        base: what it calls its backbone; None or empty where it does not say.
        flex: the name of the head in ``adapters``' own form; None for HF's.
    """

    source: str
    method: Method
    weights: Mapping[str, Tensor]
    head: Mapping[str, Tensor]
    labels: tuple[str, ...] | None
    base: str | None
    flex: str | None = field(default=None)


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ``UserError`` where there is none."""
    with explained(path, "read"):
        found = read_json(path)
    if found is None:
        raise UserError("not a JSON object", expected="a configuration", path=path)
    return found


def check_values(
    config: Mapping[str, Any], rules: Mapping[str, Rule], path: Path, *, needed: tuple[str, ...] = ()
) -> None:
    """Refuse a configuration in which a value is not what its key asks for; all of them are named.

    Args:
        rules: by key; a key that is missing, or null, is no fault unless it is ``needed``.
    """
    wrong = [
        key
        for key, rule in rules.items()
        if (key in needed if config.get(key) is None else not rule.holds(config[key]))
    ]
    if wrong:
        raise UserError(
            ", ".join(f"{key}={reprlib.repr(config.get(key))}" for key in wrong),
            expected="; ".join(f"{key}: {rules[key].words}" for key in wrong),
            do="write the configuration anew with the library that made it",
            path=path,
        )


def read_weights(folder: Path, name: str, pickled: str) -> dict[str, Tensor]:
    """The tensors of ``folder/name``.

    Args:
        pickled: what the same weights are called when they are saved with pickle.

    Raises:
        UserError: only the pickle is there, or nothing, or no whole safetensors file; values that no
            weight can have.
    """
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
        return read_tensors(path)


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
