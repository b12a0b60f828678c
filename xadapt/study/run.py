"""Run a plan: train what the store does not hold, reuse the rest, evaluate, report cells."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from xadapt.common.errors import UserError
from xadapt.common.files import NoRoomError
from xadapt.common.progress import Unwatched, Watch
from xadapt.kinds import kind_of
from xadapt.mount.weights import weights_file_of
from xadapt.store.store import Store
from xadapt.study.evaluation import Scoring
from xadapt.study.inputs import Data
from xadapt.study.module_loader import Shelf
from xadapt.study.module_plan import ModulePlan, TrainingTask
from xadapt.study.plan import Plan
from xadapt.study.results import ModuleRow, Predicted, Results
from xadapt.train.loop import TaskInputs, Trained, train
from xadapt.train.task_sampling import Schedule, schedule, shares


def run(plan: Plan, store: Store, *, watch: Watch | None = None, baselines: bool = True) -> Results:
    """Train what is missing, evaluate everything, prove the backbone unchanged.

    Raises:
        UserError: broken data, a store that cannot be written, a module that does not fit.
    """
    began = time.monotonic()
    work = _Run(plan, store, watch or Unwatched())
    rows = work.modules()
    # Evaluations that differ only in the layer that is read share a pass over the data.
    groups = groupby(plan.evaluations, key=lambda e: replace(e, layer=None))
    cells = [cell for _, group in groups for cell in work.scoring.cells(list(group))]
    beside = work.scoring.baselines() if baselines else []
    plan.backbone.verify()
    return Results(
        backbone=plan.backbone.name,
        data=plan.source.name,
        generated=plan.source.generated,
        cells=tuple(cells),
        modules=tuple(rows),
        baselines=tuple(beside),
        seconds=time.monotonic() - began,
    )


def predict(plan: Plan, store: Store, *, watch: Watch | None = None) -> list[Predicted]:
    """Train what is missing and predict the plan's one expression in its languages. Labels are not asked
    for: a test split that withholds them can be predicted, never scored.

    Raises:
        UserError: as ``run``.
    """
    (evaluation,) = plan.evaluations
    work = _Run(plan, store, watch or Unwatched())
    work.modules()
    made = work.scoring.predicted(evaluation)
    plan.backbone.verify()
    return made


class _Run:
    """One run: its data, its modules and its scores, each made once."""

    def __init__(self, plan: Plan, store: Store, watch: Watch) -> None:
        self.plan, self.store, self.watch = plan, store, watch
        self.backbone, self.source = plan.backbone, plan.source
        self.data = Data(plan.source, plan.backbone, store, watch)
        self.shelf = Shelf(plan, store)
        self.scoring = Scoring(plan, store, self.data, self.shelf, watch)

    def modules(self) -> list[ModuleRow]:
        """Every module of the plan, from the store or trained into it.

        The store is told first what the study refers to, so that nothing of it is swept away meanwhile.
        """
        facts = {
            "backbone": self.backbone.name,
            "data": self.source.name,
            "seeds": sorted({e.seed for e in self.plan.evaluations}),
        }
        expressions = dict.fromkeys(e.expr for e in self.plan.evaluations)
        addresses = {a: None for places in self.plan.addresses.values() for a in places.values()}
        keep = self.store.studies.keep
        self.store.making_room(lambda: keep("run", list(expressions), list(addresses), facts))
        lacking = [module.shown for module in self.plan.modules if not self.store.has(module.address)]
        if lacking and self.plan.dtype != self.backbone.dtype_name:
            raise UserError(
                f"not in the store as trained in {self.plan.dtype}: {', '.join(lacking)}",
                expected=f"trained modules only: this run computes in {self.backbone.dtype_name}",
                do=f"train them with --dtype {self.plan.dtype} first, or leave --trained-in out",
            )
        return [self.module(module) for module in self.plan.modules]

    def module(self, module: ModulePlan) -> ModuleRow:
        """One module: from the store, or trained into it."""
        trained = False
        if not self.store.has(module.address):
            waiting = lambda: self.watch.note(f"waiting for another run that trains {module.shown}")  # noqa: E731
            with self.store.lock(module.address, on_wait=waiting):
                if not self.store.has(module.address):
                    self._train(module)
                    trained = True
        saved = self.shelf.load(module.address)
        facts = saved.manifest
        return ModuleRow(
            expr=module.shown,
            seed=module.seed,
            trained=trained,
            seconds=facts["training"]["seconds"],
            parameters=facts["parameters"],
            bytes=sum(f.stat().st_size for f in saved.path.iterdir()),
            address=module.address,
        )

    def _train(self, module: ModulePlan) -> None:
        mounted = self.shelf.started(module)
        inputs = []
        for t in module.tasks:
            kind, head = kind_of(t.task), self.shelf.first_head(module, t.task, mounted)
            length = t.max_length
            _, items = self.data.encoded(
                t.task,
                t.data,
                languages=t.languages,
                split="train",
                max_length=length,
                size=t.size,
                seed=module.seed,
            )
            dev = self.data.encoded(
                t.task,
                t.data,
                languages=["en"],
                split="dev",
                max_length=length,
                sample=module.settings.dev_examples,
            )
            inputs.append(TaskInputs(t.task.name, kind, head, items, dev, t.task.metrics[0]))
        order = _order(module, inputs)
        checkpoint = self.store.work(module.address) / "checkpoint.safetensors"
        with self.watch.stage(f"train {module.shown} (seed {module.seed})", len(order.tasks)) as advance:
            seen = 0

            def tick(at: int, of: int, facts: dict[str, float]) -> None:
                nonlocal seen
                advance(at - seen, **facts)
                seen = at

            result = train(
                mounted,
                inputs,
                module.settings,
                seed=module.seed,
                order=order,
                checkpoint=checkpoint,
                tick=tick,
                saving=self._save_checkpoint,
            )
        try:
            self.store.write(
                module.address,
                weights=result.weights,
                head=result.head,
                config=mounted.config,
                manifest=self._manifest(module, result, inputs, order) | _fusion(mounted.fusion),
                weights_file=weights_file_of(module.method),
            )
        except NoRoomError as error:
            raise _no_room(error, module, result, checkpoint) from error
        self.store.done(module.address)

    def _save_checkpoint(self, save: Callable[[], None]) -> None:
        """A checkpoint needs several times the room of its module: without that room, training goes on."""
        try:
            self.store.making_room(save)
        except NoRoomError as error:
            self.watch.note(f"no checkpoint is kept: {error.got}")

    def _manifest(
        self, module: ModulePlan, result: Trained, inputs: list[TaskInputs], order: Schedule
    ) -> dict[str, Any]:
        """What the module's folder says of it; the store adds hashes, versions and the date."""
        tensors = [*result.weights.values(), *result.head.values()]
        tasks = [t.task for t in module.tasks]
        rows = [t.data for t in module.tasks]
        return {
            "determinants": dict(module.determinants),
            "expression": str(module.stack),
            "task": " + ".join(task.name for task in tasks),
            "kind": tasks[0].kind if len(tasks) == 1 else "joint",
            "labels": list(tasks[0].labels) if len(tasks) == 1 else [],
            "method": str(module.method),
            "seed": module.seed,
            "backbone": {"name": self.backbone.name, "fingerprint": self.backbone.fingerprint},
            "data": {
                "source": self.source.name,
                "task": " + ".join(row.name for row in rows),
                "languages": sorted({lang for t in module.tasks for lang in t.languages}),
                "items": {p.name: len(p.items) for p in inputs},
                "examples": sum(self._count(t, module) for t in module.tasks),
                "dev_examples": sum(len(p.dev[0]) for p in inputs),
                "notes": self._notes(module),
                "licence": _listed(row.licence for row in rows),
                "citation": _listed(row.citation for row in rows),
                "url": _listed(row.url for row in rows),
            },
            "dev": {
                "metric": inputs[0].metric if len(inputs) == 1 else "mean over the tasks",
                "score": result.progress.best,
                "step": result.progress.best_step,
                "history": result.progress.history,
            },
            "training": {
                "seconds": round(result.progress.seconds, 2),
                "steps": result.progress.step,
                "steps_by_task": dict(zip((p.name for p in inputs), order.counts(len(inputs)), strict=True)),
                "threads": torch.get_num_threads(),
                "device": str(self.backbone.device),
            },
            "parameters": sum(t.numel() for t in tensors),
        }

    def _count(self, training: TrainingTask, module: ModulePlan) -> int:
        """Training examples, all languages together."""
        examples, _ = self.data.encoded(
            training.task,
            training.data,
            languages=training.languages,
            split="train",
            max_length=training.max_length,
            size=training.size,
            seed=module.seed,
        )
        return len(examples)

    def _notes(self, module: ModulePlan) -> dict[str, int]:
        """What the readers dropped or repaired, summed over the module's data."""
        notes: dict[str, int] = {}
        for t in module.tasks:
            for lang in t.languages:
                for name, count in self.data.notes(t.data, lang, "train").items():
                    notes[name] = notes.get(name, 0) + count
        return notes


