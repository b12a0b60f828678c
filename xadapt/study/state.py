"""One run of a plan: what it works with, and what it has loaded so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from xadapt.common.launch import leads
from xadapt.common.progress import Unwatched, Watch
from xadapt.kinds.kind import Item
from xadapt.store.store import Saved, Store
from xadapt.study.item_cache import Pool
from xadapt.study.plan import Plan
from xadapt.tasks.examples import Example
from xadapt.train.parallel import Alone, team_on

Inputs = tuple[Sequence[Example], Sequence[Item]]  # examples, and the items that a kind makes of them


class Run:
    """One run of a plan. The functions of this room take it; what they load is loaded once.

    Attributes:
        progress: is told how far long work is, by the process that leads; None tells nobody.
        modules: address -> what the store has there, proven.
        inputs: what was asked for -> examples and items (``inputs.load_inputs``).
        notes: task, language and split -> what the readers dropped or repaired there.
        pools: task and length -> the token ids of its pool's texts, which all its languages search.
    """

    def __init__(self, plan: Plan, store: Store, progress: Watch | None = None) -> None:
        self.plan, self.store = plan, store
        self.progress = progress if progress is not None and leads() else Unwatched()
        self.backbone, self.source = plan.backbone, plan.source
        self.modules: dict[str, Saved] = {}
        self.inputs: dict[tuple[Any, ...], Inputs] = {}
        self.notes: dict[tuple[str, str, str], Mapping[str, int]] = {}
        self.pools: dict[tuple[str, int], Pool] = {}

    @cached_property
    def team(self) -> Alone:
        """The processes that train together."""
        return team_on(self.backbone.device)
