"""xadapt from Python: the names that ``import xadapt`` gives.

import xadapt

backbone = xadapt.Backbone.from_pretrained("pocket")
study = xadapt.Study(["xnli", "mnli > xnli"], backbone, max_steps=100)
results = study.run()
with backbone.mount(xadapt.Stack("mnli > xnli"), study) as mounted:
    hidden = mounted.encode(batch)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from xadapt.backbone import backbone as _backbone
from xadapt.backbone.packing import Packed, pack
from xadapt.common.errors import UserError
from xadapt.common.progress import Watch
from xadapt.data.sources import open_source
from xadapt.data.user_tasks import read_tasks
from xadapt.interop.module import Module
from xadapt.mount import Element, Fold, Mounted, encode_many, mount
from xadapt.mount.mount_spec import elements
from xadapt.stacks.methods import Bottleneck, Full, LoRA, Method, parse_method
from xadapt.stacks.places import needs
from xadapt.stacks.stack import Stack
from xadapt.store.store import Store
from xadapt.study import run as _study
from xadapt.study.module_loader import Shelf
from xadapt.study.module_plan import Overrides, imported_in
from xadapt.study.plan import Plan, make_plan
from xadapt.study.results import Results
from xadapt.tasks import CATALOGUE
from xadapt.tasks.examples import Source

__all__ = [
    "Backbone",
    "Bottleneck",
    "Full",
    "LoRA",
    "Module",
    "Mounted",
    "Packed",
    "Results",
    "Stack",
    "Store",
    "Study",
    "UserError",
    "pack",
    "run",
]


class Backbone(_backbone.Backbone):
    """A frozen XLM-R that stacks can be mounted on. ``from_pretrained`` opens one."""

    @contextmanager
    def mount(
        self, stack: Stack | str | Module, study: Study | None = None, *, seed: int = 0, fold: Fold = False
    ) -> Iterator[Mounted]:
        """A stack on this backbone, as long as the block lasts; the backbone stays as it is, and several
        stacks can be held at once.

        Args:
            stack: an expression whose modules ``study`` has trained, or a module with all it stands on.
            study: whose store and settings; needed for an expression.
            seed: of the study's modules.
            fold: as in ``xadapt.mount.mount``: ``True`` or ``"cat"`` for cheaper inference.

        Yields:
            ``mounted.encode(batch)`` gives hidden states (tokens, width) of packed sequences.

        Raises:
            UserError: not trained yet, another backbone, weights that do not fit or change nothing.
        """
        if isinstance(stack, Module):
            parts = _elements(stack, self)
        elif study is None:
            raise UserError(
                f"'{stack}' without a study",
                expected="a study that says with which data and settings its modules are trained",
                do="give study=Study([...], backbone), or a Module",
            )
        else:
            parts = study.elements(stack, seed, self)
        yield mount(self, parts, fold=fold)

    def encode_many(
        self, stacks: Sequence[Mounted], batch: Packed, layers: int | None = None
    ) -> list[Tensor]:
        """One batch under each of several held stacks; what lies below all their modules is computed once.

        Args:
            stacks: mounted on this backbone; fusions and merges among them.
            batch: packed sequences, T tokens, on the backbone's device.
            layers: how many layers to run; all by default.

        Returns:
            hidden states (T, width) of each stack, equal to its own ``encode``.
        """
        return encode_many(self, stacks, batch, layers)


def _elements(module: Module, backbone: _backbone.Backbone) -> list[Element]:
    """A module and what it stands on, as ``mount`` takes it."""
    trained_on = module.manifest["backbone"]["fingerprint"]
    if trained_on != backbone.fingerprint:
        raise UserError(
            f"module {module.address} belongs to another backbone (fingerprint {trained_on[:12]})",
            expected=f"{backbone.name} (fingerprint {backbone.fingerprint[:12]})",
            do="open the backbone that it was trained on",
        )
    found = {saved.address: saved for saved in (*module.below, module.saved)}
    return elements(module.address, found.__getitem__)


@dataclass(frozen=True)
class Study:
    """Expressions, and all that determines their modules and scores.

    Attributes:
        expressions: as on the command line; gains are against the first.
        backbone: opened, or a name for ``Backbone.from_pretrained``.
        data: ``pocket``, ``hub``, a folder in XTREME's layout, or a source of your own.
        method: where an expression names none.
        languages: where to evaluate; None for all that the data has.
        split: ``dev`` or ``test``; None for ``test`` where its labels are real.
        tasks: a TOML file with tasks of your own.
        store: where modules and scores are kept.
        lr, epochs, batch_size, max_steps, max_length, layer: instead of the tasks' and methods' own;
            max_steps for each task of a joint.
        trained_in: ``float32`` or ``bfloat16``: evaluate modules of the store that were trained in it; None
            for what the backbone computes in.
    """

    expressions: Sequence[str | Stack]
    backbone: _backbone.Backbone | str = "pocket"
    data: Source | str | Path = "pocket"
    method: Method | str = "lora"
    seeds: Sequence[int] = (0,)
    languages: Sequence[str] | None = None
    split: str | None = None
    intermediate: Path | None = None
    tasks: Path | None = None
    store: Store | str | Path = ".xadapt"
    lr: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    max_steps: int | None = None
    max_length: int | None = None
    layer: int | None = None
    trained_in: str | None = None

    @cached_property
    def _store(self) -> Store:
        return self.store if isinstance(self.store, Store) else Store(self.store)

    @cached_property
    def plan(self) -> Plan:
        """What must be trained and evaluated; nothing is run.

        Raises:
            UserError: all problems at once.
        """
        rows = CATALOGUE if self.tasks is None else read_tasks(self.tasks)
        named = isinstance(self.data, str | Path)
        source = open_source(str(self.data), self.intermediate, rows) if named else self.data
        return make_plan(
            [str(e) for e in self.expressions],
            backbone=Backbone.from_pretrained(self.backbone)
            if isinstance(self.backbone, str)
            else self.backbone,
            source=source,  # type: ignore[arg-type]  # a name was opened above
            method=parse_method(self.method) if isinstance(self.method, str) else self.method,
            seeds=self.seeds,
            languages=self.languages,
            split=self.split,
            overrides=Overrides(
                self.lr, self.epochs, self.batch_size, self.max_steps, self.max_length, self.layer
            ),
            catalogue=rows,
            imported=imported_in(self._store, rows),
            trained_in=self.trained_in,
        )

    def run(self, *, watch: Watch | None = None, baselines: bool = True) -> Results:
        """Train what the store does not hold, evaluate, compare.

        Returns:
            cells (scores in 0..100), modules, baselines.

        Raises:
            UserError: broken data, a store that cannot be written, a module that does not fit.
        """
        return _study.run(self.plan, self._store, watch=watch, baselines=baselines)

    def elements(self, stack: Stack | str, seed: int, backbone: _backbone.Backbone) -> list[Element]:
        """A trained stack of this study, as ``mount`` takes it.

        Raises:
            UserError: it is none of the study's, or on another backbone, or a module of it is not trained
                (others of the study need not be).
        """
        found = [e for e in self.plan.evaluations if e.seed == seed and e.expr == str(Stack(str(stack)))]
        if not found:
            raise UserError(
                f"'{stack}' (seed {seed}) is not in this study",
                expected=" or ".join(f"'{e.expr}' (seed {e.seed})" for e in self.plan.evaluations),
            )
        if backbone.fingerprint != self.plan.backbone.fingerprint:
            raise UserError(
                f"the study is on {self.plan.backbone.name}, and this is {backbone.name}",
                do="mount it on the study's backbone",
            )
        places = self.plan.addresses[seed]
        needed = {places[need.stack] for need in needs(found[0].stack)} if found[0].stack else set()
        missing = [
            s.shown for s in self.plan.modules if s.address in needed and not self._store.has(s.address)
        ]
        if missing:
            raise UserError(f"not trained yet: {', '.join(missing)}", do="run the study first")
        return Shelf(self.plan, self._store).elements(found[0].stack, seed)


def run(expressions: Sequence[str | Stack], **options: object) -> Results:
    """``Study(expressions, **options).run()``"""
    return Study(expressions, **options).run()  # type: ignore[arg-type]
