"""Scores and differences of a store as tables for people and as plain values for programs. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from xadapt.common.text_tables import TextTable, shown_value
from xadapt.record.record import recorded
from xadapt.report.sheet import DIGITS, Column, Sheet
from xadapt.store.store import Store
from xadapt.study.kept import Compared, Difference, Kept
from xadapt.study.results import Finding, cell_table

POCKET_NOTE = "pocket world: generated text, a tiny encoder. It shows mechanics and is evidence for nothing."
_KEYS = ("module", "key")  # to be copied
_DROPPED = {"modules": 1, "made": 2}  # of the list of runs, where there is no room
_SETTING = ("backbone", "method", "data", "split", "layer")


# -- scores ---------------------------------------------------------------------------------


def score_table(kept: Kept, *, brief: bool) -> TextTable:
    """One line a score.

    Args:
        brief: for a page: without keys, with the first digits of a module's address.
    """
    table = cell_table(kept.cells)
    if not brief:
        return table
    at = table.columns.index("module")
    rows = tuple((*row[:at], row[at] and row[at][:DIGITS], *row[at + 1 :]) for row in table.rows)
    return TextTable(table.columns, rows).without(["key", *table.constant(_SETTING)])


def score_tables(kept: Kept) -> Iterator[Sheet]:
    """One table a task, metric and setting."""
    shown = ("expr", "seed", "lang", "score", "n", "module")
    for title, rows in _grouped(score_table(kept, brief=False).without(["key"])):
        short = [row | {"module": (row["module"] or "")[:DIGITS]} for row in rows]
        columns = (*shown, "instead") if any(row["instead"] for row in rows) else shown
        yield _drawn(title, columns, [[row[name] for name in columns] for row in short])


# -- differences ----------------------------------------------------------------------------


def difference_table(compared: Compared, *, brief: bool) -> TextTable:
    """One line a comparison.

    Args:
        brief: for a page: the interval as words only.
    """
    lines = [_plain(one) for one in compared.differences]
    columns = (
        "backbone", "method", "data", "task", "metric", "split", "layer", "expr", "against", "languages",
        "value", "low", "high", "p", "adjusted", "shown", "seeds", "items", "text",
    )  # fmt: skip
    rows = [tuple(" ".join(v) if isinstance(v := line[c], list) else v for c in columns) for line in lines]
    table = TextTable(columns, tuple(rows))
    if not brief:
        return table
    numbers = ("value", "low", "high", "p", "adjusted", "shown")
    named = tuple("difference" if name == "text" else name for name in columns)
    return TextTable(named, table.rows).without([*numbers, *table.constant(_SETTING)])


def difference_tables(compared: Compared) -> Iterator[Sheet]:
    """One table a task, metric and setting."""
    shown = ("expr", "difference", "seeds", "languages")
    for title, rows in _grouped(difference_table(compared, brief=False)):
        lines = [[row["expr"], row["text"], row["seeds"], row["languages"]] for row in rows]
        yield _drawn(f"{title}; against {compared.against}", shown, lines)


def said(finding: Finding) -> dict[str, object]:
    """A finding as JSON has it: ``low`` and ``high`` of its interval, whether a difference is ``shown``."""
    of = {key: value for key, value in asdict(finding).items() if key != "estimate"}
    one = finding.estimate
    numbers = {"value": one.value, "low": one.low, "high": one.high, "seeds": one.seeds, "items": one.items}
    compared = {"p": one.p, "adjusted": one.adjusted, "shown": one.shown} if finding.compares else {}
    return of | numbers | compared | {"text": finding.text}


def _plain(one: Difference) -> dict[str, Any]:
    where = {"data": one.data, "split": one.split, "layer": one.layer, "languages": list(one.languages)}
    return said(one.finding) | where


# -- both -----------------------------------------------------------------------------------


def kept_json(kept: Kept, compared: Compared | None) -> dict[str, Any]:
    """The scores and differences for programs; scores in 0..100."""
    cells = [
        asdict(s.cell) | {"generated": s.generated, "revision": s.revision, "created": s.created}
        for s in kept.scores
    ]
    return {
        "cells": cells,
        "differences": [_plain(one) for one in compared.differences] if compared else [],
        "notes": notes(kept, compared),
    }


def notes(kept: Kept, compared: Compared | None) -> list[str]:
    """What is to be known of the tables, one line each."""
    found: list[str] = []
    if kept.unnamed:
        found.append(
            f"{kept.unnamed} older files of scores do not say what they are of and are not shown: "
            "running their study again makes them again"
        )
    if compared is not None:
        if compared.differences:
            found.append(
                "difference: mean over the languages minus that of the other, on the same items, with its "
                "95% interval over seeds and items (one seed: over items only); shown where Holm's method, "
                "over those of one task and metric, allows it"
            )
        if compared.older:
            found.append(
                f"{compared.older} older scores of the same names were left out: the newest count; "
                "'xadapt results' lists all, with their modules"
            )
        found += [f"not compared: {text}" for text in compared.lacking]
    if any(score.pocket for score in kept.scores):
        found.append(POCKET_NOTE)
    return found


# -- studies --------------------------------------------------------------------------------


def study_table(store: Store) -> TextTable:
    """One line a study that was run with this store, oldest first.

    Raises:
        UserError: a record is damaged.
    """
    columns = ("key", "made", "expressions", "backbone", "data", "seeds", "modules")
    rows = []
    for one in store.records.all():
        if one.why == "run":
            said_of = [one.facts.get(name, "") for name in ("backbone", "data", "seeds")]
            facts = [", ".join(map(str, f)) if isinstance(f, list) else str(f) for f in said_of]
            rows.append((one.key, one.created[:16], "; ".join(one.expressions), *facts, len(one.modules)))
    return TextTable(columns, tuple(rows))


def recorded_table(store: Store) -> TextTable:
    """One line a study whose conclusion is recorded, by name.

    Raises:
        UserError: a record is damaged, or of another version.
    """
    found = [recorded(store, name) for name in store.reports.names()]
    rows = tuple((one.name, one.created[:16], one.question, one.answer) for one in found)
    return TextTable(("study", "made", "question", "answer"), rows)


def drawn(title: str, table: TextTable) -> Sheet:
    """A plain table on a screen."""
    return _drawn(title, table.columns, table.rows)


def _grouped(table: TextTable) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Lines of one task, metric and setting, under a title that says these."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for values in table.rows:
        row = dict(zip(table.columns, values, strict=True))
        groups.setdefault(tuple(row[name] for name in ("task", "metric", *_SETTING)), []).append(row)
    for (task, metric, backbone, method, data, split, layer), rows in groups.items():
        at = "" if layer is None else f", hidden layer {layer}"
        yield f"{task}: {metric} on {split} of {data}, {backbone} with {method}{at}", rows


def _drawn(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Sheet:
    plain = TextTable(tuple(columns), tuple(tuple(row) for row in rows))
    set_so = []
    for i, name in enumerate(columns):
        key = name in _KEYS
        right = plain.numeric(i) and not key
        set_so.append(Column(name, right=right, drop=_DROPPED.get(name, 0), whole=key))
    table = Sheet(*set_so, title=title)
    for row in rows:
        table.add(*map(shown_value, row))
    return table
