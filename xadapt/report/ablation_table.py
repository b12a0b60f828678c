"""What each operand of a combination is worth, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from xadapt.report.sheet import Column, Sheet
from xadapt.study.ablation import Ablation

WIDE = 6  # languages across; more go down
DIAGNOSIS = (
    "without one operand at a time; the rest and the head are as they were trained with all of them; "
    "in brackets the difference to the whole"
)
NO_DEV = "there is no dev set: an operand chosen by these scores is chosen on test"


def ablation_table(found: Ablation, world: str = "") -> Group:
    """Operands down, languages across; the other way round where there are many languages.

    Args:
        world: what the title says of generated data.
    """
    asked, rows = found.evaluation, [("nothing", found.whole), *found.without]
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
    table = Sheet(grid[0][0], *(Column(name, right=True) for name in grid[0][1:]))
    for line in grid[1:]:
        table.add(*line)
    items = " to ".join(f"{n:,}" for n in sorted({min(counts), max(counts)}))
    split, data = asked.split, asked.asks.name
    title = (
        f"{found.combination}: importance of its operands, a diagnosis on {split} of {data}: "
        f"{asked.task.name} {metric} ({items} items a language){world}"
    )
    notes = [DIAGNOSIS, *([NO_DEV] if split != "dev" else [])]
    failed = [f"without {name}: {why}" for name, why in rows if isinstance(why, str)]
    return Group(Text(title, style="bold"), table, *(Text(t, style="dim") for t in (*failed, *notes)))


def _shown(score: float, whole: float | None) -> str:
    if whole is None:
        return f"{score:.1f}"
    return f"{score:.1f} ({f'{score - whole:+.2f}' if score != whole else '0'})"
