"""What most commands begin with: backbone, data and store as the options say, and a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xadapt.cli.checks import check_store
from xadapt.cli.options import Planned
from xadapt.common.errors import UserError

if TYPE_CHECKING:
    from xadapt.backbone.backbone import Backbone
    from xadapt.stacks.methods import Method
    from xadapt.store.store import Store
    from xadapt.study.plan import Plan
    from xadapt.tasks import Catalogue
    from xadapt.tasks.examples import Source


@dataclass(frozen=True)
class Opened:
    """Everything that stands still while a command works."""

    backbone: Backbone
    source: Source
    store: Store
    catalogue: Catalogue
    method: Method

    def plan(self, expressions: Sequence[str], options: Planned, **more: Any) -> Plan:
        """What ``expressions`` need. ``more`` goes to ``make_plan``."""
        from xadapt.study.module_plan import imported_in
        from xadapt.study.plan import Overrides, make_plan

        plan = make_plan(
            expressions,
            backbone=self.backbone,
            source=self.source,
            method=self.method,
            overrides=Overrides(
                options.lr,
                options.epochs,
                options.batch_size,
                options.max_steps,
                options.max_length,
                getattr(options, "layer", None),
            ),
            catalogue=self.catalogue,
            imported=imported_in(self.store, self.catalogue),
            trained_in=options.trained_in,
            **more,
        )
        layer = getattr(options, "layer", None)
        if layer is not None and all(e.layer is None for e in plan.evaluations):
            raise UserError(
                f"--layer {layer} would change nothing",
                expected="a target that is read at a hidden layer, such as tatoeba or bucc",
                do="leave it out",
            )
        return plan


def opened(options: Planned) -> Opened:
    """Open what ``options`` name.

    Raises:
        UserError: any of them is not there.
    """
    import torch

    from xadapt.backbone.backbone import Backbone
    from xadapt.data.sources import open_source
    from xadapt.stacks.methods import parse_method
    from xadapt.store.store import Store

    check_store(options.store)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    method = parse_method(options.method)
    rows = catalogue_of(options.tasks)
    source = open_source(options.data, options.intermediate, rows)
    backbone = Backbone.from_pretrained(options.backbone, device=options.device, dtype=options.dtype)
    return Opened(backbone, source, Store(options.store), rows, method)


def catalogue_of(path: Path | None) -> Catalogue:
    """Our tasks, and those of the user's file."""
    from xadapt.data.user_tasks import read_tasks
    from xadapt.tasks import CATALOGUE

    return CATALOGUE if path is None else read_tasks(path)
