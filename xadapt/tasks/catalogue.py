"""The catalogue: every task that can stand in an expression or be evaluated.

A task is a row in ``intermediate``, ``xtreme`` or ``xtreme_r``, or in a file of a user's own
(``xadapt.data.user_tasks``); adding one is adding a row and, for a new file format, one reader.
Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from xadapt.common.errors import UserError, nearest
from xadapt.tasks.intermediate import INTERMEDIATE
from xadapt.tasks.task import Task
from xadapt.tasks.xtreme import TARGETS
from xadapt.tasks.xtreme_r import FURTHER, TARGETS_R

Catalogue = Mapping[str, Task]

CATALOGUE: Catalogue = MappingProxyType(
    {task.name: task for task in (*INTERMEDIATE, *FURTHER, *TARGETS, *TARGETS_R)}
)

# The tasks that each benchmark averages over, with its own languages of each: XTREME (Hu et al. 2020)
# and XTREME-R (Ruder et al. 2021), as the evaluate.py of google-research/xtreme has them.
XTREME: Mapping[str, tuple[str, ...]] = MappingProxyType({task.name: task.languages for task in TARGETS})
XTREME_R: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        task.name: (*task.languages, *task.added)
        for task in (*TARGETS, *TARGETS_R)
        if task.name not in ("pawsx", "bucc")
    }
)

BENCHMARKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"xtreme": tuple(XTREME), "xtreme_r": tuple(XTREME_R)}
)


# The intermediate tasks of Phang et al. 2020 (arXiv 2005.13013), in the order of their table.
NINE_INTERMEDIATE = (
    "anli",
    "mnli",
    "qqp",
    "squad_v2",
    "squad_v1",
    "hellaswag",
    "ccg",
    "cosmos_qa",
    "commonsense_qa",
)


def task_named(name: str, catalogue: Catalogue = CATALOGUE) -> Task:
    """The row called ``name``. Raises ``UserError`` where there is none."""
    if name not in catalogue:
        raise UserError(
            f"unknown task {name!r}{nearest(name, list(catalogue))}",
            expected=f"one of {', '.join(catalogue)}",
            do="list the tasks with `xadapt tasks`",
        )
    return catalogue[name]
