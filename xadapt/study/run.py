"""Run a plan: train what the store does not hold, reuse the rest, evaluate, report cells."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from functools import partial
from itertools import groupby

from xadapt.common.errors import UserError
from xadapt.common.own import failures_of
from xadapt.common.progress import Watch
from xadapt.store.store import Store
from xadapt.study.baselines import baseline_scores
from xadapt.study.evaluation import predictions_of, scores_of
from xadapt.study.evidence import Evidence
from xadapt.study.module_plan import ModulePlan
from xadapt.study.plan import Evaluation, Plan
from xadapt.study.results import ModuleRow, Predicted, Results
from xadapt.study.state import Run
from xadapt.study.together import groups, train_group
from xadapt.study.training import help_train, train_module


def run(plan: Plan, store: Store, *, watch: Watch | None = None, baselines: bool = True) -> Results:
    """Train what is missing, evaluate everything, prove the backbone unchanged. Of several processes the
    first does so, and the others help it train; all get the results.

    Raises:
        UserError: broken data, a store that cannot be written, a module that does not fit.
    """
    this = Run(plan, store, watch)
    with failures_of(_own_in(plan)):
        return this.team.lead(lambda: _results(this, baselines), partial(help_train, this))


def _own_in(plan: Plan) -> list[str]:
    """Methods and merges of the user's own, as the plan's expressions name them."""
    texts = [*(str(module.stack) for module in plan.modules), *(e.expr for e in plan.evaluations)]
    return list(dict.fromkeys(name for text in texts for name in re.findall(r"[^\W\d][\w.]*\.\w+", text)))


def _results(this: Run, baselines: bool) -> Results:
    plan = this.plan
    began = time.monotonic()
    modules = _train_missing(this)
    cells = [cell for group in grouped(plan) for cell in scores_of(this, group)]
    beside = baseline_scores(this) if baselines else []
    plan.backbone.verify()
    return Results(
        backbone=plan.backbone.name,
        data=plan.source.name,
        generated=plan.generated(),
        cells=tuple(cells),
        modules=tuple(modules),
        baselines=tuple(beside),
        seconds=time.monotonic() - began,
        findings=tuple(Evidence(cells, this.store).findings()),
    )


def predict(plan: Plan, store: Store, *, watch: Watch | None = None) -> list[Predicted]:
    """Train what is missing and predict the plan's one expression in its languages. Labels are not asked
    for: a test split that withholds them can be predicted, never scored. Of several processes the first has
    the predictions, and the others none.

    Raises:
        UserError: as ``run``.
    """
    (evaluation,) = plan.evaluations
    this = Run(plan, store, watch)
    made: list[Predicted] = []

    def work() -> None:
        _train_missing(this)
        made.extend(predictions_of(this, evaluation))
        plan.backbone.verify()

    with failures_of(_own_in(plan)):
        this.team.lead(work, partial(help_train, this))
    return made


def grouped(plan: Plan) -> list[list[Evaluation]]:
    """The evaluations; those that differ only in the layer that is read together: they share a pass over
    the data."""
    return [list(group) for _, group in groupby(plan.evaluations, key=lambda e: replace(e, layer=None))]


def _train_missing(this: Run) -> list[ModuleRow]:
    """Have every module of the plan in the store: there already, or trained now."""
    announce(this)
    trained: set[str] = set()
    for group in groups(this):
        if len(group) > 1:
            trained |= train_group(this, group)
        elif train_if_missing(this, group[0]):
            trained.add(group[0].address)
    return [row_of(this.store, module, module.address in trained) for module in this.plan.modules]


def announce(this: Run) -> None:
    """Tell the store what the study refers to, before anything is looked for: nothing of it is swept away.

    Raises:
        UserError: modules that are to be evaluated as trained in another type, and are not there.
    """
    plan, store = this.plan, this.store
    facts = {
        "backbone": plan.backbone.name,
        "data": plan.source.name,
        "seeds": sorted({e.seed for e in plan.evaluations}),
    }
    expressions = list(dict.fromkeys(e.expr for e in plan.evaluations))
    addresses = list(dict.fromkeys(a for places in plan.addresses.values() for a in places.values()))
    store.making_room(lambda: store.records.keep("run", expressions, addresses, facts))
    lacking = [module.shown for module in plan.modules if not store.has(module.address)]
    if lacking and plan.dtype != plan.backbone.dtype_name:
        raise UserError(
            f"not in the store as trained in {plan.dtype}: {', '.join(lacking)}",
            expected=f"trained modules only: this run computes in {plan.backbone.dtype_name}",
            do=f"train them with --dtype {plan.dtype} first, or leave --trained-in out",
        )


def train_if_missing(this: Run, module: ModulePlan) -> bool:
    """Whether the module had to be trained; another run that trains it is waited for."""
    if this.store.has(module.address):
        return False
    waiting = f"waiting for another run that trains {module.shown}"
    with this.store.lock(module.address, on_wait=lambda: this.progress.note(waiting)):
        if this.store.has(module.address):
            return False
        train_module(this, module)
        return True


def row_of(store: Store, module: ModulePlan, trained: bool) -> ModuleRow:
    """A module as its manifest describes it; its weights are read and proven where they are mounted."""
    manifest = store.manifest(module.address)
    return ModuleRow(
        expr=module.shown,
        seed=module.seed,
        trained=trained,
        seconds=manifest["training"]["seconds"],
        parameters=manifest["parameters"],
        bytes=sum(file["bytes"] for file in manifest["files"].values()),
        address=module.address,
    )
