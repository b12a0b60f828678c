"""What makes two things the same: plain values as one text, and the hash of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def fields_of(row: DataclassInstance, leaving_out: Collection[str]) -> dict[str, Any]:
    """The fields of a dataclass by name, but for those that are named.

    What is left out has to be said, so that a field that is added later is part of what identifies a result
    until somebody decides that it is not.

    Raises:
        ValueError: one that is left out is no field.
    """
    names = [field.name for field in fields(row)]
    if unknown := set(leaving_out) - set(names):
        raise ValueError(f"{type(row).__name__} has no field {', '.join(sorted(unknown))}")
    return {name: getattr(row, name) for name in names if name not in leaving_out}


def canonical(value: object) -> str:
    """JSON with one text for one meaning: keys sorted, ``1.0`` written as ``1``, no spaces.

    Raises:
        TypeError: something that JSON has no word for, or a key that is no string.
        ValueError: NaN or infinity.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"keys of determinants must be strings, got {wrong[0]!r}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def digest(value: object) -> str:
    """The SHA-256 of ``canonical(value)``, in hexadecimal; raises as it does."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
