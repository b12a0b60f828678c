"""What a study gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from xadapt.common.errors import UserError
from xadapt.common.output import write_text
from xadapt.common.text_tables import TextTable, csv_table, html_table, latex_table, markdown_table
from xadapt.statistics.estimate import Estimate
from xadapt.study.choosing import Wanted, chosen, listed
from xadapt.tasks.examples import Example

OTHERS = "others"  # the languages but English


def is_pocket(backbone: str) -> bool:
    """Whether the name is that of one of the pocket world's backbones; needs no torch."""
    return backbone.partition("-")[0] == "pocket"


@dataclass(frozen=True)
class Cell:
    """One score, 0..100.

    Attributes:
        n: items that it is a score of.
        layer: whose hidden states are read; None for the last.
        module: the address of the target's module; None where the target trains nothing.
        backbone, method, data: names; ``method`` is the one where the expression names none.
        key: where the store keeps it, with what each item adds to the score (``Evidence``).
        instead: of ``lang(...)``: what stands in the place of a module that the language does not have.
    """

    expr: str
    seed: int
    task: str
    lang: str
    split: str
    metric: str
    score: float
    n: int
    layer: int | None = None
    module: str | None = None
    backbone: str = ""
    method: str = ""
    data: str = ""
    key: str = ""
    instead: str = ""


@dataclass(frozen=True)
class ModuleRow:
    """One module of the study: trained now or found; what its training took, what it weighs."""

    expr: str
    seed: int
    trained: bool
    seconds: float
    parameters: int
    bytes: int
    address: str


@dataclass(frozen=True)
class Baseline:
    """A score without any model, beside the cells of the same task and language."""

    name: str
    task: str
    lang: str
    split: str
    metric: str
    score: float
    n: int


@dataclass(frozen=True)
class Finding:
    """What the cells of one task say of an expression, with an interval.

    Attributes:
        what: ``others`` (the mean of the languages but English), ``gap`` (English minus that), or ``gain``
            (that minus the one of ``against``).
        against: the expression that a gain is over; empty for what is no comparison.
    """

    backbone: str
    method: str
    task: str
    metric: str
    expr: str
    what: str
    against: str
    estimate: Estimate

    @property
    def compares(self) -> bool:
        """Whether it is a difference, of which it is asked whether it is shown."""
        return self.what != OTHERS

    @property
    def text(self) -> str:
        """Its estimate in words: ``no difference shown (...)`` where it compares and shows none."""
        return self.estimate.text(difference=self.compares)


@dataclass(frozen=True)
class Failure:
    """A module or an evaluation that could not be made; the rest of the study went on.

    Attributes:
        what: the module or the evaluation, for people.
        error: the message.
    """

    backbone: str
    expr: str
    seed: int
    what: str
    error: str


@dataclass(frozen=True)
class Predicted:
    """One language's predictions, in the kind's own form, for examples that may have no labels;
    ``revision`` is the data's."""

    lang: str
    examples: Sequence[Example]
    predictions: Sequence[Any]
    revision: str


