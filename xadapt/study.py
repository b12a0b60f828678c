"""Run a plan: train what the store does not hold, reuse the rest, evaluate, report cells."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from xadapt.data.examples import Example, notes_of
from xadapt.data.lazy import Lazy, Taken
from xadapt.encoded import Encoder, Wanted
from xadapt.errors import UserError
from xadapt.evaluate import evaluate, predictions
from xadapt.kinds import kind_of
from xadapt.kinds.kind import Item, Kind
from xadapt.mount import Mounted, Part, mount
from xadapt.mount.weights import fill
from xadapt.plan import SCORING_VERSION, Evaluation, ModuleStep, Plan
from xadapt.proof import weights_file_of
from xadapt.randomness import generator, seeded
from xadapt.results import Baseline, Cell, ModuleRow, Predicted, Results, Unwatched, Watch
from xadapt.store import Saved, Store, address_of
from xadapt.tasks import Task
from xadapt.train import Trained, train


def run(plan: Plan, store: Store, *, watch: Watch | None = None, baselines: bool = True) -> Results:
    """Train what is missing, evaluate everything, prove the backbone unchanged.

    Raises:
        UserError: broken data, a store that cannot be written, a module that does not fit.
    """
    _record(plan, store)
    return _Run(plan, store, watch or Unwatched()).all(baselines)


def predict(plan: Plan, store: Store, *, watch: Watch | None = None) -> list[Predicted]:
    """Train what is missing and predict the plan's one expression in its languages. Labels are not asked
    for: a test split that withholds them can be predicted, never scored.

    Raises:
        UserError: as ``run``.
    """
    (evaluation,) = plan.evaluations
    _record(plan, store)
    job = _Run(plan, store, watch or Unwatched())
    for step in plan.modules:
        job.module(step)
    made = job.predictions(evaluation)
    plan.backbone.verify()
    return made


def _record(plan: Plan, store: Store) -> None:
    """Have the store keep what the study refers to, from before its first module is looked for."""
    facts = {
        "backbone": plan.backbone.name,
        "data": plan.source.name,
        "seeds": sorted({e.seed for e in plan.evaluations}),
    }
    expressions = dict.fromkeys(e.expr for e in plan.evaluations)
    store.studies.keep("run", list(expressions), [step.address for step in plan.modules], facts)


class _Run:
    """One run's caches: encoded data and loaded modules, each made once."""

    def __init__(self, plan: Plan, store: Store, watch: Watch) -> None:
        self.plan, self.store, self.watch = plan, store, watch
        self.backbone, self.source = plan.backbone, plan.source
        self._encoder = Encoder(self.backbone, store, self.watch)
        self._encoded: dict[tuple[Any, ...], tuple[Sequence[Example], Sequence[Item]]] = {}
        self._loaded: dict[str, Saved] = {}
        self._noted: set[tuple[str, str, str]] = set()

    def all(self, baselines: bool) -> Results:
        began = time.monotonic()
        rows = [self.module(step) for step in self.plan.modules]
        cells = [cell for e in self.plan.evaluations for cell in self.cells(e)]
        beside = self.baselines() if baselines else []
        self.backbone.verify()
        return Results(
            backbone=self.backbone.name,
            data=self.source.name,
            cells=tuple(cells),
            modules=tuple(rows),
            baselines=tuple(beside),
            seconds=time.monotonic() - began,
        )

    # -- training ---------------------------------------------------------------------------

    def module(self, step: ModuleStep) -> ModuleRow:
        """The module of one step: from the store, or trained into it."""
        trained = False
        if not self.store.has(step.address):
            waiting = lambda: self.watch.note(f"waiting for another run that trains {step.shown}")  # noqa: E731
            with self.store.lock(step.address, on_wait=waiting):
                if not self.store.has(step.address):
                    self._train(step)
                    trained = True
        saved = self.load(step.address)
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
        kind = kind_of(step.task)
        length = step.settings.max_length
        size = step.determinants["data"]["size"]
        examples, items = self.encoded(
            step.task, step.data, lang="en", split="train", max_length=length, size=size, seed=step.seed
        )
        dev_examples, dev_items = self.encoded(
            step.task,
            step.data,
            lang="en",
            split="dev",
            max_length=length,
            limit=step.settings.dev_examples,
        )
        mounted = self.mounted(step.below, step)
        with seeded("head", step.address):
            head = kind.head(self.backbone.config)
        checkpoint = self.store.work(step.address) / "checkpoint.safetensors"
        total = step.settings.steps(len(items))
        with self.watch.stage(f"train {step.shown} (seed {step.seed})", total) as advance:
            seen = 0

            def tick(at: int, of: int, facts: dict[str, float]) -> None:
                nonlocal seen
                advance(at - seen, **facts)
                seen = at

            result = train(
                mounted,
                head,
                kind,
                items,
                (dev_examples, dev_items),
                step.settings,
                seed=step.seed,
                metric=step.task.metrics[0],
                checkpoint=checkpoint,
                tick=tick,
            )
        self.store.write(
            step.address,
            weights=result.weights,
            head=result.head,
            config=mounted.config,
            manifest=self._manifest(step, result, len(examples), len(dev_examples)),
            weights_file=weights_file_of(step.method),
        )
        self.store.done(step.address)

    def _manifest(self, step: ModuleStep, result: Trained, examples: int, dev: int) -> dict[str, Any]:
        """What the module's folder says of it; the store adds hashes, versions and the date."""
        tensors = [*result.weights.values(), *result.head.values()]
        return {
            "determinants": dict(step.determinants),
            "expression": str(step.stack),
            "task": step.task.name,
            "kind": step.task.kind,
            "labels": list(step.task.labels),
            "method": str(step.method),
            "seed": step.seed,
            "backbone": {"name": self.backbone.name, "fingerprint": self.backbone.fingerprint},
            "data": {
                "source": self.source.name,
                "task": step.data.name,
                "examples": examples,
                "dev_examples": dev,
                "notes": notes_of(self.source, step.data.name, "en", "train"),
                "licence": step.data.licence,
                "citation": step.data.citation,
                "url": step.data.url,
            },
            "dev": {
                "metric": step.task.metrics[0],
                "score": result.progress.best,
                "step": result.progress.best_step,
                "history": result.progress.history,
            },
            "training": {
                "seconds": round(result.progress.seconds, 2),
                "steps": result.progress.step,
                "threads": torch.get_num_threads(),
                "device": str(self.backbone.device),
            },
            "parameters": sum(t.numel() for t in tensors),
        }

    # -- mounting ---------------------------------------------------------------------------

    def load(self, address: str) -> Saved:
        """A module, proved on its first load in this run."""
        if address not in self._loaded:
            saved = self.store.load(address)
            trained_on = saved.manifest["backbone"]["fingerprint"]
            if trained_on != self.backbone.fingerprint:
                raise UserError(
                    f"module {address} belongs to another backbone (fingerprint {trained_on[:12]})",
                    expected=f"{self.backbone.name} (fingerprint {self.backbone.fingerprint[:12]})",
                    do="name the backbone that it was trained on",
                )
            self._loaded[address] = saved
        return self._loaded[address]

    def mounted(self, top: str | None, fresh: ModuleStep | None = None) -> Mounted:
        """The stack up to ``top``, and a fresh module above it if one is to be trained."""
        parts = [Part(m.shown, m.method, self.load(m.address).weights) for m in self.plan.chain(top)]
        if fresh is None:
            return mount(self.backbone, parts)
        return mount(self.backbone, [*parts, Part(fresh.shown, fresh.method, None)], seed=(fresh.address,))

    # -- evaluating -------------------------------------------------------------------------

    def cells(self, evaluation: Evaluation) -> list[Cell]:
        """All scores of one expression and seed; those that the store holds are not made again."""
        keys = {lang: self._cell_key(evaluation, lang) for lang in evaluation.languages}
        found = {lang: self.store.read_cell(key) for lang, key in keys.items()}
        missing = [lang for lang, cell in found.items() if cell is None]
        if missing:
            made = self._score(evaluation, missing)
            for lang, cell in made.items():
                self.store.write_cell(keys[lang], cell)
            found |= made
        return [
            Cell(
                expr=evaluation.expr,
                seed=evaluation.seed,
                task=evaluation.task.name,
                lang=lang,
                split=evaluation.split,
                metric=metric,
                layer=evaluation.layer,
                score=cell["scores"][metric],
                n=cell["n"],
            )
            for lang, cell in found.items()
            if cell is not None
            for metric in evaluation.task.metrics
        ]

    def _score(self, evaluation: Evaluation, languages: Sequence[str]) -> dict[str, dict[str, Any]]:
        kind, mounted, head = self._ready(evaluation)
        made: dict[str, dict[str, Any]] = {}
        for lang in languages:
            examples, items = self._asked(evaluation, lang)
            what = f"evaluate {evaluation.expr} (seed {evaluation.seed}) in {lang}"
            with self.watch.stage(what, len(items)) as advance:
                scores = evaluate(mounted, head, kind, examples, items, language=lang, tick=advance)
            made[lang] = {"scores": scores, "n": len(examples), "expr": evaluation.expr}
        return made

    def predictions(self, evaluation: Evaluation) -> list[Predicted]:
        """One expression's predictions in all its languages."""
        kind, mounted, head = self._ready(evaluation)
        made: list[Predicted] = []
        for lang in evaluation.languages:
            examples, items = self._asked(evaluation, lang)
            what = f"predict {evaluation.expr} (seed {evaluation.seed}) in {lang}"
            with self.watch.stage(what, len(items)) as advance:
                outcome = predictions(mounted, head, kind, examples, items, tick=advance)
            revision = self.source.revision(evaluation.task.name, lang, evaluation.split)
            made.append(Predicted(lang, examples, outcome, revision))
        return made

    def _ready(self, evaluation: Evaluation) -> tuple[Kind, Mounted, nn.Module]:
        """The kind, the mounted stack and the head that an expression is evaluated with."""
        task = evaluation.task
        kind = kind_of(task, evaluation.layer)
        mounted = self.mounted(evaluation.module)
        head: nn.Module = kind.head(self.backbone.config)
        if task.train is not None and evaluation.module is not None:
            saved = self.load(evaluation.module)
            fill(dict(head.named_parameters()), saved.head, f"head of {evaluation.expr}")
        return kind, mounted, head.to(self.backbone.device)

    def _asked(self, evaluation: Evaluation, lang: str) -> tuple[Sequence[Example], list[Item]]:
        task, length = evaluation.task, evaluation.max_length
        return self.encoded(task, task, lang=lang, split=evaluation.split, max_length=length)

    def _cell_key(self, evaluation: Evaluation, lang: str) -> str:
        task = evaluation.task
        return address_of(
            {
                "scoring_version": SCORING_VERSION,
                "module": evaluation.module,
                "backbone": self.backbone.fingerprint,
                "dtype": str(self.backbone.dtype).removeprefix("torch."),
                "task": task.name,
                "lang": lang,
                "split": evaluation.split,
                "revision": self.source.revision(task.name, lang, evaluation.split),
                "max_length": evaluation.max_length,
                "layer": evaluation.layer,
            }
        )

    def baselines(self) -> list[Baseline]:
        """What needs no model, for every task and language of the plan; kept in the store too."""
        rows: list[Baseline] = []
        for evaluation in {(e.task.name, e.split): e for e in self.plan.evaluations}.values():
            task, split, languages = evaluation.task, evaluation.split, evaluation.languages
            keys = {lang: self._baseline_key(task, split, lang) for lang in languages}
            found = {lang: self.store.read_cell(key) for lang, key in keys.items()}
            missing = [lang for lang, cell in found.items() if cell is None]
            if missing:
                with self.watch.stage(f"baselines of {task.name}", None):
                    train_rows = self.source.load(task.train, "en", "train") if task.train else ()
                    tests = {lang: self.examples(task, lang, split) for lang in missing}
                    scores = kind_of(task).baselines(train_rows, tests)
                for lang in missing:
                    by_name = {name: dict(per[lang]) for name, per in scores.items()}
                    cell = {"scores": by_name, "n": len(tests[lang])}
                    self.store.write_cell(keys[lang], cell)
                    found[lang] = cell
            rows += [
                Baseline(name, task.name, lang, split, metric, score, cell["n"])
                for lang, cell in found.items()
                if cell is not None
                for name, scores_here in cell["scores"].items()
                for metric, score in scores_here.items()
            ]
        return rows

    def _baseline_key(self, task: Task, split: str, lang: str) -> str:
        return address_of(
            {
                "baselines": SCORING_VERSION,
                "task": task.name,
                "lang": lang,
                "split": split,
                "revision": self.source.revision(task.name, lang, split),
                "train": self.source.revision(task.train, "en", "train") if task.train else None,
            }
        )

    # -- data -------------------------------------------------------------------------------

    def examples(self, task: Task, lang: str, split: str) -> Sequence[Example]:
        """Examples of one split; never none."""
        examples = self.source.load(task.name, lang, split)
        if not examples:
            raise UserError(f"{self.source.name} has no {split} examples of {task.name} in {lang}")
        self._say_notes(task.name, lang, split)
        return examples

    def _say_notes(self, task: str, lang: str, split: str) -> None:
        """Rows that the files lost or had repaired are said, once a run."""
        counts = notes_of(self.source, task, lang, split)
        faults = [f"{count:,} {name}" for name, count in counts.items() if name in ("dropped", "repaired")]
        if faults and (task, lang, split) not in self._noted:
            self._noted.add((task, lang, split))
            self.watch.note(f"{task} {split} in {lang}: {', '.join(faults)}")

    def encoded(
        self,
        task: Task,
        data: Task,
        *,
        lang: str,
        split: str,
        max_length: int,
        size: int | None = None,
        limit: int | None = None,
        seed: int = 0,
    ) -> tuple[Sequence[Example], Sequence[Item]]:
        """Examples and their items, encoded once a run; large sets are kept on disk beyond it.

        Args:
            task: whose kind encodes them.
            data: whose examples they are.
            size: take so many of them, shuffled by ``seed``.
            limit: take the first so many.
        """
        key = (task.name, data.name, lang, split, max_length, size, limit, seed if size else None)
        if key not in self._encoded:
            revision = self.source.revision(data.name, lang, split)
            which = {"task": data.name, "language": lang, "split": split, "revision": revision}
            chosen = {"size": size, "limit": limit, "seed": seed if size else None}
            self._encoded[key] = self._encoder(
                Wanted(
                    task,
                    which | chosen,
                    lambda: self._chosen(data, lang, split, size, limit, seed),
                    at_most=size if limit is None else limit,
                    max_length=max_length,
                    training=split == "train",
                    shown=f"{data.name} {split} in {lang}",
                )
            )
        return self._encoded[key]

    def _chosen(
        self, data: Task, lang: str, split: str, size: int | None, limit: int | None, seed: int
    ) -> Sequence[Example]:
        examples = self.examples(data, lang, split)
        if size is not None:
            if size > len(examples):
                raise UserError(
                    f"{data.name}[{size}]: there are {len(examples)} training examples",
                    do=f"ask for {len(examples)} at most, or leave the size out",
                )
            order = generator(seed, "subset", data.name).permutation(len(examples))[:size]
            examples = Taken(examples, order) if isinstance(examples, Lazy) else [examples[i] for i in order]
        return examples[:limit]
