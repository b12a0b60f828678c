"""Scores of folders of predictions in XTREME's layout, ours or any other system's, against gold data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xadapt.common.errors import UserError
from xadapt.common.progress import Unwatched, Watch
from xadapt.data.labels import OpenLabels
from xadapt.interop.leaderboards import Scores
from xadapt.interop.xtreme_files import asked, file_of, folder_of, format_of
from xadapt.interop.xtreme_folder import PROVENANCE, split_of
from xadapt.kinds import KINDS, kind_of
from xadapt.tasks import CATALOGUE, Catalogue, Task, task_named
from xadapt.tasks.examples import Chosen, Classified, Example, Extracted, Sought, Source, Tagged

_NAME = re.compile(r"test-([\w-]+)\.\w+")


@dataclass(frozen=True)
class Scored:
    """One file's scores: metric -> 0..100, the task's main metric first; ``notes`` counts what was odd."""

    task: str
    lang: str
    split: str
    n: int
    scores: dict[str, float]
    notes: dict[str, int]


@dataclass(frozen=True)
class Refused:
    """A file that was not scored, and why: the gold data have no labels for it."""

    task: str
    lang: str
    reason: str


@dataclass(frozen=True)
class FolderScores:
    """What a folder of predictions gave.

    Attributes:
        ignored: files and folders that evaluate.py would not look at either, as paths below the folder.
    """

    scored: tuple[Scored, ...]
    refused: tuple[Refused, ...]
    ignored: tuple[str, ...]

    def by_task(self) -> Scores:
        """task -> language -> metric -> 0..100."""
        result: dict[str, dict[str, dict[str, float]]] = {}
        for row in self.scored:
            result.setdefault(row.task, {})[row.lang] = row.scores
        return result


def score_folder(
    root: Path,
    gold: Source,
    *,
    catalogue: Catalogue = CATALOGUE,
    tasks: Sequence[str] | None = None,
    split: str | None = None,
    watch: Watch | None = None,
) -> FolderScores:
    """Score every file of predictions in ``root`` that ``gold`` has labels for.

    Args:
        root: ``<task>/test-<language>.<extension>`` below it, as XTREME's leaderboard takes them.
        gold: where the right answers come from.
        catalogue: the rows, those of a user's own among them.
        tasks: score these only, by our names; None for all that are there.
        split: what was predicted; None for what the task's provenance says, else ``test`` where its labels
            are real, else ``dev``.

    Raises:
        UserError: no predictions, files that are malformed (all of them, one below the other), or nothing
            that has labels.
    """
    targets = _targets(catalogue)
    rows = _tasks(root, tasks, catalogue)
    open_labels = OpenLabels(gold)
    scored: list[Scored] = []
    refused: list[Refused] = []
    ignored = [
        path.name
        for path in sorted(root.iterdir())
        if path.is_dir() and path.name not in map(folder_of, targets) and not path.name.startswith(".")
    ]
    problems: list[str] = []
    for row in rows:
        folder = root / folder_of(row)
        files, others = _files(folder, row)
        ignored += others
        try:
            here = split or split_of(folder) or gold.test_split(row.name)
            known = [lang for lang in gold.languages(row.name, here) if not _held_out(gold, row, lang, here)]
            task = open_labels.with_labels(row)
        except UserError as error:  # test files without labels; no training data with an open set
            refused += [Refused(row.name, lang, error.got) for lang in files]
            continue
        with (watch or Unwatched()).stage(f"score {row.name}", len(files)) as advance:
            for lang, path in files.items():
                advance(1)
                if lang not in known:
                    refused.append(Refused(row.name, lang, f"{gold.name} has no {here} file of it"))
                    continue
                try:
                    outcome = _score(path, task, lang, here, gold)
                except UserError as error:
                    problems.append(str(error))
                    continue
                if isinstance(outcome, Scored):
                    scored.append(outcome)
                else:
                    refused.append(outcome)
    if problems:
        raise UserError("\n".join(problems))
    if not scored:
        reasons = dict.fromkeys(f"{r.task} in {r.lang}: {r.reason}" for r in refused)
        raise UserError(
            "nothing can be scored" + "".join(f"\n  {reason}" for reason in reasons),
            expected="predictions for a split whose labels are there",
            do="name that split with --split, or the folder that has its labels with --labels",
        )
    return FolderScores(tuple(scored), tuple(refused), tuple(ignored))


def labelled(examples: Sequence[Example]) -> bool:
    """Whether every example can be scored. The readers leave labels out that are absent or all alike."""
    for e in examples:
        missing = (
            (isinstance(e, Classified | Chosen) and e.label is None)
            or (isinstance(e, Tagged) and e.tags is None)
            or (isinstance(e, Extracted) and e.answers is None)
            or (isinstance(e, Sought) and e.side == "query" and e.answers is None)
        )
        if missing:
            return False
    return True


def _score(path: Path, row: Task, lang: str, split: str, gold: Source) -> Scored | Refused:
    examples = gold.load(row.name, lang, split)
    if not labelled(examples):
        reason = f"the labels of its {split} split are withheld: absent, or placeholders that are all alike"
        return Refused(row.name, lang, reason)
    read = format_of(row).read(path, row, examples)
    scores = kind_of(row).score(examples, read.predictions, language=lang)
    return Scored(row.name, lang, split, asked(examples), scores, read.notes)


def _held_out(gold: Source, row: Task, lang: str, split: str) -> bool:
    """Whether the split is no file of its own, so that nobody else's predictions can be for it."""
    return split == "dev" and gold.held_out(row.name, lang)


def _targets(catalogue: Catalogue) -> list[Task]:
    return [row for row in catalogue.values() if row.role == "target" and row.kind in KINDS]


def _tasks(root: Path, wanted: Sequence[str] | None, catalogue: Catalogue) -> list[Task]:
    """The rows whose folders are in ``root``, in the catalogue's order; all of ``wanted``."""
    if not root.is_dir():
        raise UserError(
            f"no folder {root}",
            expected="a folder of predictions, <task>/test-<language>.tsv",
            do="name the one that 'xadapt predict' or XTREME's scripts wrote",
        )
    if wanted is not None:
        rows = [task_named(name, catalogue) for name in wanted]
        if absent := [row for row in rows if not (root / folder_of(row)).is_dir()]:
            raise UserError(
                f"{root} has no predictions for {', '.join(row.name for row in absent)}",
                expected=", ".join(f"a folder {folder_of(row)}" for row in absent),
                do="leave them out of --only, or predict them",
            )
        return rows
    rows = [row for row in _targets(catalogue) if (root / folder_of(row)).is_dir()]
    if not rows:
        own = any(_NAME.fullmatch(path.name) for path in root.iterdir())
        raise UserError(
            f"{root} has no folder of a task",
            expected=f"some of {', '.join(folder_of(row) for row in _targets(catalogue))}",
            do="name the folder above it: this is a task's own" if own else "name the folder that has them",
        )
    return rows


def _files(folder: Path, row: Task) -> tuple[dict[str, Path], list[str]]:
    """Language -> its file, in the task's own order, and what else lies there."""
    files, others = {}, []
    languages = (*row.languages, *row.added)
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and match[1] in languages and path.name == file_of(row, match[1]):
            files[match[1]] = path
        elif path.name != PROVENANCE and not path.name.startswith("."):
            others.append(f"{folder.name}/{path.name}")
    return {lang: files[lang] for lang in languages if lang in files}, others
