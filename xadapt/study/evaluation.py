"""Scores of mounted stacks in every language, and predictions without scores."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from xadapt.common.arrays import as_text
from xadapt.kinds import kind_of
from xadapt.kinds.candidates import counted
from xadapt.kinds.kind import Kind
from xadapt.kinds.metrics import score_of
from xadapt.mount import Element, Mounted, mount
from xadapt.store.store import address_of
from xadapt.study.inputs import load_inputs
from xadapt.study.module_loader import fold_for, load_elements, load_module, new_head, trained_head
from xadapt.study.plan import Evaluation, Plan
from xadapt.study.results import Cell, Predicted
from xadapt.study.state import Inputs, Run
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
        )
        for e, lang in places
        if (cell := found[e.layer, lang]) is not None
        for metric in e.task.metrics
    ]


def predictions_of(run: Run, evaluation: Evaluation) -> list[Predicted]:
    """One expression's predictions in all its languages; labels are not asked for.

    Raises:
        UserError: as ``scores_of``.
    """
    kind = kind_of(evaluation.task, evaluation.layer)
    mounted, head = mounted_with_head(run, evaluation, kind)
    made: list[Predicted] = []
    known: Known = {}
    for lang in evaluation.languages:
        examples, items = _inputs(run, evaluation, lang, evaluation.split)
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
    mounted, head = mounted_with_head(run, evaluation, kind, elements)
    known: Known = {}
    for lang, group in missing.items():
        examples, items = _inputs(run, evaluation, lang, evaluation.split)
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
        "backbone": plan.backbone.name,
        "method": str(plan.method),
        "data": plan.source.name,
        "generated": plan.source.generated,
        "revision": plan.source.revision(evaluation.asks.name, lang, evaluation.split),
        "scoring_version": SCORING_VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def mounted_with_head(
    run: Run, evaluation: Evaluation, kind: Kind, elements: Sequence[Element] | None = None
) -> tuple[Mounted, nn.Module]:
    """The mounted stack, folded, and the head that an expression is evaluated with."""
    if elements is None:
        elements = load_elements(run, evaluation.stack, evaluation.seed)
    mounted = mount(run.backbone, elements, fold=fold_for(run.backbone))
    if evaluation.module is None:
        return mounted, new_head(run.backbone, kind, mounted).to(run.backbone.device)
    weights = load_module(run, evaluation.module).head
    return mounted, trained_head(run.backbone, kind, mounted, weights, evaluation.expr)


def _inputs(run: Run, evaluation: Evaluation, lang: str, split: str) -> Inputs:
    task, data, length = evaluation.task, evaluation.asks, evaluation.max_length
    sample = evaluation.sample if split == evaluation.split else None
    return load_inputs(run, task, data, languages=[lang], split=split, max_length=length, sample=sample)


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
            "mounted": evaluation.mounted,
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
