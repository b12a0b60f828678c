"""The catalogue as a table: what each task is, and which of the sources has it."""

from __future__ import annotations

from rich.text import Text

from xadapt.common.errors import UserError
from xadapt.data.hub import HubSource
from xadapt.data.pocket.source import Pocket
from xadapt.report.sheet import Column, Sheet
from xadapt.tasks import Catalogue, Task
from xadapt.tasks.examples import Source

MANY = 16  # languages that are named one by one; of longer lists the number says more


def tasks_table(source: Source, catalogue: Catalogue) -> Sheet:
    """One line a task. Nothing is read or downloaded but what tells whether labels are placeholders.

    Args:
        source: what ``here`` is about; the pocket world and the hub are asked beside it.
    """
    others: tuple[Source, ...] = (Pocket(), HubSource(catalogue))
    table = Sheet(
        "task",
        "kind",
        Column("metric", drop=4),
        Column("trains on", drop=2),
        Column("examples", right=True, drop=3),
        Column("here", drop=6),
        Column("sources", drop=5),
        "languages",
        "what it is",
        Column("licence", drop=1),
        title=f"{len(catalogue)} tasks (data: {source.name})",
        caption="examples: of the original training set, as published. here: split and languages of this "
        "source. sources: folder in brackets where none was named with --data.",
    )
    for task in catalogue.values():
        table.add(
            task.name,
            _two(task.kind, task.role),
            "\n".join(task.metrics),
            task.train or "-",
            _published(task, catalogue),
            _here(source, task),
            _sources(source, others, task),
            _languages(task),
            _two(task.summary, task.citation),
            task.licence,
        )
    return table


def _two(said: str, beside: str) -> Text:
    """A line, and a paler one below it."""
    return Text(said).append(f"\n{beside}", "dim") if beside else Text(said)


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
        names += ["(folder)"] if task.files or task.parts else []
    elif _has(source, task):
        names.append("folder")
    return "\n".join(names) or "-"


def _has(source: Source, task: Task) -> bool:
    return any(source.languages(task.name, split) for split in ("train", "dev", "test"))


def _languages(task: Task) -> Text:
    named = task.languages
    shown = " ".join(named) if len(named) <= MANY else f"{len(named)}: {' '.join(named[:8])} ..."
    return _two(shown, f"XTREME-R: and {' '.join(task.added)}" if task.added else "")
