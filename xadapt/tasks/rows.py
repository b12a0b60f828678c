"""What many rows of the catalogue have in common, said once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xadapt.tasks.task import File, Task

EN = ("en",)
YES_NO = ("0", "1")

# Our splits -> what most repositories on the hub call them.
TRAIN_DEV = {"train": "train", "dev": "validation"}
ALL_SPLITS = {**TRAIN_DEV, "test": "test"}

# Questions on a context, with the settings of jiant's guide to XTREME.
EXTRACT: dict[str, Any] = {
    "kind": "extract",
    "metrics": ("f1", "exact_match"),
    "max_length": 384,
    "stride": 128,
    "epochs": 2,
    "batch_size": 16,
}
SQUAD_COLUMNS = {"id": "id", "question": "question", "context": "context", "answers": "answers"}


def english(name: str, **row: Any) -> Task:
    """An intermediate task in English that trains on itself; ``row`` has its other attributes."""
    return Task(name, role="intermediate", languages=EN, train=name, **row)


def files(
    reader: str, *paths: str, options: Mapping[str, object] | None = None, but: tuple[str, ...] = ()
) -> tuple[File, ...]:
    """Files of one format, in the order in which they are tried."""
    return tuple(File(path, reader, options or {}, but=but) for path in paths)


def per_split(folder: str, reader: str) -> dict[str, tuple[File, ...]]:
    """XTREME's own layout: a training file in English, dev and test files in every language."""
    names = {"train": "train-en", "dev": "dev-{lang}", "test": "test-{lang}"}
    return {split: files(reader, f"{folder}/{name}.tsv") for split, name in names.items()}
