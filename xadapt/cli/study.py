"""``xadapt study FILE``: plan a grid, say what it would take, run it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from xadapt.cli.checks import check_store, whole, words
from xadapt.cli.options import say_if_hub_is_silent
from xadapt.common.errors import UserError
from xadapt.common.output import check_place, write_output

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.common.progress import Watch
    from xadapt.grid.engine import Engine
    from xadapt.grid.grid import Grid
    from xadapt.study.results import Results

SOME_FAILED = 1  # the exit status where results lack something


@dataclass(frozen=True, kw_only=True)
class Instead:
    """What stands in place of what the file says."""

    store: Path | None = None
    """where modules and scores are kept, in place of the file's; .xadapt where neither says"""
    data: str | None = None
    """pocket, hub, or a folder in XTREME's download layout, in place of the file's"""
    backbones: str | None = None
    """names with commas between, in place of the file's"""
    seeds: str | None = None
    """such as 0,1,2, in place of the file's"""
    max_steps: int | None = None
    """optimiser steps a module at most, in place of the file's"""
    device: str | None = None
    """auto, cpu, cuda, cuda:1, in place of the file's"""
    threads: int | None = None
    """CPU threads of each process; by default all cores, shared by the workers"""


@dataclass(frozen=True)
class Study(Instead):
    """Run a grid of studies that a TOML or YAML file states: expressions, targets, sizes, backbones, methods,
    seeds. What is finished is kept as it is made: the same command goes on where it was stopped. Where a part
    fails the rest is done, the results say what is missing, and the exit status is 1."""

    file: tyro.conf.Positional[Path]
    """the study, such as recipes/studies/nli_sizes.toml"""
    dry_run: bool = False
    """show what there is to do and what it would take, and stop"""
    workers: int | None = None
    """processes that share the work; by default one for each GPU, or one"""
    engine: Literal["local", "ray"] = "local"
    """who does the work: processes of this machine, or the machines of a Ray cluster"""
    address: str | None = None
    """of the Ray cluster: host:port of its head, or auto; without one, a cluster of this machine alone"""
    carry: bool = False
    """let modules and scores travel through Ray, for a store that not all machines see"""
    budget: str | None = None
    """a time, such as 2h or 1h30m: what is estimated not to fit is left out, and said"""
    power: float | None = None
    """say how many seeds, or items, would show a gain of so many points, from the variance seen"""
    baselines: bool = False
    """put scores that need no model beside the results"""
    track: Literal["tensorboard", "wandb", "mlflow"] | None = None
    """also keep a record of each training there (one worker); TensorBoard's is in the store, in tracking/"""
    json: Path | None = None
    """write the results to this file as well; - for standard output, tables then go to standard error"""


def study(options: Study, console: Console, errors: Console) -> Results | None:
    """Plan, show, run, show again, and record for ``xadapt report``. Returns None on a dry run; exits with 1
    where a part failed."""
    from xadapt.cli.study_file import read_study
    from xadapt.store.reports import check_report_name

    said = read_study(options.file) | _instead(options)
    question = said.pop("question", f"What {options.file.name} states")
    store = Path(said.get("store", ".xadapt"))
    check_report_name(options.file.stem)  # the record's
    check_store(store)
    if options.json is not None:
        check_place(options.json)  # now, not after hours of training
    if options.power is not None and not 0 < options.power <= 100:
        raise UserError(f"--power {options.power:g}", expected="a gain in points, above 0 and at most 100")

    from xadapt.grid.grid import Grid
    from xadapt.report.filling import Filling
    from xadapt.report.grid_table import grid_table, power_table, print_grid_results
    from xadapt.report.tables import as_json

    grid = Grid(**said)
    watch: Watch = Filling(errors)
    tracked = None
    if options.track is not None:
        from xadapt.report.tracking import Tracked

        watch = tracked = Tracked(options.track, store / "tracking", watch)
    forecast = grid.forecast(workers=options.workers, budget=options.budget)
    if tracked and (forecast.workers > 1 or options.engine != "local"):
        raise UserError(
            "--track with several workers",
            expected="one: what other processes train is not followed",
            do="take --workers 1, or leave --track out",
        )
    console.print(grid_table(forecast))
    if options.dry_run:
        say_if_hub_is_silent(str(said.get("data", "pocket")), errors)
        return None
    results = grid.run(
        workers=options.workers,
        budget=options.budget,
        watch=watch,
        baselines=options.baselines,
        engine=_engine(options, grid),
    )
    if tracked:
        tracked.results(results)
    console.print()
    print_grid_results(results, console)
    if options.power is not None:
        console.print(power_table(results, options.power))
    if options.json is not None:
        write_output(options.json, as_json(results))
    if results.cells:
        _record(options, results, store, question, said, console)
    if results.failures:
        sys.stdout.flush()
        sys.exit(SOME_FAILED)
    return results


def _engine(options: Study, grid: Grid) -> Engine | None:
    """The engine that the options name; None for this machine's."""
    if options.engine == "local":
        if options.address is not None or options.carry:
            raise UserError("--address or --carry without --engine ray", do="add it, or leave them out")
        return None
    from xadapt.grid.ray_engine import OnRay

    return OnRay(grid, address=options.address, cpus=options.threads or 1, carried=options.carry)


def _record(
    options: Study, results: Results, store: Path, question: str, said: dict[str, Any], console: Console
) -> None:
    from xadapt.record.recording import record_of

    gains = [finding for finding in results.findings if finding.what == "gain"]
    shown = [finding for finding in gains if finding.estimate.shown]
    answer = f"Shown: {len(shown)} of {len(gains)} gains over the first expression of a target."
    definition = {key: str(value) if isinstance(value, Path) else value for key, value in said.items()}
    name = options.file.stem
    record_of(results, store, name=name, question=question, answer=answer, definition=definition)
    console.print(f"recorded: 'xadapt report {name} --store {store}' writes a page", highlight=False)


def _instead(options: Study) -> dict[str, Any]:
    found = {f.name: value for f in fields(Instead) if (value := getattr(options, f.name)) is not None}
    if options.backbones is not None:
        found["backbones"] = words(options.backbones, "--backbones")
    if options.seeds is not None:
        found["seeds"] = [whole(word, "--seeds") for word in words(options.seeds, "--seeds")]
    return found
