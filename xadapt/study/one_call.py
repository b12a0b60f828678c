"""A study in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xadapt.stacks.methods import Method
from xadapt.stacks.stack import Stack
from xadapt.store.store import Store
from xadapt.study.plan import Layer
from xadapt.study.results import Results
from xadapt.study.study import Study
from xadapt.tasks.examples import Source
from xadapt.tasks.task import OwnTasks

if TYPE_CHECKING:
    from xadapt.backbone.backbone import Backbone


def run(
    expressions: Sequence[str | Stack],
    backbone: Backbone | str = "pocket",
    data: Source | str | Path = "pocket",
    method: Method | str = "lora",
    seeds: Sequence[int] = (0,),
    languages: Sequence[str] | None = None,
    split: str | None = None,
    store: Store | str | Path = ".xadapt",
    layer: Layer = None,
    items: int | None = None,
    langs: Sequence[str] | None = None,
    *,
    lr: float | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    max_steps: int | None = None,
    looks: int | None = None,
    dev_examples: int | None = None,
    max_length: int | None = None,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    trained_in: Literal["float32", "bfloat16"] | None = None,
    threads: int | None = None,
    cache_gb: float | None = None,
    together: int | None = None,
    tasks: OwnTasks | None = None,
    intermediate: Path | None = None,
) -> Results:
    """Plan, train what the store does not hold, and evaluate: ``Study(...).run()`` with the same arguments.

    Raises:
        UserError: as ``Study`` and ``Study.run``.
    """
    return Study(**locals()).run()  # a test holds the two to the same names, types and defaults
