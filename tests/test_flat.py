"""Flat items are the items they were made of, for every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kinds_common import letter_tokenizer, task

from xadapt.kinds import kind_of
from xadapt.kinds.flat import FlatItems, UnplainError, Writer, flatten, lengths_of, mapped
from xadapt.kinds.kind import Item
from xadapt.tasks.examples import Answer, Chosen, Classified, Example, Extracted, Paired, Tagged

CONTEXT = "the tent is near the hearth and the rain hits it in the night"
EXAMPLES: dict[str, list[Example]] = {
    "classify": [
        Classified("0", "the rain", "it is near", "yes"),
        Classified("1", "the tent " * 20, None, None),
        Classified("2", "the tent", "", "no"),
    ],
    "choose": [
        Chosen("0", "the tent", "where", ("near", "far", "in it"), 2),
        Chosen("1", "the tent", "", ("near", "far"), None),
    ],
    "tag": [
        Tagged("0", ("the", "tent", "\u200b") * 9, ("O", "B-PER", "I-PER") * 9),
        Tagged("1", (), ()),
        Tagged("2", ("Anna",), None),
    ],
    "extract": [
        Extracted("0", "where is it?", CONTEXT, (Answer("hearth", 21),)),
        Extracted("1", "who?", CONTEXT, ()),
        Extracted("2", "who?", "", None),
    ],
    "retrieve": [Paired("0", "the rain", "it"), Paired("1", "the tent", "the hearth")],
}


def plain(value: Any) -> Any:
    """The same with its types spelled out, so that == sees them, and arrays as lists."""
    if isinstance(value, Item):
        return [plain(v) for v in (value.example, value.sequences, value.target, value.note)]
    if isinstance(value, np.ndarray | np.generic):
        return "array", value.dtype.str, value.shape, value.tolist()
    if isinstance(value, tuple | list):
        return type(value).__name__, [plain(part) for part in value]
    return type(value).__name__, value


def same(flat: Any, items: Any) -> bool:
    return [plain(item) for item in flat] == [plain(item) for item in items]


def encoded(kind: str, examples: list[Example] | None = None) -> list[Item]:
    made = kind_of(task(kind))  # type: ignore[arg-type]
    some = EXAMPLES[kind] if examples is None else examples
    return made.encode(some, letter_tokenizer(), 24, training=False)


@pytest.mark.parametrize("kind", list(EXAMPLES))
def test_items_of_every_kind_survive_with_their_types(kind: str, tmp_path: Path) -> None:
    items = encoded(kind)
    assert len(items) > 1
    assert same(FlatItems(flatten(items)), items)
    writer = Writer(tmp_path)
    for i in range(0, len(items), 2):
        writer.add(flatten(items[i : i + 2]))
    counts, forms = writer.finish()
    read = mapped(tmp_path, forms)
    assert same(read, items)
    assert same([read[-1], *read[:2]], [items[-1], *items[:2]])
    assert counts["example"] == len(items)
    assert lengths_of(read).tolist() == lengths_of(items).tolist() == [len(item) for item in items]
    assert lengths_of(read).dtype == lengths_of(items).dtype == np.int64


@pytest.mark.parametrize("kind", list(EXAMPLES))
def test_every_kind_encodes_an_example_apart_from_the_others(kind: str) -> None:
    """What is encoded in parts is what would have been encoded at once."""
    parts = [FlatItems(flatten(encoded(kind, [e]), first=i)) for i, e in enumerate(EXAMPLES[kind])]
    assert same([item for part in parts for item in part], encoded(kind))


@pytest.mark.parametrize(
    "value",
    [
        None,
        -5,
        (),
        [],
        (3, 7),
        [3, 7],
        (1, None, (np.arange(2), [])),
        np.arange(6).reshape(2, 3),
        np.zeros((0, 2), dtype=np.int32),
        np.array([True, False]),
    ],
    ids=repr,
)
def test_what_targets_and_notes_may_hold(value: Any) -> None:
    items = [Item(0, ([1],), value, None), Item(1, ([1, 2], [3]), None, value)]
    found = list(FlatItems(flatten(items)))
    assert plain(found[0].target) == plain(found[1].note) == plain(value)


@pytest.mark.parametrize(
    "value", [2**40, 0.5, "a", np.array([2**40]), np.zeros(2), {"a": 1}, np.int64(3)], ids=repr
)
def test_what_they_may_not_hold_is_refused(value: Any) -> None:
    with pytest.raises(UnplainError):
        flatten([Item(0, ([1],), value)])


def test_values_of_many_different_forms_are_refused() -> None:
    with pytest.raises(UnplainError, match="more than"):
        flatten([Item(i, ([1],), (None,) * i) for i in range(5000)])
