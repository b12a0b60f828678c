"""``xadapt apply``: texts in, labels out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from xadapt.cli.checks import check_store
from xadapt.common.files import ENCODING, explained, replacing
from xadapt.common.output import check_place, is_output

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Apply:
    """Answer texts with a trained stack, a line an example: with what evaluation would have scored."""

    module: tyro.conf.Positional[str]
    """an expression such as "mnli > xnli", an address, a name, a folder, or a hub id"""
    source: Annotated[Path, tyro.conf.arg(name="in")] = Path("-")
    """texts, - for standard input: a line an example, tabs between premise and hypothesis, question and
    context, or context and options; .jsonl has objects with these names"""
    out: Path = Path("-")
    """answers, - for standard output: .tsv has the prediction alone, all else JSON lines"""
    form: Literal["auto", "tsv", "jsonl"] = "auto"
    """of the texts; by default as the name of the file says"""
    store: Path = Path(".xadapt")
    """where modules are kept"""
    backbone: str | None = None
    """pocket, a hub id or a folder; by default what the module was trained on"""
    seed: int | None = None
    """of an expression's modules; by default the lowest that the store has"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto takes bf16 where the hardware has it and the width gains from it"""


def apply(options: Apply, errors: Console) -> None:
    """Open the stack, read, answer, write."""
    check_store(options.store)
    if str(options.out) != "-":
        check_place(options.out)

    from xadapt import load
    from xadapt.data.given import count, form_of, given_rows
    from xadapt.report.progress import Bars
    from xadapt.study.applying import applied, as_line, as_object, names_of

    predictor = load(
        options.module,
        store=options.store,
        backbone=options.backbone,
        seed=options.seed,
        device=options.device,
        dtype=options.dtype,
    )
    form = form_of(options.source) if options.form == "auto" else options.form
    rows = given_rows(options.source, form, names_of(predictor))

    def text(answer: Any) -> str:
        plain = options.out.suffix == ".tsv"
        return as_line(answer) if plain else json.dumps(as_object(answer), ensure_ascii=False)

    with _lines_to(options.out) as write, Bars(errors).stage("answer", count(options.source)) as advance:
        for answer in applied(predictor, rows, advance):
            write(text(answer))


@contextmanager
def _lines_to(path: Path) -> Iterator[Callable[[str], object]]:
    """A file is written whole or not at all; standard output as it comes."""
    if is_output(path):
        yield lambda line: print(line, flush=sys.stdout.isatty())
        return

    with explained(path), replacing(Path(os.path.realpath(path))) as file:
        yield lambda line: file.write(f"{line}\n".encode(**ENCODING))
