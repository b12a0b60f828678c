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
from xadapt.study.module_plan import Lesson, ModuleStep
from xadapt.study.plan import Plan
from xadapt.study.results import ModuleRow, Predicted, Results
from xadapt.train.loop import Prepared, Trained, train
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
        lacking = [step.shown for step in self.plan.modules if not self.store.has(step.address)]
        if lacking and self.plan.dtype != self.backbone.dtype_name:
            raise UserError(
                f"not in the store as trained in {self.plan.dtype}: {', '.join(lacking)}",
                expected=f"trained modules only: this run computes in {self.backbone.dtype_name}",
                do=f"train them with --dtype {self.plan.dtype} first, or leave --trained-in out",
            )
        return [self.module(step) for step in self.plan.modules]

    def module(self, step: ModuleStep) -> ModuleRow:
        """The module of one step: from the store, or trained into it."""
        trained = False
        if not self.store.has(step.address):
            waiting = lambda: self.watch.note(f"waiting for another run that trains {step.shown}")  # noqa: E731
            with self.store.lock(step.address, on_wait=waiting):
                if not self.store.has(step.address):
                    self._train(step)
                    trained = True
        saved = self.shelf.load(step.address)
        facts = saved.manifest
        return ModuleRow(
            expr=step.shown,
            seed=step.seed,
            trained=trained,
            seconds=facts["training"]["seconds"],
            parameters=facts["parameters"],
            bytes=sum(f.stat().st_size for f in saved.path.iterdir()),
            address=step.address,
        )

    def _train(self, step: ModuleStep) -> None:
        mounted = self.shelf.started(step)
        lessons = []
        for lesson in step.lessons:
            kind, head = kind_of(lesson.task), self.shelf.first_head(step, lesson, mounted)
            length = lesson.max_length
            _, items = self.data.encoded(
                lesson.task,
                lesson.data,
                languages=lesson.languages,
                split="train",
                max_length=length,
                size=lesson.size,
                seed=step.seed,
            )
            dev = self.data.encoded(
                lesson.task,
                lesson.data,
                languages=["en"],
                split="dev",
                max_length=length,
                sample=step.settings.dev_examples,
            )
            lessons.append(Prepared(lesson.task.name, kind, head, items, dev, lesson.task.metrics[0]))
        order = _order(step, lessons)
        checkpoint = self.store.work(step.address) / "checkpoint.safetensors"
        with self.watch.stage(f"train {step.shown} (seed {step.seed})", len(order.tasks)) as advance:
            seen = 0

            def tick(at: int, of: int, facts: dict[str, float]) -> None:
                nonlocal seen
                advance(at - seen, **facts)
                seen = at

            result = train(
                mounted,
                lessons,
                step.settings,
                seed=step.seed,
                order=order,
                checkpoint=checkpoint,
                tick=tick,
                saving=self._save_checkpoint,
            )
        try:
            self.store.write(
                step.address,
                weights=result.weights,
                head=result.head,
                config=mounted.config,
                manifest=self._manifest(step, result, lessons, order) | _fusion(mounted.fusion),
                weights_file=weights_file_of(step.method),
            )
        except NoRoomError as error:
            raise _no_room(error, step, result, checkpoint) from error
        self.store.done(step.address)

    def _save_checkpoint(self, save: Callable[[], None]) -> None:
        """A checkpoint needs several times the room of its module: without that room, training goes on."""
        try:
            self.store.making_room(save)
        except NoRoomError as error:
            self.watch.note(f"no checkpoint is kept: {error.got}")

    def _manifest(
        self, step: ModuleStep, result: Trained, lessons: list[Prepared], order: Schedule
    ) -> dict[str, Any]:
        """What the module's folder says of it; the store adds hashes, versions and the date."""
        tensors = [*result.weights.values(), *result.head.values()]
        tasks = [lesson.task for lesson in step.lessons]
        rows = [lesson.data for lesson in step.lessons]
        return {
            "determinants": dict(step.determinants),
            "expression": str(step.stack),
            "task": " + ".join(task.name for task in tasks),
            "kind": tasks[0].kind if len(tasks) == 1 else "joint",
            "labels": list(tasks[0].labels) if len(tasks) == 1 else [],
            "method": str(step.method),
            "seed": step.seed,
            "backbone": {"name": self.backbone.name, "fingerprint": self.backbone.fingerprint},
            "data": {
                "source": self.source.name,
                "task": " + ".join(row.name for row in rows),
                "languages": sorted({lang for lesson in step.lessons for lang in lesson.languages}),
                "items": {p.name: len(p.items) for p in lessons},
                "examples": sum(self._count(lesson, step) for lesson in step.lessons),
                "dev_examples": sum(len(p.dev[0]) for p in lessons),
                "notes": self._notes(step),
                "licence": _listed(row.licence for row in rows),
                "citation": _listed(row.citation for row in rows),
                "url": _listed(row.url for row in rows),
            },
            "dev": {
                "metric": lessons[0].metric if len(lessons) == 1 else "mean over the tasks",
                "score": result.progress.best,
                "step": result.progress.best_step,
                "history": result.progress.history,
            },
            "training": {
                "seconds": round(result.progress.seconds, 2),
                "steps": result.progress.step,
                "steps_by_task": dict(
                    zip((p.name for p in lessons), order.counts(len(lessons)), strict=True)
                ),
                "threads": torch.get_num_threads(),
                "device": str(self.backbone.device),
            },
            "parameters": sum(t.numel() for t in tensors),
        }

    def _count(self, lesson: Lesson, step: ModuleStep) -> int:
        """Training examples, all languages together."""
        examples, _ = self.data.encoded(
            lesson.task,
            lesson.data,
            languages=lesson.languages,
            split="train",
            max_length=lesson.max_length,
            size=lesson.size,
            seed=step.seed,
        )
        return len(examples)

    def _notes(self, step: ModuleStep) -> dict[str, int]:
        """What the readers dropped or repaired, summed over the module's data."""
        notes: dict[str, int] = {}
        for lesson in step.lessons:
            for lang in lesson.languages:
                for name, count in self.data.notes(lesson.data, lang, "train").items():
                    notes[name] = notes.get(name, 0) + count
        return notes


def _order(step: ModuleStep, lessons: list[Prepared]) -> Schedule:
    """Which task each step takes; an epoch of a joint is its tasks' items, each up to the cap."""
    sizes = [len(lesson.items) for lesson in lessons]
    if len(lessons) == 1:
        return schedule(step.settings.steps(sizes[0]), shares(sizes, max(1, sizes[0]), 1.0), step.seed)
    cap, temperature = int(step.mixing["cap"]), float(step.mixing["temperature"])
    steps = step.settings.steps(sum(min(size, cap) for size in sizes))
    return schedule(steps, shares(sizes, cap, temperature), step.seed)


def _no_room(error: NoRoomError, step: ModuleStep, result: Trained, checkpoint: Path) -> UserError:
    """What to say of a trained module that the disk has no room for; its last checkpoint stays."""
    size = sum(t.nbytes for t in (*result.weights.values(), *result.head.values()))
    kept = checkpoint.is_file()
    again = f"training goes on from the checkpoint in {checkpoint.parent}" if kept else "it is trained again"
    return UserError(
        f"{step.shown} is trained, and there is no room to keep it: {error.got}",
        expected=f"{size / 1e6:,.1f} MB free",
        do=f"free some space there and run again: {again}",
        path=error.path,
    )


def _fusion(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a fusion that was trained along."""
    return {"fusion": config} if config else {}


def _listed(values: Any) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))