def _order(module: ModulePlan, inputs: list[TaskInputs]) -> Schedule:
    """Which task each step takes; an epoch of a joint is its tasks' items, each up to the cap."""
    sizes = [len(task.items) for task in inputs]
    if len(inputs) == 1:
        return schedule(module.settings.steps(sizes[0]), shares(sizes, max(1, sizes[0]), 1.0), module.seed)
    cap, temperature = int(module.mixing["cap"]), float(module.mixing["temperature"])
    steps = module.settings.steps(sum(min(size, cap) for size in sizes))
    return schedule(steps, shares(sizes, cap, temperature), module.seed)


def _no_room(error: NoRoomError, module: ModulePlan, result: Trained, checkpoint: Path) -> UserError:
    """What to say of a trained module that the disk has no room for; its last checkpoint stays."""
    size = sum(t.nbytes for t in (*result.weights.values(), *result.head.values()))
    kept = checkpoint.is_file()
    again = f"training goes on from the checkpoint in {checkpoint.parent}" if kept else "it is trained again"
    return UserError(
        f"{module.shown} is trained, and there is no room to keep it: {error.got}",
        expected=f"{size / 1e6:,.1f} MB free",
        do=f"free some space there and run again: {again}",
        path=error.path,
    )


def _fusion(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a fusion that was trained along."""
    return {"fusion": config} if config else {}


def _listed(values: Any) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))
