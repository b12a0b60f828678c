"""Dataclasses as plain JSON and back, checked against their types on the way in."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def as_plain(value: Any) -> Any:
    """What JSON can say of a dataclass of plain values, tuples, mappings and further dataclasses.

    Raises:
        TypeError: something else is in it.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"JSON has no word for a {type(value).__name__}")


def from_plain(kind: type[T], said: Any) -> T:
    """The value of type ``kind`` that ``as_plain`` said. What a dataclass has a default for may be missing.

    Raises:
        ValueError: it is none, an unknown field among them.
    """
    return _read(kind, said, kind.__name__)


def _read(kind: Any, said: Any, where: str) -> Any:
    if kind is Any:
        return said
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, said, where)
    if origin is Literal:
        if said not in arguments:
            raise ValueError(f"{where} is {said!r}, not one of {arguments}")
        return said
    if origin is tuple:
        if not isinstance(said, list):
            raise ValueError(f"{where} is no list")
        if arguments[-1] is Ellipsis:
            return tuple(_read(arguments[0], item, where) for item in said)
        if len(said) != len(arguments):
            raise ValueError(f"{where} has {len(said)} values, not {len(arguments)}")
        return tuple(_read(of, item, where) for of, item in zip(arguments, said, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(said, dict):
            raise ValueError(f"{where} is no object")
        return {key: _read(arguments[1], item, f"{where}.{key}") for key, item in said.items()}
    if is_dataclass(kind):
        return _dataclass(kind, said, where)
    if kind is float and type(said) is int:
        return float(said)
    if kind is types.NoneType and said is None:
        return None
    if not isinstance(kind, type) or type(said) is not kind:
        raise ValueError(f"{where} is {said!r:.40}, no {getattr(kind, '__name__', kind)}")
    return said


def _one_of(kinds: tuple[Any, ...], said: Any, where: str) -> Any:
    problems = []
    for kind in sorted(kinds, key=lambda kind: kind is float):  # 1 is a whole number where there can be one
        try:
            return _read(kind, said, where)
        except ValueError as problem:
            problems.append(str(problem))
    raise ValueError("; ".join(problems))


def _dataclass(kind: Any, said: Any, where: str) -> Any:
    if not isinstance(said, dict):
        raise ValueError(f"{where} is no object")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    if unknown := set(said) - set(known):
        raise ValueError(f"{where} has unknown fields {', '.join(sorted(unknown))}")
    for name, field in known.items():
        if name not in said and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where} has no {name}")
    return kind(**{name: _read(hints[name], item, f"{where}.{name}") for name, item in said.items()})
