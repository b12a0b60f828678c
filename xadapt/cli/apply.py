"""``xadapt apply``: texts in, labels out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from xadapt.cli.checks import check_store
from xadapt.common.errors import UserError
from xadapt.common.files import json_text
from xadapt.common.output import check_place, writing

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Apply:
    """Answer texts with a trained stack, a line an example: with what evaluation would have scored. Parts of
    an example are premise and hypothesis, question and context, or context and options."""

    module: tyro.conf.Positional[str]
    """an expression such as "mnli > xnli", an address, a name, a folder, or a hub id"""
    source: Annotated[Path, tyro.conf.arg(name="in")] = Path("-")
    """texts, - for standard input: a line an example, tabs between its parts, or .jsonl with their names;
    other names there, such as id, are passed on"""
    out: Path = Path("-")
    """answers, - for standard output: .tsv has the prediction alone, all else JSON lines"""
    form: Literal["auto", "tsv", "jsonl"] = "auto"
    """of the texts; by default as the name of the file says, or else its first line"""
    store: Path = Path(".xadapt")
    """where modules are kept"""
    backbone: str | None = None
    """pocket, a hub id or a folder; by default what the module was trained on"""
    seed: int | None = None
    """of an expression's modules; by default the lowest that the store has"""
    lang: str | None = None
    """of the texts, where the expression has lang(...): whose language module stands below"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto takes bf16 where the hardware has it and the width gains from it"""


def apply(options: Apply, errors: Console) -> None:
    """Open the stack, read, answer, write."""
    check_store(options.store)
    check_place(options.out)
    _check_apart(options.source, options.out)

    from xadapt import load
    from xadapt.data.given import count, form_of, given_rows
    from xadapt.report.progress import Bars
    from xadapt.study.applying import applied, as_line, as_object, names_of, words_of

    predictor = load(
        options.module,
        store=options.store,
        backbone=options.backbone,
        seed=options.seed,
        language=options.lang,
        device=options.device,
        dtype=options.dtype,
    )
    form = form_of(options.source) if options.form == "auto" else options.form
    rows = given_rows(options.source, form, names_of(predictor), words_of(predictor))

    plain = options.out.suffix == ".tsv"
    with writing(options.out) as write, Bars(errors).stage("answer", count(options.source)) as advance:
        told = False
        for answer, other in applied(predictor, rows, advance):
            if other and not told:  # a column under another name would not be read
                errors.print(f"passed on, not read: {', '.join(other)}", markup=False)
                told = True
            write(f"{as_line(answer)}\n" if plain else json_text(other | as_object(answer)))


def _check_apart(source: Path, out: Path) -> None:
    """Refuse answers in the place of the texts."""
    if source.is_file() and out.is_file() and source.samefile(out):
        raise UserError(
            "--in and --out are the same file: the answers would take the place of the texts",
            expected="another file for the answers",
            do="change --out",
            path=out,
        )
