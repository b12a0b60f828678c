"""Arrays of numbers as text, so that they can stand in a JSON file."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any

import numpy as np

# The smallest first; the first that says every value exactly is taken.
_TYPES = ("<u1", "<u2", "<u4", "<f4", "<f8")


def as_text(array: np.ndarray) -> dict[str, Any]:
    """An array (n, k) of float64 in few bytes: type, columns and base64 of its compressed numbers."""
    kind = next(t for t in _TYPES if _exact(array, t))
    data = zlib.compress(array.astype(kind).T.tobytes(), 9)
    return {"type": kind, "columns": array.shape[1], "data": base64.b64encode(data).decode("ascii")}


def from_text(said: Any) -> np.ndarray:
    """The array (n, k) of float64 that ``as_text`` said. Raises ``ValueError`` where it has not."""
    try:
        if said["type"] not in _TYPES:
            raise ValueError(f"unknown type {said['type']!r}")
        data = zlib.decompress(base64.b64decode(said["data"], validate=True))
        flat = np.frombuffer(data, dtype=said["type"]).astype(np.float64)
        return np.ascontiguousarray(flat.reshape(said["columns"], -1).T)
    except (KeyError, TypeError, binascii.Error, zlib.error) as error:
        raise ValueError(f"no array: {error}") from error


def _exact(array: np.ndarray, kind: str) -> bool:
    if kind.startswith("<u") and array.size and (array.min() < 0 or array.max() > np.iinfo(kind).max):
        return False
    with np.errstate(over="ignore"):
        return bool((array.astype(kind).astype(np.float64) == array).all())
