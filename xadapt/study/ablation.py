"""What each operand of a combination is worth to the trained stack: its score with the operand left out.

Nothing is trained again: the modules above a combination, and the head, are those that were trained on
all of it. So a score says what this stack makes of an operand, not what a stack without it could reach.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Group
from rich.table import Table
from rich.text import Text

from xadapt.common.errors import UserError
from xadapt.mount.elements import without
from xadapt.stacks.stack import Combined, inner, trains
from xadapt.store.store import Store
from xadapt.study.analysis import as_written, dev_of, refuse_untrained, world_of
from xadapt.study.evaluation import Scoring
from xadapt.study.inputs import Data
from xadapt.study.module_loader import Shelf
from xadapt.study.plan import Evaluation, Plan
from xadapt.study.results import Cell, Watch

WIDE = 6  # languages across; more go down
DIAGNOSIS = (
    "without one operand at a time; the rest and the head are as they were trained with all of them; "
    "in brackets the difference to the whole"
)
NO_DEV = "there is no dev set: an operand chosen by these scores is chosen on test"


def importance_tables(
    plan: Plan,
    store: Store,
    evaluation: Evaluation,
    watch: Watch,
    languages: Sequence[str] | None = None,
) -> Iterator[Group]:
    """A table for each fusion and merge of the stack: the score without each of its operands.

    Scores are kept in the store, as those of ``xadapt run`` are. A ``dare`` merge draws anew what it
    drops from the operands that are left.

    Args:
        languages: where to evaluate, ``all`` for all there are; None for English dev (``learned.dev_of``).

    Raises:
        UserError: nothing is combined, the stack is not trained, no data in a language.
    """
    found = [
        (at, shown)
        for at, (written, _) in enumerate(as_written(evaluation))
        if isinstance(shown := inner(written.part), Combined)
        and not trains(shown)
        and len(shown.operands) > 1
    ]
    if not found:
        raise UserError(
            f"'{evaluation.expr}' combines nothing that could be left out",
            expected="a fusion or a merge of two or more operands in the stack",
            do="ask for an expression such as fuse(mnli, squad_v1) > xnli",
        )
    refuse_untrained(plan, store, evaluation)
    asked = _asked(plan, evaluation, languages)
    shelf = Shelf(plan, store)
    scoring = Scoring(plan, store, Data(plan.source, plan.backbone, store, watch), shelf, watch)
    elements = shelf.elements(evaluation.stack, evaluation.seed)
    whole = scoring.cells([asked])
    for at, combined in found:
        rows: list[tuple[str, list[Cell] | str]] = [("nothing", whole)]
        for i, operand in enumerate(combined.operands):
            less = replace(
                asked,
                expr=f"{asked.expr} without {operand}",
                mounted={"whole": asked.mounted, "without": [at, i]},
            )
            left = [*elements[:at], without(elements[at], i), *elements[at + 1 :]]
            try:
                rows.append((str(operand), scoring.cells([less], left)))
            except UserError as error:  # nothing is left that acts; the data has just served the whole
                rows.append((str(operand), error.got))
        yield _table(str(combined), asked, rows, world_of(plan))


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


def _table(
    combination: str, asked: Evaluation, rows: Sequence[tuple[str, list[Cell] | str]], world: str
) -> Group:
    """Operands down, languages across; the other way round where there are many languages.

    Args:
        rows: what is left out and the scores without it, or why there are none; the first leaves out nothing.
    """
    metric = asked.task.metrics[0]
    columns = [*asked.languages, *(["mean"] if len(asked.languages) > 1 else [])]
    grid = [["left out", *columns]]
    whole: list[float] = []
    counts: set[int] = set()
    for name, cells in rows:
        if isinstance(cells, str):
            grid.append([name, *("-" for _ in columns)])
            continue
        scores = [c.score for c in cells if c.metric == metric]
        scores += [statistics.mean(scores)] if len(scores) > 1 else []
        counts |= {c.n for c in cells}
        beside: Sequence[float | None] = whole or [None] * len(scores)
        grid.append([name, *map(_shown, scores, beside)])
        whole = whole or scores
    if len(asked.languages) > WIDE:
        grid = [list(line) for line in zip(*grid, strict=True)]
    table = Table()
    for i, column in enumerate(grid[0]):
        table.add_column(Text(column), justify="right" if i else "left", no_wrap=not i)
    for line in grid[1:]:
        table.add_row(*map(Text, line))
    items = " to ".join(f"{n:,}" for n in sorted({min(counts), max(counts)}))
    split, data = asked.split, asked.asks.name
    title = (
        f"{combination}: importance of its operands, a diagnosis on {split} of {data}: "
        f"{asked.task.name} {metric} ({items} items a language){world}"
    )
    notes = [DIAGNOSIS, *([NO_DEV] if split != "dev" else [])]
    failed = [f"without {name}: {why}" for name, why in rows if isinstance(why, str)]
    return Group(Text(title, style="bold"), table, *(Text(t, style="dim") for t in (*failed, *notes)))


def _shown(score: float, whole: float | None) -> str:
    if whole is None:
        return f"{score:.1f}"
    return f"{score:.1f} ({f'{score - whole:+.2f}' if score != whole else '0'})"
