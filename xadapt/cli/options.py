"""The options of every command that plans expressions, and the study that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xadapt.cli.checks import check_store
from xadapt.common.errors import UserError
from xadapt.study.overrides import Overrides

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.study.study import Study
    from xadapt.tasks import Catalogue


@dataclass(frozen=True, kw_only=True)
class Planned(Overrides):
    """What the addresses of modules depend on, so that two commands with the same options mean the same."""

    backbone: str = "pocket"
    """pocket, a hub id such as FacebookAI/xlm-roberta-base, or a folder in HF format"""
    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    method: str = "lora"
    """lora(r=8), bottleneck(reduction=4) or full, where an expression names none"""
    store: Path = Path(".xadapt")
    """where modules and scores are kept"""
    tasks: Path | None = None
    """a TOML file with tasks of your own"""


def study_of(options: Planned, expressions: Sequence[str], **more: Any) -> Study:
    """The study of ``expressions`` that the options describe. ``more``: others of ``Study``'s attributes.

    Raises:
        UserError: the store is something else.
    """
    check_store(options.store)

    from xadapt import Study

    shared = {field.name: getattr(options, field.name) for field in fields(Planned)}
    return Study(expressions, **shared, **more)


def say_if_hub_is_silent(data: str, errors: Console) -> None:
    """For a plan that is only shown: without the hub it may not be possible to run it."""
    if data == "hub":
        from xadapt.common.hub import silence

        if said := silence():
            errors.print(said, style="yellow", markup=False, highlight=False)


def with_target(expression: str, task: str | None, catalogue: Catalogue) -> str:
    """The expression with ``task`` on top, unless it ends in it or none is named. What is wrong with an
    expression is not said here. Raises ``UserError`` for an unknown task."""
    from xadapt.stacks.parser import parse
    from xadapt.tasks import task_named

    if task is None:
        return expression
    name = task_named(task, catalogue).name
    with suppress(UserError):  # not every expression can stand without a target above it
        if parse(expression).target.task == name:
            return expression
    return f"{expression} > {name}"
