"""The catalogue as a table: what each task is, and which of the sources has it."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from xadapt.common.errors import UserError
from xadapt.data.hub import HubSource
from xadapt.data.pocket.source import Pocket
from xadapt.tasks import Catalogue, Task
from xadapt.tasks.examples import Source

MANY = 16  # languages that are named one by one; of longer lists the number says more


def tasks_table(source: Source, catalogue: Catalogue) -> Table:
    """One line a task. Nothing is read or downloaded but what tells whether labels are placeholders.

    Args:
        source: what ``here`` is about; the pocket world and the hub are asked beside it.
    """
    others: tuple[Source, ...] = (Pocket(), HubSource(catalogue))
    table = Table(title=f"{len(catalogue)} tasks (data: {escape(source.name)})", title_justify="left")
    for column, side in (
        ("task", "left"),
        ("kind", "left"),
        ("metric", "left"),
        ("trains on", "left"),
        ("examples", "right"),
        ("here", "left"),
        ("sources", "left"),
        ("languages", "left"),
        ("what it is", "left"),
        ("licence", "left"),
    ):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for task in catalogue.values():
        table.add_row(
            task.name,
            f"{task.kind}\n[dim]{task.role}[/]",
            "\n".join(task.metrics),
            task.train or "-",
            _published(task, catalogue),
            _here(source, task),
            _sources(source, others, task),
            _languages(task),
            f"{escape(task.summary)}\n[dim]{escape(task.citation)}[/]",
            escape(task.licence),
        )
    table.caption = (
        "examples: of the original training set, as published. here: split and languages of this source. "
        "sources: folder in brackets where none was named with --data."
    )
    table.caption_justify = "left"
    return table


def _published(task: Task, catalogue: Catalogue) -> str:
    """The size of the training set, its own or that of the task that it trains on."""
    trains_on = catalogue.get(task.train or "")
    size = trains_on.size if trains_on else None
    return f"{size:,}" if size else "-"


def _here(source: Source, task: Task) -> str:
    """The splits that count, and in how many languages."""
    if task.role == "intermediate":
        counts = {split: len(source.languages(task.name, split)) for split in ("train", "dev")}
    else:
        try:
            split = source.test_split(task.name)
        except UserError:
            return "test without labels"
        counts = {split: len(source.languages(task.name, split))}
    return "\n".join(f"{split}: {count}" for split, count in counts.items() if count) or "-"


def _sources(source: Source, others: tuple[Source, ...], task: Task) -> str:
    """``pocket``, ``hub``, ``folder``: those that have the task in any split."""
    names = [other.name for other in others if _has(other, task)]
    if source.name in {other.name for other in others}:
        names += ["[dim](folder)[/]"] if task.files or task.parts else []
    elif _has(source, task):
        names.append("folder")
    return "\n".join(names) or "-"


def _has(source: Source, task: Task) -> bool:
    return any(source.languages(task.name, split) for split in ("train", "dev", "test"))


def _languages(task: Task) -> str:
    named = task.languages
    shown = " ".join(named) if len(named) <= MANY else f"{len(named)}: {' '.join(named[:8])} ..."
    return shown + (f"\n[dim]XTREME-R: and {' '.join(task.added)}[/]" if task.added else "")
