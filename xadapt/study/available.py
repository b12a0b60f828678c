"""Which tasks a source can serve: recipes name all that a question is about, and take what is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xadapt.data.sources import open_source
from xadapt.tasks import CATALOGUE, Catalogue, task_named
from xadapt.tasks.examples import Source


def available(
    tasks: Sequence[str],
    data: Source | str,
    *,
    intermediate: Path | None = None,
    catalogue: Catalogue = CATALOGUE,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Those of ``tasks`` that ``data`` has what they need for, in their order, and why each of the others is
    left out: what is trained needs English training and dev data, a target something to score on.

    Raises:
        UserError: an unknown task, or no such source.
    """
    source = open_source(data, intermediate, catalogue) if isinstance(data, str) else data
    lacking = {name: why for name in tasks if (why := _lack(name, source, catalogue))}
    return tuple(name for name in tasks if name not in lacking), lacking


def training_languages(
    task: str,
    data: Source | str,
    *,
    intermediate: Path | None = None,
    catalogue: Catalogue = CATALOGUE,
) -> tuple[str, ...]:
    """The languages that ``data`` has training examples of ``task`` in: other than English they are
    translated, or running text; ``()`` where it trains on nothing.

    Raises:
        UserError: an unknown task, or no such source.
    """
    source = open_source(data, intermediate, catalogue) if isinstance(data, str) else data
    row = task_named(task, catalogue)
    return source.languages(row.train, "train") if row.train else ()


def _lack(name: str, source: Source, catalogue: Catalogue) -> str:
    """What is missing for a task; empty where nothing is."""
    task = task_named(name, catalogue)
    for split in ("train", "dev") if task.train else ():
        if not set(task.trains_in or ("en",)) & set(source.languages(task.train or name, split)):
            return f"{source.name} has no {split} data of {task.train}"
    if task.role == "target" and not source.languages(name, source.test_split(name)):
        return f"{source.name} has nothing to score it on"
    return ""
