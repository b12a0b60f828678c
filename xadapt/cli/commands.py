"""The commands in their groups, and the help that shows them."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Union

import tyro

from xadapt.cli.apply import Apply
from xadapt.cli.completion import Completion
from xadapt.cli.doctor import Doctor
from xadapt.cli.explain import Explain
from xadapt.cli.layers import Layers
from xadapt.cli.modules import Modules
from xadapt.cli.predict import Predict
from xadapt.cli.report import Report
from xadapt.cli.results import ShowResults
from xadapt.cli.run import Run
from xadapt.cli.score import Score
from xadapt.cli.study import Study
from xadapt.cli.tasks import Tasks

GROUPS: Final[Mapping[str, Mapping[str, type]]] = {
    "Run": {"run": Run, "study": Study, "layers": Layers},
    "Look": {"results": ShowResults, "report": Report, "explain": Explain},
    "Own texts": {"apply": Apply},
    "Modules": {"modules": Modules},
    "Data and tasks": {"tasks": Tasks},
    "Sharing, XTREME's files": {"predict": Predict, "score": Score},
    "This machine": {"doctor": Doctor, "completion": Completion},
}
COMMANDS: Final[Mapping[str, type]] = {name: one for group in GROUPS.values() for name, one in group.items()}

# tyro reads the members of the union; no type checker can know them.
Command: Any = Union[  # noqa: UP007
    tuple(Annotated[one, tyro.conf.subcommand(name)] for name, one in COMMANDS.items())
]


@dataclass(frozen=True)
class Said:
    """What the words on the command line say."""

    command: Command
    plain: bool = False
    """no lines around tables, no colours, no bars that move; in a pipe or file a line a row"""


_ABOUT = """\
Knowledge from English tasks in small modules on a frozen XLM-R, stacked below a
task that is trained in English only, evaluated in up to 50 languages.

  xadapt run xnli "mnli > xnli"              train, evaluate in every language
  xadapt run "mnli > xnli" --dry-run         what that would train and reuse
  xadapt study my-study.toml                 a grid of experiments as one
  xadapt results --task xnli                 all scores, with intervals
  xadapt apply "mnli > xnli" --in pairs.tsv  texts in, labels out
"""
_EVERYWHERE = """\
Everywhere:
  --help     what a command does and takes; also of 'xadapt modules show'
  --plain    no lines around tables, no colours, no bars that move
  --version  of xadapt

Tables fit the terminal. In a file or pipe they have no colours and are 160
columns wide, or as COLUMNS in the environment says; with --plain, a line a row."""


def overview() -> str:
    """What ``xadapt --help`` prints, at most 80 columns wide."""
    lines = [_ABOUT]
    for group, commands in GROUPS.items():
        lines.append(f"{group}:")
        for name, one in commands.items():
            about = re.split(r"[.:;]", " ".join((one.__doc__ or "").split()))[0]
            lines += textwrap.wrap(f"  {name:<12}{about}", 80, subsequent_indent=" " * 14)
        lines.append("")
    return "\n".join([*lines, _EVERYWHERE])


def calmed(text: str) -> str:
    """The help of a command as tyro prints it into a file: without defaults that say nothing; of actions the
    first paragraph; no line wider than the terminal."""
    width = max(40, shutil.get_terminal_size().columns)
    gone = "\0"  # a line that has nothing else goes too
    text = re.sub(r"\(default:\s+(?:None|False|True)?\)", gone, text)
    lines: list[str] = []
    listing = skipping = False
    for line in map(str.rstrip, text.split("\n")):
        item = line.lstrip().startswith("•")
        listing |= item
        skipping = not item and (skipping or (listing and not line))
        if not skipping and (line.replace(gone, "").strip() or gone not in line):
            indent = "  " if line.startswith("usage:") else ""
            lines += textwrap.wrap(line.replace(gone, ""), width, subsequent_indent=indent) or [""]
    return "\n".join(lines).rstrip() + "\n"
