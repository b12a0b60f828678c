"""A grid: expressions x targets x sizes x backbones x methods x seeds, planned and run as one.

    grid = xadapt.Grid(["{target}", "mnli[{size}] > {target}"], targets=["xnli", "udpos"],
                       sizes=[1000, "all"], backbones=["pocket"], seeds=[0, 1, 2])
    results = grid.run(workers=2)

A grid is a study for each backbone and method. Its units (``work.py``) are done in the order of what they
stand on, here or in other processes (``engine.py``); whatever is finished is in the store, so the same grid
started again goes on where it was stopped.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import torch

from xadapt.backbone import backbone as _backbone
from xadapt.common.errors import UserError
from xadapt.common.launch import processes
from xadapt.common.progress import Unwatched, Watch
from xadapt.data.sources import open_source
from xadapt.data.user_tasks import catalogue_with
from xadapt.grid.arrivals import telling
from xadapt.grid.cost import Cost, Costs
from xadapt.grid.engine import Engine, Here, Processes, carry_out
from xadapt.grid.forecast import Forecast, forecast, seconds_of
from xadapt.grid.templates import Size, expanded
from xadapt.grid.work import Outcome, Unit, Worker, units_of
from xadapt.stacks.methods import Method, parse_method
from xadapt.stacks.stack import Stack
from xadapt.store.store import Store
from xadapt.study.backbone import Backbone
from xadapt.study.baselines import baseline_scores
from xadapt.study.evidence import Evidence
from xadapt.study.overrides import Overrides
from xadapt.study.plan import Layer, collecting
from xadapt.study.results import Cell, Finding, Results
from xadapt.study.run import announce
from xadapt.study.study import Study
from xadapt.tasks import Catalogue, task_named
from xadapt.tasks.examples import Source


@dataclass(frozen=True)
class Grid(Overrides):
    """A study for each backbone and method. What it names is opened when it is first needed, and then kept.

    Attributes:
        expressions: with ``{target}`` and ``{size}`` where ``targets`` and ``sizes`` are filled in; gains are
            against the first of each target.
        sizes: numbers of training examples; None or ``"all"`` is without one: ``mnli[{size}]`` becomes
            ``mnli``.
        backbones: opened, or names for ``Backbone.from_pretrained``.
        methods: where an expression names none.
        data, seeds, languages, split, store, layer, items: as ``Study`` has them.
    """

    expressions: Sequence[str | Stack]
    targets: Sequence[str] = ()
    sizes: Sequence[Size] = ()
    backbones: Sequence[_backbone.Backbone | str] = ("pocket",)
    methods: Sequence[Method | str] = ("lora",)
    data: Source | str | Path = "pocket"
    seeds: Sequence[int] = (0,)
    languages: Sequence[str] | None = None
    split: str | None = None
    store: Store | str | Path = ".xadapt"
    layer: Layer = None
    items: int | None = None
    _opened: dict[str, _backbone.Backbone] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    # -- what it consists of ------------------------------------------------------------------

    @cached_property
    def studies(self) -> tuple[Study, ...]:
        """One for each backbone and method, planned: those of the first backbone first.

        Raises:
            UserError: all problems at once.
        """
        problems: list[UserError] = []
        methods: list[Method] = []
        expressions: list[str] = []
        opened: list[_backbone.Backbone] = []
        for method in self.methods:
            with collecting(problems):
                methods.append(parse_method(method) if isinstance(method, str) else method)
        for backbone in dict.fromkeys(self.backbones):
            with collecting(problems):
                opened.append(self._open(backbone))
        with collecting(problems):
            expressions = self._expressions()
        found = [self._study(b, m, expressions) for b in opened for m in dict.fromkeys(methods)]
        for study in found if expressions else ():
            with collecting(problems):
                _ = study.plan
        if not (problems or found):
            problems.append(UserError("nothing to run", expected="a backbone and a method at least"))
        if problems:
            raise problems[0] if len(problems) == 1 else UserError("\n".join(map(str, problems)))
        return tuple(found)

    def study(self, number: int) -> Study:
        """One of ``studies``; the backbones of the others are not opened for it."""
        if "studies" in self.__dict__:
            return self.studies[number]
        methods = dict.fromkeys(parse_method(m) if isinstance(m, str) else m for m in self.methods)
        pairs = [(b, m) for b in dict.fromkeys(self.backbones) for m in methods]
        backbone, method = pairs[number]
        return self._study(self._open(backbone), method, self._expressions())

    def _study(self, backbone: _backbone.Backbone, method: Method, expressions: Sequence[str]) -> Study:
        return Study(
            expressions,
            backbone,
            self._source,
            method=method,
            seeds=self.seeds,
            languages=self.languages,
            split=self.split,
            store=self._store,
            layer=self.layer,
            items=self.items,
            **{field.name: getattr(self, field.name) for field in fields(Overrides)},
        )

    def _open(self, backbone: _backbone.Backbone | str) -> _backbone.Backbone:
        if not isinstance(backbone, str):
            return backbone
        if backbone not in self._opened:
            opened = Backbone.from_pretrained(backbone, device=self.device, dtype=self.dtype)
            self._opened[backbone] = opened
        return self._opened[backbone]

    def _expressions(self) -> list[str]:
        """Raises ``UserError``: all that is wrong with templates and targets."""
        problems: list[UserError] = []
        for target in self.targets:
            with collecting(problems):
                task_named(target, self._catalogue)
        found = expanded(self.expressions, list(dict.fromkeys(self.targets)), self.sizes, problems)
        if not (problems or found):
            problems.append(UserError("nothing to run", expected="an expression such as 'mnli > {target}'"))
        if problems:
            raise UserError("\n".join(map(str, problems)))
        return found

    @cached_property
    def _catalogue(self) -> Catalogue:
        return catalogue_with(self.tasks)

    @cached_property
    def _source(self) -> Source:
        if isinstance(self.data, str | Path):
            return open_source(str(self.data), self.intermediate, self._catalogue)
        return self.data

    @cached_property
    def _store(self) -> Store:
        return self.store if isinstance(self.store, Store) else Store(self.store)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """All that is to be done, each module and each evaluation once, in the order in which it is begun.

        Raises:
            UserError: as ``studies``.
        """
        return tuple(units_of([study.plan for study in self.studies], self.seeds))

    def forecast(self, *, workers: int | None = None, budget: str | float | None = None) -> Forecast:
        """What there is to do, what of it the store has, and what the rest would take. Nothing is trained;
        where this machine's speed is not known it is measured, which takes seconds.

        Args:
            workers, budget: as ``run`` takes them.

        Raises:
            UserError: what is wrong with the grid; a budget that fits nothing.
        """
        seconds = None if budget is None else seconds_of(budget)
        held = frozenset(unit.key for unit in self.units if self._here.holds(unit))
        return forecast(self.units, held, self._costs, workers=self._workers(workers), budget=seconds)

    @cached_property
    def _here(self) -> Worker:
        return Worker(self)

    @cached_property
    def _costs(self) -> Costs:
        return Costs(self._here)

    # -- running ------------------------------------------------------------------------------

    def run(
        self,
        *,
        workers: int | None = None,
        watch: Watch | None = None,
        budget: str | float | None = None,
        baselines: bool = False,
        engine: Engine | None = None,
    ) -> Results:
        """Train what the store does not hold and evaluate; what fails is noted, and the rest goes on.

        Args:
            workers: processes that share the work; 1 is this one. None: one for each GPU, or 1.
            watch: is told how far it is, such as ``xadapt.Bars()``, or ``xadapt.Filling()``, a table that
                fills.
            budget: ``2h``, ``1h30m``, or seconds: what is estimated not to fit is left out, from the end of
                the order, and noted (``forecast``).
            baselines: also scores that need no model.
            engine: who does the units, in place of ``workers`` (``engine.Engine``).

        Returns:
            cells and modules of all studies, in their order; ``failures`` says what is missing.

        Raises:
            UserError: what is wrong with the grid, all at once; no room left on the disk; a budget that fits
                nothing.
        """
        if (count := processes()) > 1:
            raise UserError(
                f"a grid in {count} processes of a launcher",
                expected="one process: it shares the units of a grid among workers of its own",
                do="start it without the launcher, which is for one large training at a time",
            )
        began = time.monotonic()
        workers = self._workers(workers)
        here = self._here
        here.watch = watch or Unwatched()
        plans = [study.plan for study in self.studies]
        for number in range(len(plans)):
            announce(here.run(number))
        held = [unit for unit in self.units if here.holds(unit)]
        done = {unit.key: here.do(unit) for unit in held}
        left, costs = self._to_do(set(done), workers, budget, here.watch)
        if left:
            hands = engine or (Processes(self, workers) if workers > 1 else Here(here))
            with telling(watch, list(done.values()), left, costs) as tell, hands:
                for outcome in carry_out(left, hands):
                    done[outcome.unit.key] = outcome
                    tell(outcome)
        beside = baseline_scores(here.run(0)) if baselines else []
        outcomes = [done[unit.key] for unit in self.units if unit.key in done]
        cells = _in_order(outcomes)
        return Results(
            backbone=", ".join(dict.fromkeys(plan.backbone.name for plan in plans)),
            data=self._source.name,
            generated=any(plan.generated() for plan in plans),
            cells=cells,
            modules=tuple(o.row for o in outcomes if o.row),
            baselines=tuple(beside),
            seconds=time.monotonic() - began,
            findings=self._findings(cells, here.watch),
            failures=tuple(o.failure for o in outcomes if o.failure),
        )

    def evidence(self, results: Results) -> Evidence:
        """What can be said of the cells of this grid, with intervals."""
        return Evidence(results.cells, self._store)

    def _findings(self, cells: Sequence[Cell], watch: Watch) -> tuple[Finding, ...]:
        try:
            return tuple(Evidence(cells, self._store).findings())
        except UserError as error:  # where much has failed, what is left may not be comparable
            watch.note(f"no intervals: {error.got}")
            return ()

    def _to_do(
        self, done: set[str], workers: int, budget: str | float | None, watch: Watch
    ) -> tuple[list[Unit], Mapping[str, Cost]]:
        """The units that are left, and what they would take, where that was asked for."""
        if budget is None:
            return [unit for unit in self.units if unit.key not in done], self._costs.known
        made = self.forecast(workers=workers, budget=budget)
        lost = [unit for unit in made.units if unit.key in made.cut and unit.module is None]
        if lost:
            shown = "; ".join(unit.shown for unit in lost[:5]) + ("; ..." if len(lost) > 5 else "")
            watch.note(f"{len(lost)} evaluations do not fit the budget and are left out: {shown}")
        return list(made.left), made.costs

    def _workers(self, asked: int | None) -> int:
        if asked is not None and asked < 1:
            raise UserError(f"{asked} workers", expected="a whole number above 0, or none for what fits")
        if asked is None:
            return max(1, torch.cuda.device_count()) if self.device in ("auto", "cuda") else 1
        return asked

    def sent(self) -> Grid:
        """The same as another process can have it: with names of backbones in place of opened ones, and
        nothing opened.

        Raises:
            UserError: a backbone that is in memory only, or data that cannot be sent.
        """
        names: list[str] = []
        opened = [b for b in self.backbones if not isinstance(b, str)]
        for backbone in self.backbones:
            if not isinstance(backbone, str) and not backbone.named:
                raise UserError(
                    f"the backbone {backbone.name!r} is in this process only",
                    expected="one that has a name, for processes that share the work",
                    do="save it as a folder and name that, or take one worker",
                )
            names.append(backbone if isinstance(backbone, str) else backbone.name)
        sent = replace(self, backbones=tuple(dict.fromkeys(names)))
        if opened:
            kinds = {(str(b.device), b.dtype_name) for b in opened}
            if len(kinds) > 1:
                raise UserError("backbones on several devices or in several types", do="give their names")
            device, dtype = kinds.pop()
            sent = replace(sent, device=device, dtype="bfloat16" if dtype == "bfloat16" else "float32")
        try:
            pickle.dumps(sent)
        except Exception as error:
            raise UserError(
                f"the data {self._source.name!r} cannot be sent to another process: {error}",
                do="name them, or take one worker",
            ) from error
        return sent


def _in_order(outcomes: Sequence[Outcome]) -> tuple[Cell, ...]:
    """The cells study by study, expression by expression, as ``Study.run`` gives them."""
    made = [outcome for outcome in outcomes if outcome.cells]
    made.sort(key=lambda outcome: outcome.unit.study)  # stable
    studies: dict[tuple[int, str], list[Outcome]] = {}
    for outcome in made:
        studies.setdefault((outcome.unit.study, outcome.unit.expr), []).append(outcome)
    return tuple(cell for group in studies.values() for outcome in group for cell in outcome.cells)
