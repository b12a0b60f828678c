"""Scores of mounted stacks in every language, and predictions without scores."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from xadapt.common.arrays import as_text
from xadapt.common.errors import UserError
from xadapt.kinds import kind_of
from xadapt.kinds.candidates import counted
from xadapt.kinds.kind import Kind
from xadapt.kinds.metrics import score_of
from xadapt.mount import Element, Mounted, mount
from xadapt.store.store import address_of
from xadapt.study.inputs import load_inputs
from xadapt.study.module_loader import (
    load_described,
    load_elements,
    load_module,
    new_head,
    trained_head,
)
from xadapt.study.plan import Evaluation, Plan
from xadapt.study.results import Cell, Predicted
from xadapt.study.state import Inputs, Run
from xadapt.study.trunk_cache import kept_depth
from xadapt.study.versions import SCORING_VERSION
from xadapt.tasks import asked
from xadapt.train.evaluate import Known, evaluate_layers, predict


def scores_of(run: Run, group: Sequence[Evaluation], elements: Sequence[Element] | None = None) -> list[Cell]:
    """All scores of one expression and seed, at one layer or several. What the store holds is not made again.

    Args:
        group: evaluations that differ in their layers only.
        elements: what is evaluated, lowest first, where that is not the expression's own stack; the
            evaluations' ``mounted`` says then what it is.

    Raises:
        UserError: broken data, a module that does not fit, a store that cannot be written.
    """
    places = [(e, lang) for e in group for lang in e.languages]
    keys = {(e.layer, lang): cell_key(run.plan, e, lang) for e, lang in places}
    found = {place: run.store.read_scores(key) for place, key in keys.items()}
    missing: dict[str, list[Evaluation]] = {}
    for e, lang in places:
        if found[e.layer, lang] is None:
            missing.setdefault(lang, []).append(e)
        else:
            _also_asked_for(run, keys[e.layer, lang], e)
    if missing:
        for place, made in _score(run, missing, elements):
            run.store.write_scores(keys[place], made)
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
            module=e.module,
            backbone=run.plan.backbone.name,
            method=str(run.plan.method),
            data=run.plan.source.name,
            key=keys[e.layer, lang],
            instead=_instead(e, lang),
        )
        for e, lang in places
        if (cell := found[e.layer, lang]) is not None
        for metric in e.task.metrics
    ]


def _also_asked_for(run: Run, key: str, evaluation: Evaluation) -> None:
    """Note an expression beside the one that a score was made for, where they mean the same in some languages
    only: ``lang(mlm) > xnli`` is ``mlm > xnli`` in English."""
    kept = run.store.read_scores(key)
    about = kept.get("about", {}) if kept else {}
    names = [about.get("expr", evaluation.expr), *about.get("also", ())]
    if kept is not None and evaluation.expr not in names and "lang(" in f"{evaluation.expr} {names}":
        also = [*names[1:], evaluation.expr]
        run.store.write_scores(key, {**kept, "about": {**about, "also": also}})


def predictions_of(run: Run, evaluation: Evaluation) -> list[Predicted]:
    """One expression's predictions in all its languages; labels are not asked for.

    Raises:
        UserError: as ``scores_of``.
    """
    kind = kind_of(evaluation.task, evaluation.layer)
    made: list[Predicted] = []
    known: Known = {}
    held = _Held(run, evaluation, kind)
    for lang in evaluation.languages:
        mounted, head = held.in_language(lang)
        depth = kept_depth(run.plan.cache_gb, mounted, kind)
        examples, items = _inputs(run, evaluation, lang, evaluation.split, depth)
        tuning = _inputs(run, evaluation, lang, "dev") if kind.tuned else None
        what = f"predict {evaluation.expr} (seed {evaluation.seed}) in {lang}"
        with run.progress.stage(what, len(items)) as advance:
            outcome = predict(mounted, head, kind, examples, items, tuning=tuning, known=known, tick=advance)
        revision = run.source.revision(evaluation.task.name, lang, evaluation.split)
        made.append(Predicted(lang, examples, outcome, revision))
    return made


def _score(
    run: Run, missing: Mapping[str, Sequence[Evaluation]], elements: Sequence[Element] | None
) -> Iterator[tuple[tuple[int | None, str], dict[str, Any]]]:
    """For each language, one pass over its data for evaluations that differ in their layers only."""
    evaluation = next(iter(missing.values()))[0]
    kind = kind_of(evaluation.task, evaluation.layer)
    known: Known = {}
    held = _Held(run, evaluation, kind, elements)
    for lang, group in missing.items():
        mounted, head = held.in_language(lang)
        depth = kept_depth(run.plan.cache_gb, mounted, kind)
        examples, items = _inputs(run, evaluation, lang, evaluation.split, depth)
        tuning = _inputs(run, evaluation, lang, "dev") if kind.tuned else None
        total = len(items) + (len(tuning[1]) if tuning and tuning[1] is not items else 0)
        what = f"evaluate {evaluation.expr} (seed {evaluation.seed}) in {lang}"
        if len(group) > 1:
            what += f", {len(group)} layers"
        with run.progress.stage(what, total) as advance:
            counts = evaluate_layers(
                mounted,
                head,
                [kind_of(evaluation.task, e.layer) for e in group],
                examples,
                items,
                language=lang,
                tuning=tuning,
                known=known,
                tick=advance,
            )
        for e, made in zip(group, counts, strict=True):
            yield (
                (e.layer, lang),
                {
                    "scores": {metric: score_of(one) for metric, one in made.items()},
                    "n": len(counted(examples)),
                    "counts": {metric: as_text(one) for metric, one in made.items()},
                    "about": _about(run.plan, e, lang),
                },
            )


def _about(plan: Plan, evaluation: Evaluation, lang: str) -> dict[str, Any]:
    """What a list of cells says of this one; the first expression that asked for it gives it its name."""
    return {
        "expr": evaluation.expr,
        "seed": evaluation.seed,
        "task": evaluation.task.name,
        "lang": lang,
        "split": evaluation.split,
        "layer": evaluation.layer,
        "module": evaluation.module,
        "instead": _instead(evaluation, lang),
        "backbone": plan.backbone.name,
        "method": str(plan.method),
        "data": plan.source.name,
        "generated": plan.generated(evaluation),
        "revision": plan.source.revision(evaluation.asks.name, lang, evaluation.split),
        "scoring_version": SCORING_VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _instead(evaluation: Evaluation, lang: str) -> str:
    lowest = evaluation.lowest.get(lang)
    return lowest.instead if lowest else ""


class _Held:
    """One evaluation's mounted stack and head: the same in all languages, but for ``lang(...)``."""

    def __init__(
        self, run: Run, evaluation: Evaluation, kind: Kind, elements: Sequence[Element] | None = None
    ) -> None:
        self.asked = (run, evaluation, kind, elements)
        self.of: Any = self
        self.held: tuple[Mounted, nn.Module] | None = None

    def in_language(self, lang: str) -> tuple[Mounted, nn.Module]:
        """What is mounted for ``lang``; what the language before had is let go where it is another."""
        of = self.asked[1].mounted_in(lang)
        if self.held is None or of != self.of:
            self.held, self.of = None, of
            self.held = mounted_with_head(*self.asked, lang=lang)
        return self.held


