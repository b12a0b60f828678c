"""Modules of a store as tables and as JSON. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.filesize import decimal

from xadapt.common.text_tables import TextTable
from xadapt.report.sheet import DIGITS, Column, Sheet
from xadapt.store.records import Record
from xadapt.store.summary import ModuleInfo
from xadapt.study.wanted_modules import as_typed

_SAME = ("backbone", "data")  # said once, below, where all modules have the same
_COLUMNS = (
    Column("address", whole=True),
    Column("expression"),
    Column("seed", right=True),
    Column("steps", right=True),
    Column("lr", right=True),
    Column("examples", right=True),
    Column("dev", right=True),
    Column("backbone", drop=5),
    Column("data", drop=4),
    Column("made", drop=3, whole=True),
    Column("parameters", right=True, drop=2),
    Column("on disk", right=True, drop=1),
)


def module_table(modules: Sequence[ModuleInfo], names: Mapping[str, Sequence[str]], title: str) -> Sheet:
    """A line a module, with what tells them apart; expressions name their methods where these differ.

    Args:
        names: by address, those that the user gave.
    """
    digits = _digits([m.address for m in modules])
    methods = {m.method for m in modules}
    one_method = methods.pop() if len(methods) == 1 else ""
    metrics = {m.dev.partition(" ")[0] for m in modules if m.dev}
    metric = metrics.pop() if len(metrics) == 1 else ""
    rows = tuple(
        (
            m.address[:digits],
            ", ".join(
                [
                    *(f"{name} =" for name in names.get(m.address, ())),
                    as_typed(m) if one_method else m.expression,
                ]
            ),
            "" if m.seed is None else str(m.seed),
            "" if m.steps is None else f"{m.steps:,}",
            "" if m.lr is None else f"{m.lr:g}",
            "" if m.examples is None else f"{m.examples:,}",
            m.dev.removeprefix(f"{metric} "),
            m.backbone,
            m.data,
            m.created[:16].replace("T", " "),
            f"{m.parameters:,}",
            decimal(m.bytes),
        )
        for m in modules
    )
    table = TextTable(tuple(column.name for column in _COLUMNS), rows)
    same = table.constant(_SAME) if rows else {}
    said = ({"method": one_method} if one_method else {}) | same
    caption = ", ".join(f"{name} {value}" for name, value in said.items() if value)
    columns = [column for column in _COLUMNS if column.name not in same]
    if metric:
        columns = [replace(c, name=f"dev {metric}") if c.name == "dev" else c for c in columns]
    sheet = Sheet(*columns, title=title, caption=f"all: {caption}" if caption else "")
    for row in table.without(same).rows:
        sheet.add(*row)
    return sheet


def modules_json(modules: Sequence[ModuleInfo], names: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """A module an object, with the attributes of ``ModuleInfo`` and its ``names``."""
    return [asdict(m) | {"path": str(m.path), "names": list(names.get(m.address, ()))} for m in modules]


def kept_table(records: Sequence[Record], title: str) -> Sheet:
    """A line a study that modules are kept for."""
    columns = (
        Column("key", whole=True),
        "why",
        "expressions",
        Column("modules", right=True, drop=2),
        Column("backbone", drop=4),
        Column("data", drop=3),
        "seeds",
        Column("made", drop=1),
    )
    sheet = Sheet(*columns, title=title)
    for s in records:
        said = [s.facts.get(key, "") for key in ("backbone", "data", "seeds")]
        facts = [", ".join(map(str, one)) if isinstance(one, list) else str(one) for one in said]
        made = s.created[:16].replace("T", " ")
        sheet.add(s.key, s.why, "\n".join(s.expressions), f"{len(s.modules):,}", *facts, made)
    return sheet


def _digits(addresses: Sequence[str]) -> int:
    """As many of an address as tell all of them apart, ``DIGITS`` at least."""
    digits = DIGITS
    while digits < 20 and len({a[:digits] for a in addresses}) < len(set(addresses)):
        digits += 1
    return digits
