"""``xadapt results``: the scores that a store holds, and how expressions compare by them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xadapt.cli.checks import check_store, whole, words
from xadapt.common.errors import UserError
from xadapt.common.output import check_place, write_output

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.common.text_tables import TextTable
    from xadapt.store.store import Store
    from xadapt.study.kept import Kept

Format = Literal["table", "markdown", "csv", "latex", "json"]


@dataclass(frozen=True)
class ShowResults:
    """List the scores that the store holds, whichever runs made them; compare expressions by them."""

    task: str | None = None
    """tasks, such as xnli,udpos; all by default, here and below"""
    langs: str | None = None
    """languages, such as de,sw"""
    expr: tuple[str, ...] = ()
    """expressions, each in quotes"""
    seeds: str | None = None
    """seeds, such as 0,1,2"""
    backbone: str | None = None
    """one backbone, by the name that is listed"""
    method: str | None = None
    """one method, by the name that is listed"""
    split: str | None = None
    """dev or test"""
    metric: str | None = None
    """metrics, such as f1"""
    against: str | None = None
    """show the differences of every other expression to this one, with intervals"""
    studies: bool = False
    """list the runs that were made with this store, and the studies that are recorded in it"""
    format: Format = "table"
    """what is printed; json as --json - gives it"""
    json: Path | None = None
    """write scores and differences to this file as well; - for standard output, tables to standard error"""
    store: Path = Path(".xadapt")
    """where modules and scores are kept"""


def show_results(options: ShowResults, console: Console, errors: Console) -> None:
    """List and compare; nothing is run.

    Raises:
        UserError: no store, no score of what is wanted, or a place that cannot be written.
    """
    if options.json is not None:
        check_place(options.json)
    named = words(options.seeds, "--seeds") if options.seeds is not None else []
    seeds = [whole(word, "--seeds") for word in named] or None
    check_store(options.store, reading=True)
    from xadapt.store.store import Store

    store = Store(options.store)
    if options.studies:
        _studies(store, options, console)
        return
    from xadapt.common.text_tables import markdown_text
    from xadapt.report.formats import (
        difference_table,
        difference_tables,
        kept_json,
        notes,
        score_table,
        score_tables,
    )
    from xadapt.study.kept import differences

    kept = _wanted(store, options, seeds)
    compared = None if options.against is None else differences(kept.scores, options.against, store)
    if options.json is not None:
        write_output(options.json, kept_json(kept, compared))
    form = options.format
    if form == "json":
        write_output(Path("-"), kept_json(kept, compared))
        return
    if form == "table":
        for table in score_tables(kept) if compared is None else difference_tables(compared):
            console.print(table)
            console.print()
        if compared is None:
            console.print(f"{len(kept.scores)} scores")
        for note in notes(kept, compared):
            console.print(note, style="dim", markup=False, highlight=False)
        return
    brief = form != "csv"
    made = score_table(kept, brief=brief) if compared is None else difference_table(compared, brief=brief)
    _write(made, form)
    for note in notes(kept, compared):  # where the form has a place for them, they go with the numbers
        match form:
            case "markdown":
                sys.stdout.write(f"\n{markdown_text(note)}\n")
            case "latex":
                sys.stdout.write(f"% {note}\n")
            case "csv":
                errors.print(note, markup=False, highlight=False)


def _wanted(store: Store, options: ShowResults, seeds: list[int] | None) -> Kept:
    from xadapt.study.kept import kept_scores

    kept = kept_scores(store)
    if not kept.scores:
        unnamed = f"; {kept.unnamed} older files do not say what they are of" if kept.unnamed else ""
        do = "'xadapt run' makes some"
        raise UserError(f"the store holds no scores that can be listed{unnamed}", do=do, path=options.store)
    with_base = [*options.expr, *([options.against] if options.against is not None else [])]
    asked = {"task": "task", "lang": "langs", "split": "split", "metric": "metric"}
    several = {
        name: None if (text := getattr(options, option)) is None else words(text, f"--{option}")
        for name, option in asked.items()
    }
    return kept.select(
        expr=with_base if options.expr else None,
        seed=seeds,
        backbone=options.backbone,
        method=options.method,
        **several,
    )


def _studies(store: Store, options: ShowResults, console: Console) -> None:
    from xadapt.report.formats import drawn, recorded_table, study_table

    named = ("task", "langs", "expr", "seeds", "backbone", "method", "split", "metric", "against")
    if given := [f"--{name}" for name in named if getattr(options, name)]:
        raise UserError(f"--studies with {', '.join(given)}", expected="all runs and studies are listed")
    tables = {"runs": study_table(store), "studies": recorded_table(store)}
    if not any(table.rows for table in tables.values()):
        raise UserError("no run or study is recorded", do="'xadapt run' records one", path=options.store)
    content = {
        name: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        for name, table in tables.items()
    }
    if options.json is not None:
        write_output(options.json, content)
    if options.format == "json":
        write_output(Path("-"), content)
        return
    titles = {"runs": f"runs with {options.store}", "studies": "recorded: 'xadapt report STUDY' writes them"}
    for i, (name, table) in enumerate((n, t) for n, t in tables.items() if t.rows):
        if options.format == "table":
            console.print(drawn(titles[name], table))
            continue
        sys.stdout.write("\n" if i else "")
        _write(table, options.format)


def _write(table: TextTable, form: Literal["markdown", "csv", "latex"]) -> None:
    sys.stdout.write(table.text(form))