def language_of(evaluation: Evaluation, language: str | None) -> str | None:
    """The language that a stack is asked for; None for one without ``lang(...)``, which has no other form.

    Raises:
        UserError: a language module of which language? Or a language where there is nothing to exchange.
    """
    term = evaluation.stack.exchanged if evaluation.stack else None
    if term is None and language is not None:
        raise UserError(
            f"language={language!r} for '{evaluation.expr}', which has no lang(...) and is the same in all",
            do="leave it out",
        )
    known = (*term.reads, *evaluation.lowest) if term else (None,)
    if language not in known:
        raise UserError(
            f"'{evaluation.expr}' stands on a language module: "
            + (f"there is none for {language!r}" if language else "of which language?"),
            expected=f"language= one of {', '.join(map(str, known))}",
            do="plan the study in more languages" if language else None,
        )
    return language


def elements_in(
    run: Run, evaluation: Evaluation, lang: str | None, elements: Sequence[Element] | None = None
) -> list[Element]:
    """What an evaluation mounts for a language, lowest first; arguments as of ``mounted_with_head``."""
    if elements is None:
        elements = load_elements(run, evaluation.stack, evaluation.seed)
    if lang is None or lang not in evaluation.lowest:
        return list(elements)
    return [*load_described(run, evaluation.lowest[lang].mounted), *elements[1:]]


def mounted_with_head(
    run: Run,
    evaluation: Evaluation,
    kind: Kind,
    elements: Sequence[Element] | None = None,
    *,
    lang: str | None = None,
) -> tuple[Mounted, nn.Module]:
    """The mounted stack, folded, and the head that an expression is evaluated with.

    Args:
        elements: what is mounted, where it is not the evaluation's stack.
        lang: in which language, where the stack has ``lang(...)``; None for that of its training data.
    """
    elements = elements_in(run, evaluation, lang, elements)
    mounted = mount(run.backbone, elements, fold=True)
    if evaluation.module is None:
        return mounted, new_head(run.backbone, kind, mounted).to(run.backbone.device)
    weights = load_module(run, evaluation.module).head
    return mounted, trained_head(run.backbone, kind, mounted, weights, evaluation.expr)


def _inputs(run: Run, evaluation: Evaluation, lang: str, split: str, depth: int = 0) -> Inputs:
    task, data, length = evaluation.task, evaluation.asks, evaluation.max_length
    sample = evaluation.sample if split == evaluation.split else None
    return load_inputs(
        run, task, data, languages=[lang], split=split, max_length=length, sample=sample, depth=depth
    )


def cell_key(plan: Plan, evaluation: Evaluation, lang: str) -> str:
    """Where the store keeps the scores of one language."""
    task, data = evaluation.task, evaluation.asks.name
    # What is fitted on dev changes with the dev data.
    on: dict[str, Any] = {"tuned_on": plan.source.revision(data, lang, "dev")} if kind_of(task).tuned else {}
    if evaluation.sample is not None:
        on["sample"] = evaluation.sample
    return address_of(
        on
        | {
            "scoring_version": SCORING_VERSION,
            "mounted": evaluation.mounted_in(lang),
            "module": evaluation.module,
            "backbone": plan.backbone.fingerprint,
            "dtype": plan.backbone.dtype_name,
            # The name too: MLQA is scored in its own way.
            "task": {"name": task.name, **asked(task)},
            "lang": lang,
            "split": evaluation.split,
            "revision": plan.source.revision(data, lang, evaluation.split),
            "max_length": evaluation.max_length,
            "layer": evaluation.layer,
        }
    )
