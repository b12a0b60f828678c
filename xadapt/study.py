"""Run a plan: train what the store does not hold, reuse the rest, evaluate, report cells."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from torch import nn

from xadapt.data.examples import Example
from xadapt.errors import UserError
from xadapt.evaluate import evaluate_layers
from xadapt.kinds import kind_of
from xadapt.kinds.kind import Item, Kind
from xadapt.kinds.mlm import WordHead
from xadapt.kinds.pools import completed, counted
from xadapt.methods import Full
from xadapt.mount import Mounted, Part, mount
from xadapt.mount.weights import fill
from xadapt.plan import SCORING_VERSION, Evaluation, ModuleStep, Plan
from xadapt.randomness import generator, seeded
from xadapt.results import Baseline, Cell, ModuleRow, Results, Unwatched, Watch
from xadapt.store import Saved, Store, address_of
from xadapt.tasks import Task
from xadapt.train import Trained, train


def run(plan: Plan, store: Store, *, watch: Watch | None = None, baselines: bool = True) -> Results:
    """Train what is missing, evaluate everything, prove the backbone unchanged.

    Raises:
        UserError: broken data, a store that cannot be written, a module that does not fit.
    """
    return _Run(plan, store, watch or Unwatched()).all(baselines)


class _Run:
    """One run's caches: encoded data and loaded modules, each made once."""

    def __init__(self, plan: Plan, store: Store, watch: Watch) -> None:
        self.plan, self.store, self.watch = plan, store, watch
        self.backbone, self.source = plan.backbone, plan.source
        self._encoded: dict[tuple[Any, ...], tuple[Sequence[Example], list[Item]]] = {}
        self._loaded: dict[str, Saved] = {}

    def all(self, baselines: bool) -> Results:
        began = time.monotonic()
        rows = [self.module(step) for step in self.plan.modules]
        # Evaluations that differ only in the layer that is read share a pass over the data.
        groups = groupby(self.plan.evaluations, key=lambda e: replace(e, layer=None))
        cells = [cell for _, group in groups for cell in self.cells(list(group))]
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
            head = self.head(kind, mounted)
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
            weights_file="model.safetensors"
            if isinstance(step.method, Full)
            else "adapter_model.safetensors",
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

    def head(self, kind: Kind, mounted: Mounted) -> nn.Module:
        """A fresh head; one that names words has the encoder's own, and starts as the checkpoint's."""
        head = kind.head(self.backbone.config)
        for part in head.modules():
            if isinstance(part, WordHead):
                part.tie(mounted.model.embeddings.word_embeddings.weight, self.backbone.lm_head())
        return head

    # -- evaluating -------------------------------------------------------------------------

    def cells(self, group: Sequence[Evaluation]) -> list[Cell]:
        """All scores of one expression and seed, at one layer or several; those that the store holds are not
        made again."""
        places = [(e, lang) for e in group for lang in e.languages]
        keys = {(e.layer, lang): self._cell_key(e, lang) for e, lang in places}
        found = {place: self.store.read_cell(key) for place, key in keys.items()}
        missing: dict[str, list[Evaluation]] = {}
        for e, lang in places:
            if found[e.layer, lang] is None:
                missing.setdefault(lang, []).append(e)
        if missing:
            for place, made in self._score(missing):
                self.store.write_cell(keys[place], made)
                found[place] = made
        return [
            Cell(
                expr=e.expr,
                seed=e.seed,
                task=e.task.name,
                lang=lang,
                split=e.split,
                metric=metric,
                layer=e.layer,
                score=cell["scores"][metric],
                n=cell["n"],
            )
            for e, lang in places
            if (cell := found[e.layer, lang]) is not None
            for metric in e.task.metrics
        ]

    def _score(
        self, missing: Mapping[str, Sequence[Evaluation]]
    ) -> Iterator[tuple[tuple[int | None, str], dict[str, Any]]]:
        """For each language, one pass over its data for evaluations that differ in their layers only."""
        evaluation = next(iter(missing.values()))[0]
        task = evaluation.task
        kind = kind_of(task, evaluation.layer)
        mounted = self.mounted(evaluation.module)
        head = self.head(kind, mounted)
        if task.train is not None and evaluation.module is not None:
            saved = self.load(evaluation.module)
            fill(dict(head.named_parameters()), saved.head, f"head of {evaluation.expr}")
        head.to(self.backbone.device)
        for lang, group in missing.items():

            def part(split: str, lang: str = lang) -> tuple[Sequence[Example], list[Item]]:
                return self.encoded(task, task, lang=lang, split=split, max_length=evaluation.max_length)

            examples, items = part(evaluation.split)
            tuning = part("dev") if kind.tuned else None
            total = len(items) + (len(tuning[1]) if tuning and tuning[1] is not items else 0)
            what = f"evaluate {evaluation.expr} (seed {evaluation.seed}) in {lang}"
            if len(group) > 1:
                what += f", {len(group)} layers"
            kinds = [kind_of(task, e.layer) for e in group]
            with self.watch.stage(what, total) as advance:
                scores = evaluate_layers(
                    mounted, head, kinds, examples, items, language=lang, tuning=tuning, tick=advance
                )
            for e, per_metric in zip(group, scores, strict=True):
                cell = {"scores": per_metric, "n": len(counted(examples)), "expr": e.expr}
                yield (e.layer, lang), cell

    def _cell_key(self, evaluation: Evaluation, lang: str) -> str:
        task = evaluation.task
        # What is fitted on dev changes with the dev data.
        fitted = kind_of(task).tuned
        on = {"tuned_on": self.source.revision(task.name, lang, "dev")} if fitted else {}
        return address_of(
            on
            | {
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
                    cell = {"scores": by_name, "n": len(counted(tests[lang]))}
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
        return examples

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
    ) -> tuple[Sequence[Example], list[Item]]:
        """Examples and their items, encoded once a run.

        Args:
            task: whose kind encodes them.
            data: whose examples they are.
            size: take so many of them, shuffled by ``seed``.
            limit: take the first so many.
        """
        key = (task.name, data.name, lang, split, max_length, size, limit, seed if size else None)
        if key not in self._encoded:
            examples = self.examples(data, lang, split)
            chosen = counted(examples)
            if size is not None:
                if size > len(chosen):
                    raise UserError(
                        f"{data.name}[{size}]: there are {len(chosen)} training examples",
                        do=f"ask for {len(chosen)} at most, or leave the size out",
                    )
                order = generator(seed, "subset", data.name).permutation(len(chosen))
                chosen = [chosen[i] for i in order[:size]]
            if size is not None or limit is not None:
                examples = completed(chosen[:limit], examples)
            with self.watch.stage(f"encode {data.name} {split} in {lang}", None):
                items = kind_of(task).encode(
                    examples, self.backbone.tokenizer, max_length, training=split == "train"
                )
            self._encoded[key] = (examples, items)
        return self._encoded[key]
