"""The command line: options, typed once, into calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from xadapt.commands.checks import above_zero, check_writable, whole, words
from xadapt.commands.modules import Modules, modules
from xadapt.commands.predict import Predict, predict
from xadapt.commands.score import Score, score
from xadapt.console import one_message, wide
from xadapt.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.results import Results
    from xadapt.tasks import Catalogue


@dataclass(frozen=True)
class Tasks:
    """Show the catalogue: every task, what it asks, its languages, where it can come from."""

    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    intermediate: Path | None = None
    """folder of intermediate tasks; DATA/../intermediate by default"""
    tasks: Path | None = None
    """a TOML file with tasks of your own"""


@dataclass(frozen=True)
class Run:
    """Train what a list of expressions needs and evaluate each zero-shot."""

    expressions: tyro.conf.Positional[tuple[str, ...]]
    """stack expressions, such as "xnli" "mnli > xnli"; gains are against the first"""
    backbone: str = "pocket"
    """pocket, a hub id such as FacebookAI/xlm-roberta-base, or a folder in HF format"""
    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    intermediate: Path | None = None
    """folder of intermediate tasks; DATA/../intermediate by default"""
    tasks: Path | None = None
    """a TOML file with tasks of your own"""
    method: str = "lora"
    """lora(r=8), bottleneck(reduction=4) or full, where an expression names none"""
    langs: str = "all"
    """languages to evaluate in, such as en,de; all that the data has by default"""
    split: Literal["auto", "dev", "test"] = "auto"
    """what to evaluate on; auto is test where it has real labels, else dev"""
    seeds: str = "0"
    """seeds, such as 0,1,2"""
    store: Path = Path(".xadapt")
    """where modules and scores are kept"""
    dry_run: bool = False
    """show the plan and stop"""
    json: Path | None = None
    """write the results there as well"""
    lr: float | None = None
    """peak learning rate; by default the method's"""
    epochs: int | None = None
    """passes over the training data; by default the task's"""
    batch_size: int | None = None
    """items an optimiser step; by default the task's"""
    max_steps: int | None = None
    """optimiser steps at most"""
    max_length: int | None = None
    """tokens a sequence; by default the task's"""
    layer: int | None = None
    """hidden layer that retrieval pools, 0 for the embeddings; by default 14/24 of the depth"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto takes bf16 where the hardware has it and the width gains from it"""
    threads: int | None = None
    """CPU threads; by default all cores"""
    baselines: bool = True
    """put scores that need no model beside the results"""


Command = (
    Annotated[Tasks, tyro.conf.subcommand("tasks")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Score, tyro.conf.subcommand("score")]
    | Annotated[Modules, tyro.conf.subcommand("modules")]
)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: exits with status 2 and one message on anything the user can put right."""
    command = tyro.cli(
        Command,
        prog="xadapt",
        args=arguments,
        description=__doc__,
        config=(
            tyro.conf.CascadeSubcommandArgs,
            tyro.conf.OmitSubcommandPrefixes,
            tyro.conf.OmitArgPrefixes,
        ),
    )
    console, errors = wide(), wide(stderr=True)
    with one_message():
        match command:
            case Tasks():
                show_tasks(command, console)
            case Run():
                execute(command, console, errors)
            case Predict():
                predict(command, console, errors)
            case Score():
                score(command, console, errors)
            case Modules():
                modules(command, console)


def execute(options: Run, console: Console, errors: Console) -> Results | None:
    """``xadapt run``; the recipes call it too. Returns None on a dry run."""
    seeds = [whole(word, "--seeds") for word in words(options.seeds, "--seeds")]
    languages = None if options.langs == "all" else words(options.langs, "--langs")
    above_zero(options, "epochs", "batch_size", "max_steps", "max_length", "threads", "lr")
    if options.json is not None:
        check_writable(options.json)  # now, not after hours of training

    import torch

    from xadapt.backbone import Backbone
    from xadapt.data.sources import open_source
    from xadapt.methods import parse_method
    from xadapt.plan import Overrides, make_plan
    from xadapt.report import Bars, as_json, plan_table, print_results, write_json
    from xadapt.store import Store
    from xadapt.study import run

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    method = parse_method(options.method)
    catalogue = _catalogue(options.tasks)
    source = open_source(options.data, options.intermediate, catalogue)
    store = Store(options.store)
    backbone = Backbone.from_pretrained(options.backbone, device=options.device, dtype=options.dtype)
    plan = make_plan(
        options.expressions,
        backbone=backbone,
        source=source,
        method=method,
        seeds=seeds,
        languages=languages,
        split=None if options.split == "auto" else options.split,
        overrides=Overrides(
            options.lr,
            options.epochs,
            options.batch_size,
            options.max_steps,
            options.max_length,
            options.layer,
        ),
        catalogue=catalogue,
    )
    console.print(plan_table(plan, store))
    if options.dry_run:
        return None
    results = run(plan, store, watch=Bars(errors), baselines=options.baselines)
    console.print()
    print_results(results, console)
    if options.json is not None:
        write_json(options.json, as_json(results))
    return results


def show_tasks(options: Tasks, console: Console) -> None:
    """``xadapt tasks``"""
    from xadapt.data.sources import open_source
    from xadapt.listing import tasks_table

    catalogue = _catalogue(options.tasks)
    console.print(tasks_table(open_source(options.data, options.intermediate, catalogue), catalogue))


def _catalogue(path: Path | None) -> Catalogue:
    """Our tasks, and those of the user's file."""
    from xadapt.data.own_tasks import read_tasks
    from xadapt.tasks import CATALOGUE

    return CATALOGUE if path is None else read_tasks(path)




if __name__ == "__main__":
    main()
