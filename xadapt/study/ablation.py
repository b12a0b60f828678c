"""What each operand of a combination is worth to the trained stack: its score with the operand left out.

Nothing is trained again: the modules above a combination, and the head, are those that were trained on
all of it. So a score says what this stack makes of an operand, not what a stack without it could reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from xadapt.common.errors import UserError
from xadapt.mount.elements import without
from xadapt.stacks.stack import Combined, trains, undropped
from xadapt.study.analysis import as_written, dev_of, refuse_untrained
from xadapt.study.evaluation import scores_of
from xadapt.study.module_loader import load_elements
from xadapt.study.plan import Evaluation, Plan
from xadapt.study.results import Cell
from xadapt.study.state import Run


@dataclass(frozen=True)
class Ablation:
    """The scores of a stack without each operand of one combination.

    Attributes:
        combination: as it is written.
        evaluation: what was asked: task, split, languages.
        whole: the scores of all of it.
        without: each operand, and the scores without it, or why there are none.
    """

    combination: str
    evaluation: Evaluation
    whole: tuple[Cell, ...]
    without: tuple[tuple[str, tuple[Cell, ...] | str], ...]


def ablations(run: Run, evaluation: Evaluation, languages: Sequence[str] | None = None) -> Iterator[Ablation]:
    """For each fusion and merge of the stack the scores without each of its operands.

    Scores are kept in the store, as those of ``xadapt run`` are. A ``dare`` merge draws anew what it
    drops from the operands that are left.

    Args:
        languages: where to evaluate, ``all`` for all there are; None for English dev (``analysis.dev_of``).

    Raises:
        UserError: nothing is combined, the stack is not trained, no data in a language.
    """
    found = [
        (at, shown)
        for at, (written, _) in enumerate(as_written(evaluation))
        if isinstance(shown := undropped(written.part), Combined)
        and not trains(shown)
        and len(shown.operands) > 1
    ]
    if not found:
        raise UserError(
            f"'{evaluation.expr}' combines nothing that could be left out",
            expected="a fusion or a merge of two or more operands in the stack",
            do="ask for an expression such as fuse(mnli, squad_v1) > xnli",
        )
    refuse_untrained(run, evaluation)
    asked = _asked(run.plan, evaluation, languages)
    elements = load_elements(run, evaluation.stack, evaluation.seed)
    whole = tuple(scores_of(run, [asked]))
    for at, combined in found:
        rows: list[tuple[str, tuple[Cell, ...] | str]] = []
        for i, operand in enumerate(combined.operands):
            less = replace(
                asked,
                expr=f"{asked.expr} without {operand}",
                mounted={"whole": asked.mounted, "without": [at, i]},
            )
            left = [*elements[:at], without(elements[at], i), *elements[at + 1 :]]
            try:
                rows.append((str(operand), tuple(scores_of(run, [less], left))))
            except UserError as error:  # nothing is left that acts; the data has just served the whole
                rows.append((str(operand), error.got))
        yield Ablation(str(combined), asked, whole, tuple(rows))


def _asked(plan: Plan, evaluation: Evaluation, languages: Sequence[str] | None) -> Evaluation:
    """The evaluation on dev, in the languages that are asked for."""
    data, split, chosen = dev_of(plan, evaluation)
    task, source = evaluation.task, plan.source
    if languages is not None:
        data, split = task, "dev" if source.languages(task.name, "dev") else source.test_split(task.name)
        available = source.languages(task.name, split)
        chosen = available if list(languages) == ["all"] else tuple(languages)
        if lacking := [lang for lang in chosen if lang not in available]:
            raise UserError(
                f"{task.name} ({split}) has no data in: {', '.join(lacking)}",
                expected=f"some of {', '.join(available)}, or all",
                do="change --langs",
            )
    return replace(evaluation, split=split, languages=chosen, data=None if data.name == task.name else data)
