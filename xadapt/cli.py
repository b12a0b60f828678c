"""The command line: options, typed once, into calls."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from xadapt.console import one_message, wide
from xadapt.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.data.examples import Source
    from xadapt.results import Results
    from xadapt.tasks import Task


@dataclass(frozen=True)
class Tasks:
    """Show the catalogue: every task, what it asks, its languages, where it can come from."""

    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    intermediate: Path | None = None
    """folder of intermediate tasks; DATA/../intermediate by default"""


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


@dataclass(frozen=True)
class Layers:
    """Score retrieval at every hidden layer, in one pass over the data, and show the curve."""

    expressions: tyro.conf.Positional[tuple[str, ...]] = ()
    """what to evaluate, such as "mnli" "squad_v1"; the bare backbone where none is named"""
    task: str = "tatoeba"
    """a retrieval task that trains nothing, such as tatoeba or bucc"""
    backbone: str = "pocket"
    """pocket, a hub id such as FacebookAI/xlm-roberta-base, or a folder in HF format"""
    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    intermediate: Path | None = None
    """folder of intermediate tasks; DATA/../intermediate by default"""
    method: str = "lora"
    """lora(r=8), bottleneck(reduction=4) or full, where an expression names none"""
    langs: str = "all"
    """languages to evaluate in, such as de,ru; all that the data has by default"""
    split: Literal["auto", "dev", "test"] = "auto"
    """what to evaluate on; auto is test where it has real labels, else dev"""
    seeds: str = "0"
    """seeds of the modules, such as 0,1,2"""
    store: Path = Path(".xadapt")
    """where modules and scores are kept"""
    dry_run: bool = False
    """show the plan and stop"""
    json: Path | None = None
    """write the scores of every layer and language there as well"""
    max_steps: int | None = None
    """optimiser steps at most, where a module is missing and is trained"""
    max_length: int | None = None
    """tokens a sequence; by default the task's"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto takes bf16 where the hardware has it and the width gains from it"""
    threads: int | None = None
    """CPU threads; by default all cores"""


@dataclass(frozen=True)
class Modules:
    """Show what the store holds, or prove every module in it."""

    action: tyro.conf.Positional[Literal["ls", "verify"]] = "ls"
    """ls lists; verify reads every file and checks it against its manifest"""
    store: Path = Path(".xadapt")
    """where modules and scores are kept"""


