"""The units of a grid: one module to train, or one expression and seed to evaluate; and who does them.

A ``Unit`` is plain values: it can travel to another process or machine, where a ``Worker`` with the same
grid does it. What a unit makes is in the store when its ``Outcome`` is told of.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from xadapt.common.errors import UserError
from xadapt.common.files import NoRoomError, explained, replace_text
from xadapt.common.identity import digest
from xadapt.common.progress import Unwatched, Watch
from xadapt.stacks.places import needs
from xadapt.stacks.stack import Stack
from xadapt.store.store import Store
from xadapt.study.evaluation import cell_key, scores_of
from xadapt.study.module_plan import ModulePlan
from xadapt.study.plan import Evaluation, Plan
from xadapt.study.results import Cell, Failure, ModuleRow
from xadapt.study.run import grouped, row_of, train_if_missing
from xadapt.study.state import Run

if TYPE_CHECKING:
    from xadapt.grid.grid import Grid


@dataclass(frozen=True)
class Unit:
    """One piece of work.

    Attributes:
        key: what it is known by: the address of the module that it trains, or study, seed and expression.
        study: the number of its study in the grid.
        backbone: the name of the study's.
        expr, seed: what is trained or evaluated.
        module: the address of what is trained; None for an evaluation.
        needs: the modules that it stands on, by address, lowest first; imported ones are among them.
        repeats: the key of an evaluation with the very same scores, as of the bare encoder by every seed: it
            is found in the store when that one is done.
    """

    key: str
    study: int
    backbone: str
    expr: str
    seed: int
    module: str | None
    needs: tuple[str, ...]
    repeats: str | None = None

    @property
    def after(self) -> tuple[str, ...]:
        """The keys of what must be done before it, where that is among the grid's units."""
        return (*self.needs, self.repeats) if self.repeats else self.needs

    @property
    def shown(self) -> str:
        """What it does, for people."""
        return f"{'evaluate' if self.module is None else 'train'} {self.expr} (seed {self.seed})"

    def failed(self, error: str) -> Outcome:
        """Its outcome where nothing could be made."""
        return Outcome(self, failure=Failure(self.backbone, self.expr, self.seed, self.shown, error))


@dataclass(frozen=True)
class Outcome:
    """What came of a unit.

    Attributes:
        cells: of an evaluation, in the order of ``Study.run``.
        row: of a module.
        seconds: that it took.
        notes: what is to be said of its data.
    """

    unit: Unit
    cells: tuple[Cell, ...] = ()
    row: ModuleRow | None = None
    failure: Failure | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def units_of(plans: Sequence[Plan], seeds: Sequence[int]) -> list[Unit]:
    """The units of studies, each module once, in an order in which they can be done: seed by seed, then
    study by study and expression by expression, each right after the modules that it needs. So the first
    scores come early, and what is last is least missed: one more seed.

    Args:
        plans: of the studies, in their order.
    """
    found: dict[str, Unit] = {}
    scored: dict[str, str] = {}
    groups = [grouped(plan) for plan in plans]
    modules = [{module.address: module for module in plan.modules} for plan in plans]
    for seed in dict.fromkeys(seeds):
        for number, plan in enumerate(plans):
            for group in groups[number]:
                first = group[0]
                if first.seed != seed:
                    continue
                needed = tuple(dict.fromkeys((*_needed(plan, first.stack, seed), *first.exchanged)))
                for address in needed:
                    if address not in found and (module := modules[number].get(address)):
                        below = _needed(plan, module.need.below, seed)
                        found[address] = Unit(
                            address, number, plan.backbone.name, module.shown, seed, address, below
                        )
                key = f"{number}/{seed}/{first.expr}"
                same = digest([cell_key(plan, e, lang) for e in group for lang in e.languages])
                before = scored.setdefault(same, key)
                found[key] = Unit(
                    key,
                    number,
                    plan.backbone.name,
                    first.expr,
                    seed,
                    None,
                    needed,
                    None if before == key else before,
                )
    return list(found.values())


def _needed(plan: Plan, stack: Stack | None, seed: int) -> tuple[str, ...]:
    """The modules that a stack is made of, lowest first."""
    places = plan.addresses[seed]
    return tuple(dict.fromkeys(places[need.stack] for need in needs(stack))) if stack else ()


class Worker:
    """Does units of one grid, one after the other; what it opens and loads it keeps.

    Args:
        watch: is told how far long work is; None tells nobody.
    """

    def __init__(self, grid: Grid, watch: Watch | None = None) -> None:
        self.grid, self.watch = grid, watch or Unwatched()
        self.store = grid.store if isinstance(grid.store, Store) else Store(grid.store)
        self._runs: dict[int, Run] = {}

    def run(self, study: int) -> Run:
        """What it works with for a study. Raises ``UserError`` as ``Study.plan``."""
        if study not in self._runs:
            chosen = self.grid.study(study)
            self._runs[study] = Run(chosen.plan, self.store)
        self._runs[study].progress = self.watch
        return self._runs[study]

    def holds(self, unit: Unit) -> bool:
        """Whether the store has all that the unit would make."""
        run = self.run(unit.study)
        if unit.module is not None:
            return run.store.has(unit.module)
        keys = (cell_key(run.plan, e, lang) for e in evaluations_of(run.plan, unit) for lang in e.languages)
        return all(run.store.read_scores(key) is not None for key in keys)

    def do(self, unit: Unit) -> Outcome:
        """Make what the store does not have of a unit; what goes wrong is in the outcome.

        Raises:
            NoRoomError: the disk is full, so that nothing else can be made either.
        """
        began = time.monotonic()
        try:
            run = self.run(unit.study)
            if unit.module is not None:
                module = module_of(run.plan, unit.module)
                row = row_of(run.store, module, train_if_missing(run, module))
                outcome = Outcome(unit, row=row, seconds=time.monotonic() - began)
            else:
                cells = scores_of(run, evaluations_of(run.plan, unit))
                outcome = Outcome(unit, cells=tuple(cells), seconds=time.monotonic() - began)
            run.modules.clear()  # weights of a whole grid would fill the memory
            return outcome
        except NoRoomError:
            raise
        except UserError as error:
            return unit.failed(str(error))
        except Exception as error:
            return unit.failed(f"{type(error).__name__}: {error} ({_kept(self.store, unit)})")

    def verify(self) -> None:
        """Prove that the backbones that were worked with are as they were; raises as ``Backbone.verify``."""
        for backbone in {id(run.backbone): run.backbone for run in self._runs.values()}.values():
            backbone.verify()


def evaluations_of(plan: Plan, unit: Unit) -> list[Evaluation]:
    found = [e for e in plan.evaluations if (e.expr, e.seed) == (unit.expr, unit.seed)]
    return found or _changed(plan, unit.shown)


def module_of(plan: Plan, address: str) -> ModulePlan:
    found = [module for module in plan.modules if module.address == address]
    return found[0] if found else _changed(plan, address)


def _changed(plan: Plan, what: str) -> NoReturn:
    raise UserError(
        f"{plan.source.name} or {plan.backbone.name} has changed since the grid was planned: "
        f"{what} is no longer in the plan",
        do="start again",
    )


def _kept(store: Store, unit: Unit) -> str:
    """Where the traceback of the error at hand was written to."""
    path = store.root / "failures" / f"{digest(unit.key)[:16]}.txt"
    try:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_text(path, f"{unit.shown} on {unit.backbone}\n\n{traceback.format_exc()}")
    except UserError as error:
        return f"its traceback could not be kept: {error.got}"
    return f"traceback: {path}"
