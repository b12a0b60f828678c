"""What a task asks of the model: one class a kind, built for a task. ``kind.Kind`` is what they share."""

from __future__ import annotations

from xadapt.common.errors import UserError, nearest
from xadapt.common.own import found, is_own
from xadapt.kinds.choose import Choose
from xadapt.kinds.classify import Classify
from xadapt.kinds.extract import Extract
from xadapt.kinds.kind import Item, Kind
from xadapt.kinds.mining import BitextMining
from xadapt.kinds.mlm import Mlm
from xadapt.kinds.retrieve import Retrieve
from xadapt.kinds.search import Search
from xadapt.kinds.tag import Tag
from xadapt.kinds.untrained import Untrained
from xadapt.tasks.task import Task

__all__ = ["KINDS", "Item", "Kind", "kind_of"]

KINDS: dict[str, type[Kind]] = {
    "classify": Classify,
    "choose": Choose,
    "tag": Tag,
    "extract": Extract,
    "retrieve": Retrieve,
    "mlm": Mlm,
}

# What is retrieved shows in how it is scored: a pair's other half, all pairs of two texts, a ranking.
RETRIEVAL: dict[str, type[Untrained]] = {
    "accuracy": Retrieve,
    "f1": BitextMining,
    "map@20": Search,
}


def kind_of(task: Task, layer: int | None = None) -> Kind:
    """The task's kind, built for it; ``layer`` is the one that ``retrieve`` reads, None for its default.

    Raises:
        UserError: an unknown kind, or one that the row does not suit.
    """
    if is_own(task.kind):
        kind = _own(task.kind)
    elif task.kind == "retrieve":
        kind = RETRIEVAL.get(task.metrics[0], Retrieve)
    elif task.kind in KINDS:
        kind = KINDS[task.kind]
    else:
        raise UserError(
            f"task {task.name!r} is of the unknown kind {task.kind!r}{nearest(task.kind, list(KINDS))}",
            expected=f"one of {', '.join(KINDS)}, or module.name of a class of your own",
        )
    return kind(task, layer) if issubclass(kind, Untrained) else kind(task)


def _own(name: str) -> type[Kind]:
    """A kind of a user's own. Raises ``UserError`` for what is none."""
    kind = found(name)
    if isinstance(kind, type) and issubclass(kind, Kind) and kind.serves in KINDS:
        return kind
    raise UserError(
        f"{name} is no kind",
        expected="a class made from xadapt.Kind, or from one of ours, that serves one of " + ", ".join(KINDS),
        do="inherit from the kind that reads the same examples",
    )
