"""Scores of mounted stacks in every language, baselines beside them, and predictions without scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from xadapt.common.progress import Watch
from xadapt.kinds import kind_of
from xadapt.kinds.kind import Kind
from xadapt.kinds.pools import counted
from xadapt.mount import Element, Mounted, mount
from xadapt.mount.weights import fill
from xadapt.store.store import Store, address_of
from xadapt.study.inputs import Both, Data
from xadapt.study.module_loader import Shelf
from xadapt.study.plan import Evaluation, Plan
from xadapt.study.results import Baseline, Cell, Predicted
from xadapt.tasks import Task, asked
from xadapt.train.evaluate import Known, evaluate_layers, predictions

# Raised when the same inputs would give other scores than before.
# 2: Tatoeba is asked from English; F1 of answers without words. 3: whole stacks. 4: folded stacks.
# 5: addresses know how data are read and which metrics are asked for
SCORING_VERSION = 5


class Scoring:
    """One run's evaluations. What the store holds is not made again."""

    def __init__(self, plan: Plan, store: Store, data: Data, shelf: Shelf, watch: Watch) -> None:
        self.plan, self.store, self.data, self.shelf, self.watch = plan, store, data, shelf, watch
        self.backbone, self.source = plan.backbone, plan.source

    def cells(self, group: Sequence[Evaluation], elements: Sequence[Element] | None = None) -> list[Cell]:
        """All scores of one expression and seed, at one layer or several.

        Args:
            elements: what is evaluated, lowest first, where that is not the expression's own stack; the
                evaluations' ``mounted`` says then what it is.
        """
        places = [(e, lang) for e in group for lang in e.languages]
        keys = {(e.layer, lang): self._cell_key(e, lang) for e, lang in places}
        found = {place: self.store.read_cell(key) for place, key in keys.items()}
        missing: dict[str, list[Evaluation]] = {}
        for e, lang in places:
            if found[e.layer, lang] is None:
                missing.setdefault(lang, []).append(e)
        if missing:
            for place, made in self._score(missing, elements):
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

    def predicted(self, evaluation: Evaluation) -> list[Predicted]:
        """One expression's predictions in all its languages; labels are not asked for."""
        kind = kind_of(evaluation.task, evaluation.layer)
        mounted, head = self._ready(evaluation, kind)
        made: list[Predicted] = []
        known: Known = {}
        for lang in evaluation.languages:
            examples, items = self._asked(evaluation, lang, evaluation.split)
            tuning = self._asked(evaluation, lang, "dev") if kind.tuned else None
            what = f"predict {evaluation.expr} (seed {evaluation.seed}) in {lang}"
            with self.watch.stage(what, len(items)) as advance:
                outcome = predictions(
                    mounted, head, kind, examples, items, tuning=tuning, known=known, tick=advance
                )
            revision = self.source.revision(evaluation.task.name, lang, evaluation.split)
            made.append(Predicted(lang, examples, outcome, revision))
        return made

    def _score(
        self, missing: Mapping[str, Sequence[Evaluation]], elements: Sequence[Element] | None
    ) -> Iterator[tuple[tuple[int | None, str], dict[str, Any]]]:
        """For each language, one pass over its data for evaluations that differ in their layers only."""
        evaluation = next(iter(missing.values()))[0]
        kind = kind_of(evaluation.task, evaluation.layer)
        mounted, head = self._ready(evaluation, kind, elements)
        known: Known = {}
        for lang, group in missing.items():
            examples, items = self._asked(evaluation, lang, evaluation.split)
            tuning = self._asked(evaluation, lang, "dev") if kind.tuned else None
            total = len(items) + (len(tuning[1]) if tuning and tuning[1] is not items else 0)
            what = f"evaluate {evaluation.expr} (seed {evaluation.seed}) in {lang}"
            if len(group) > 1:
                what += f", {len(group)} layers"
            kinds = [kind_of(evaluation.task, e.layer) for e in group]
            with self.watch.stage(what, total) as advance:
                scores = evaluate_layers(
                    mounted,
                    head,
                    kinds,
                    examples,
                    items,
                    language=lang,
                    tuning=tuning,
                    known=known,
                    tick=advance,
                )
            for e, per_metric in zip(group, scores, strict=True):
                cell = {"scores": per_metric, "n": len(counted(examples)), "expr": e.expr}
                yield (e.layer, lang), cell

    def _ready(
        self, evaluation: Evaluation, kind: Kind, elements: Sequence[Element] | None = None
    ) -> tuple[Mounted, nn.Module]:
        """The mounted stack and the head that an expression is evaluated with."""
        if elements is None:
            elements = self.shelf.elements(evaluation.stack, evaluation.seed)
        mounted = mount(self.backbone, elements, fold=self.shelf.fold)
        head = self.shelf.head(kind, mounted)
        if evaluation.module is not None:
            saved = self.shelf.load(evaluation.module)
            fill(dict(head.named_parameters()), saved.head, f"head of {evaluation.expr}")
        return mounted, head.to(self.backbone.device)

    def _asked(self, evaluation: Evaluation, lang: str, split: str) -> Both:
        task, data, length = evaluation.task, evaluation.asks, evaluation.max_length
        return self.data.encoded(task, data, languages=[lang], split=split, max_length=length)

    def _cell_key(self, evaluation: Evaluation, lang: str) -> str:
        task, data = evaluation.task, evaluation.asks.name
        # What is fitted on dev changes with the dev data.
        fitted = kind_of(task).tuned
        on = {"tuned_on": self.source.revision(data, lang, "dev")} if fitted else {}
        return address_of(
            on
            | {
                "scoring_version": SCORING_VERSION,
                "mounted": evaluation.mounted,
                "module": evaluation.module,
                "backbone": self.backbone.fingerprint,
                "dtype": self.backbone.dtype_name,
                # The name too: MLQA is scored in its own way.
                "task": {"name": task.name, **asked(task)},
                "lang": lang,
                "split": evaluation.split,
                "revision": self.source.revision(data, lang, evaluation.split),
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
                    tests = {lang: self.data.examples(task, lang, split) for lang in missing}
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
                "task": {"name": task.name, **asked(task)},
                "lang": lang,
                "split": split,
                "revision": self.source.revision(task.name, lang, split),
                "train": self.source.revision(task.train, "en", "train") if task.train else None,
            }
        )
