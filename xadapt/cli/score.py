"""``xadapt score``: folders of predictions, any system's, against gold data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from xadapt.cli.checks import words
from xadapt.common.output import check_place, write_output
from xadapt.tasks.languages import GroupBy

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.interop.xtreme_scores import FolderScores


@dataclass(frozen=True)
class Score:
    """Score a folder of predictions in XTREME's submission layout, whoever made it."""

    folder: tyro.conf.Positional[Path]
    """<task>/test-<language>.tsv, json or jsonl below it, as XTREME's evaluate.py reads them"""
    labels: str
    """the gold data: a folder in XTREME's download layout; or pocket, hub"""
    only: str = "all"
    """tasks to score, such as xnli,udpos; all that the folder has by default"""
    tasks: Path | None = None
    """a TOML file with tasks of your own"""
    split: Literal["auto", "dev", "test"] = "auto"
    """what was predicted; auto: as the predictions say, else test where it has real labels, else dev"""
    by: GroupBy | None = None
    """add means over groups of languages, English left out"""
    missing: bool = False
    """name all that has no score, not only examples"""
    json: Path | None = None
    """write the scores to this file as well; - for standard output, tables then go to standard error"""


def score(options: Score, console: Console, errors: Console) -> FolderScores:
    """Score, print per task, language and group, and write JSON where asked."""
    if options.json is not None:
        check_place(options.json)

    from xadapt.data.sources import open_source
    from xadapt.data.user_tasks import catalogue_with
    from xadapt.interop.xtreme_scores import score_folder
    from xadapt.report.leaderboard_tables import print_scores, scores_as_json
    from xadapt.report.progress import Bars

    rows = catalogue_with(options.tasks)
    found = score_folder(
        options.folder,
        open_source(options.labels, catalogue=rows),
        catalogue=rows,
        tasks=None if options.only == "all" else words(options.only, "--only"),
        split=None if options.split == "auto" else options.split,
        watch=Bars(errors),
    )
    print_scores(found, console, options.by, whole=options.missing)
    if options.json is not None:
        write_output(options.json, scores_as_json(found, options.by))
    return found