Command = (
    Annotated[Tasks, tyro.conf.subcommand("tasks")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Layers, tyro.conf.subcommand("layers")]
    | Annotated[Modules, tyro.conf.subcommand("modules")]
)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: exits with status 2 and one message on anything the user can put right."""
    command = tyro.cli(Command, prog="xadapt", args=arguments, description=__doc__)
    console, errors = wide(), wide(stderr=True)
    with one_message():
        match command:
            case Tasks():
                show_tasks(command, console)
            case Run():
                execute(command, console, errors)
            case Layers():
                sweep(command, console, errors)
            case Modules():
                show_modules(command, console)


def sweep(options: Layers, console: Console, errors: Console) -> Results | None:
    """``xadapt layers``: the same as ``run`` with each ``--layer`` in turn, in one pass over the data."""
    asked = tuple(
        e if e.split(">")[-1].strip() == options.task else f"{e} > {options.task}"
        for e in options.expressions
    )
    shared = {
        f.name: getattr(options, f.name) for f in fields(options) if f.name not in ("expressions", "task")
    }
    return execute(
        Run(asked or (options.task,), **shared, baselines=False), console, errors, every_layer=True
    )


def execute(options: Run, console: Console, errors: Console, *, every_layer: bool = False) -> Results | None:
    """``xadapt run``; the recipes call it too. Returns None on a dry run."""
    seeds = [_whole(word, "--seeds") for word in _words(options.seeds, "--seeds")]
    languages = None if options.langs == "all" else _words(options.langs, "--langs")
    for option in ("epochs", "batch_size", "max_steps", "max_length", "threads", "lr"):
        value = getattr(options, option)
        if value is not None and value <= 0:
            raise UserError(f"--{option.replace('_', '-')} {value}", expected="a number above 0")

    if options.json is not None:
        check_writable(options.json)  # now, not after hours of training

    import torch

    from xadapt.backbone import Backbone
    from xadapt.curve import best_layers, print_layers
    from xadapt.data.sources import open_source
    from xadapt.methods import parse_method
    from xadapt.plan import Overrides, make_plan
    from xadapt.report import Bars, as_json, plan_table, print_results, write_json
    from xadapt.store import Store
    from xadapt.study import run

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    method = parse_method(options.method)
    source = open_source(options.data, options.intermediate)
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
        layers=range(backbone.layers + 1) if every_layer else None,
    )
    console.print(plan_table(plan, store))
    if options.dry_run:
        return None
    results = run(plan, store, watch=Bars(errors), baselines=options.baselines)
    console.print()
    content = as_json(results)
    if every_layer:
        print_layers(results, console)
        content["layers"] = best_layers(results)
    else:
        print_results(results, console)
    if options.json is not None:
        write_json(options.json, content)
    return results


def show_tasks(options: Tasks, console: Console) -> None:
    """``xadapt tasks``"""
    from rich.table import Table

    from xadapt.data.sources import open_source
    from xadapt.tasks import CATALOGUE

    source = open_source(options.data, options.intermediate)
    table = Table(title=f"tasks (data: {source.name})", title_justify="left")
    for column in ("task", "kind", "metric", "trains on", "here", "languages", "what it is", "licence"):
        table.add_column(column)
    for task in CATALOGUE.values():
        split, here = _here(source, task)
        table.add_row(
            task.name,
            f"{task.kind}\n[dim]{task.role}[/]",
            "\n".join(task.metrics),
            task.train or "-",
            f"{split}: {len(here)}" if here else "-",
            " ".join(task.languages),
            f"{task.summary}\n[dim]{task.url}[/]",
            task.licence,
        )
    console.print(table)


def show_modules(options: Modules, console: Console) -> None:
    """``xadapt modules`` and ``xadapt modules verify``"""
    from rich.markup import escape
    from rich.table import Table

    from xadapt.report import size
    from xadapt.store import Store

    store = Store(options.store)
    if options.action == "verify":
        results = store.verify()
        for address, expression, problem in results:
            state = "[green]ok[/]" if problem is None else "[red]broken[/]"
            console.print(f"{state}  {address}  {escape(expression)}")
            if problem is not None:
                console.print(f"        {problem}", markup=False)
        broken = sum(problem is not None for _, _, problem in results)
        console.print(f"{len(results)} modules, {broken} broken")
        if broken:
            raise UserError(
                f"{broken} of {len(results)} modules in {options.store} are broken",
                do="remove their folders; the next run trains them again",
            )
        return
    table = Table(title=f"modules in {options.store}", title_justify="left")
    for column in (
        "address",
        "expression",
        "seed",
        "method",
        "backbone",
        "data",
        "dev",
        "parameters",
        "on disk",
        "made",
    ):
        table.add_column(column)
    for m in store.modules():
        table.add_row(
            m.address,
            escape(m.expression),
            str(m.seed),
            m.method,
            m.backbone,
            m.data,
            m.dev,
            f"{m.parameters:,}",
            size(m.bytes),
            m.created,
        )
    console.print(table)


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written at the end."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(
            "results cannot be written there", expected="a file in a folder that can be written", path=path
        )


def _here(source: Source, task: Task) -> tuple[str, tuple[str, ...]]:
    """The split that counts and its languages; none where its labels are placeholders."""
    try:
        split = source.test_split(task.name) if task.role == "target" else "train"
    except UserError:
        return "no labels", ()
    return split, source.languages(task.name, split)


def _words(text: str, option: str) -> list[str]:
    words = [w for w in re.split(r"[,\s]+", text.strip()) if w]
    if not words:
        raise UserError(f"{option} {text!r} names nothing", expected="values separated by commas")
    return list(dict.fromkeys(words))


def _whole(word: str, option: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", word):
        raise UserError(f"{option}: {word!r} is not a seed", expected="whole numbers from 0, such as 0,1,2")
    return int(word)


if __name__ == "__main__":
    main()
