"""The catalogue: every task that can stand in an expression or be evaluated.

A task is a row in ``intermediate`` or ``xtreme``; adding one is adding a row there and,
for a new file format, one reader. Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from xadapt.errors import UserError, nearest
from xadapt.tasks.intermediate import INTERMEDIATE
from xadapt.tasks.task import Task
from xadapt.tasks.xtreme import TARGETS

CATALOGUE: Mapping[str, Task] = MappingProxyType({task.name: task for task in (*INTERMEDIATE, *TARGETS)})


def task_named(name: str) -> Task:
    """The row called ``name``. Raises ``UserError`` where there is none."""
    if name not in CATALOGUE:
        raise UserError(
            f"unknown task {name!r}{nearest(name, list(CATALOGUE))}",
            expected=f"one of {', '.join(CATALOGUE)}",
            do="list the tasks with `xadapt tasks`",
        )
    return CATALOGUE[name]