@dataclass(frozen=True)
class Results:
    """Everything that a study gives.

    Attributes:
        backbone, data: names; of a grid all of them, with commas between.
        generated: whether the data was, see ``Source``.
        findings: what its cells say with intervals: gains are against the first expression of a task.
        seconds: from start to end, waiting included.
        failures: what is missing, and why.
    """

    backbone: str
    data: str
    generated: bool
    cells: tuple[Cell, ...]
    modules: tuple[ModuleRow, ...]
    baselines: tuple[Baseline, ...]
    seconds: float
    findings: tuple[Finding, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def pocket(self) -> bool:
        """Whether data or a backbone are the pocket world's: evidence for nothing about real languages."""
        return self.generated or any(map(is_pocket, self.backbone.split(", ")))

    def __repr__(self) -> str:
        seeds = len({c.seed for c in self.cells})
        return (
            f"Results({len(self.cells)} scores of {len({c.expr for c in self.cells})} expressions, {seeds} "
            f"seed{'s' * (seeds != 1)}, {listed(c.task for c in self.cells)}, {self.backbone} on {self.data}"
            f"{', generated' * self.generated}{f', {len(self.failures)} failed' if self.failures else ''})"
        )

    def select(
        self, *, task: Wanted = None, lang: Wanted = None, expr: Wanted = None, seed: Wanted = None
    ) -> Results:
        """The same with fewer scores: one value or several of each; None for all.

        Findings are of all languages and seeds: where some of these are chosen, there are none.
        Modules and failures stay.

        Raises:
            UserError: no score is of that, or of all that at once.
        """
        cells = chosen(self.cells, lambda c: c, task=task, lang=lang, expr=expr, seed=seed)
        tasks, langs, exprs = ({getattr(c, name) for c in cells} for name in ("task", "lang", "expr"))
        whole = lang is None and seed is None
        return replace(
            self,
            cells=tuple(cells),
            baselines=tuple(b for b in self.baselines if b.task in tasks and b.lang in langs),
            findings=tuple(f for f in self.findings if whole and f.task in tasks and f.expr in exprs),
        )

    def table(self) -> TextTable:
        """A line an expression, task and metric; a column a language, with the mean over seeds, then mean
        of the others, gap and gain with their intervals."""
        return _summary(self)

    def to_markdown(self) -> str:
        """``table`` as Markdown."""
        return markdown_table(self.table())

    def to_latex(self) -> str:
        """``table`` for LaTeX; needs the package booktabs."""
        return latex_table(self.table())

    def to_csv(self, path: Path | str) -> None:
        """Write one line a score, whole or not at all.

        Raises:
            UserError: the place refuses.
        """
        write_text(Path(path), csv_table(cell_table(self.cells)))

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``: one row a score.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as missing:
            raise UserError("pandas is not installed", do="pip install pandas") from missing
        table = cell_table(self.cells)
        return pandas.DataFrame(list(table.rows), columns=list(table.columns))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_table(self.table())


# -- lines ------------------------------------------------------------------------------------


CELL_COLUMNS = (
    "backbone", "method", "data", "expr", "seed", "task", "lang", "split", "metric", "score", "n", "layer",
    "module", "key", "instead",
)  # fmt: skip


def cell_table(cells: Iterable[Cell]) -> TextTable:
    """One line a score, with all that is known of it."""
    rows = (tuple(getattr(cell, name) for name in CELL_COLUMNS) for cell in cells)
    return TextTable(CELL_COLUMNS, tuple(rows))


def _summary(results: Results) -> TextTable:
    naming = ("backbone", "method", "data", "task", "metric", "split", "layer", "expr")
    languages = sorted(dict.fromkeys(c.lang for c in results.cells), key=lambda lang: lang != "en")
    said = {(f.backbone, f.method, f.task, f.metric, f.expr, f.what): f.text for f in results.findings}
    whats = [what for what in ("others", "gap", "gain") if any(f.what == what for f in results.findings)]
    lines: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    seeds: dict[tuple[Any, ...], set[int]] = {}
    for cell in results.cells:
        name = tuple(getattr(cell, field) for field in naming)
        lines.setdefault(name, {}).setdefault(cell.lang, []).append(cell.score)
        seeds.setdefault(name, set()).add(cell.seed)
    rows = [
        (
            *name,
            len(seeds[name]),
            *(mean(scores[lang]) if lang in scores else None for lang in languages),
            *(said.get((*name[:2], *name[3:5], name[-1], what)) for what in whats),
        )
        for name, scores in lines.items()
    ]
    ends = ["mean of others" if what == "others" else what for what in whats]
    table = TextTable((*naming, "seeds", *languages, *ends), tuple(rows))
    return table.without(table.constant(("backbone", "method", "data", "split", "layer")))
