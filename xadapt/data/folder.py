"""Examples from a folder: XTREME's ``download/`` layout, and beside it a folder of intermediate tasks.

Where a task has training data and no development file in English, the last tenth of
the training examples (at most 1,000) serves as one and is left out of training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xadapt.data.examples import Example
from xadapt.data.readers import READERS
from xadapt.data.reading import Reading, hold_out
from xadapt.errors import UserError
from xadapt.tasks.catalogue import CATALOGUE, task_named
from xadapt.tasks.languages import iso3_of
from xadapt.tasks.task import File, Task

BELOW = "intermediate:"
SPLITS = ("train", "dev", "test")
Stamp = tuple[tuple[str, int, int], ...]  # path, modification time, size of every file


@dataclass(frozen=True)
class _Found:
    """The file that serves one (task, language, split), with the one beside it. ``part`` says
    which part of the training file it is where the development set is held out of it."""

    file: File
    paths: tuple[Path, ...]
    reads_as: str
    part: Literal["all", "kept", "held"] = "all"


class Folder:
    """A ``Source``: the tasks of the catalogue as far as their files are here.

    Args:
        root: a folder in XTREME's ``download/`` layout.
        intermediate: the folder of intermediate tasks; ``intermediate`` beside ``root`` if not given.

    Raises:
        UserError: a folder is missing, or holds no file of the catalogue.
    """

    def __init__(self, root: Path | str, intermediate: Path | str | None = None) -> None:
        self.root = Path(root)
        beside = self.root.absolute().parent / "intermediate"
        self.intermediate = Path(intermediate) if intermediate else beside
        self.name = str(root)
        self._digests: dict[Stamp, str] = {}
        self._outcomes: dict[tuple[Stamp, str, str], tuple[bool, Mapping[str, int]]] = {}
        if not self.root.is_dir():
            raise UserError(
                f"no folder {self.root}",
                expected="XTREME's download folder",
                do="pass the folder that holds xnli/, udpos/, xquad/...; or `pocket`, or `hub`",
            )
        if intermediate and not self.intermediate.is_dir():
            raise UserError(
                f"no folder {self.intermediate}",
                expected="the folder of intermediate tasks: hellaswag/, qqp/, squad/...",
                do="leave it out, or pass the right one",
            )
        self._check_layout()

    def languages(self, task: str, split: str) -> tuple[str, ...]:
        """The task's languages in which ``split`` has a file (or a held-out part), in its own order."""
        row = task_named(task)
        return tuple(code for code in row.languages if self._find(row, code, _known(split)) is not None)

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        """Every example, in the file's order; labels are None where a test file withholds them.

        Raises:
            UserError: no such file, or one that does not fit the task's row.
        """
        found = self._required(task, language, split)
        examples = self._read(task_named(task), found).examples
        if found.part == "all":
            return examples
        kept, held = hold_out(examples)
        return kept if found.part == "kept" else held

    def revision(self, task: str, language: str, split: str) -> str:
        """A short SHA-256 of the file's bytes, and which part of it where one is held out.

        Raises:
            UserError: no such file.
        """
        found = self._required(task, language, split)
        stamp = _stamp(found.paths)
        if stamp not in self._digests:
            digest = hashlib.sha256()
            for path in found.paths:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            self._digests[stamp] = digest.hexdigest()[:16]
        return self._digests[stamp] + {"all": "", "kept": "-kept", "held": "-held"}[found.part]

    def test_split(self, task: str) -> str:
        """``test`` where the first language that has a test file has its labels, else ``dev``.

        Raises:
            UserError: there are only test files and they have no labels.
        """
        tested = self.languages(task, "test")
        if tested and self.label_status(task, tested[0], "test") == "labelled":
            return "test"
        if tested and not self.languages(task, "dev"):
            row = task_named(task)
            raise UserError(
                f"the test files of {task} have no labels: XTREME removes them",
                expected="test files with their labels, or a development set",
                do=f"put the original files there ({row.url})",
                path=self._required(task, tested[0], "test").paths[0],
            )
        return "dev"

    def label_status(self, task: str, language: str, split: str) -> Literal["labelled", "unlabelled"]:
        """Whether examples can be scored, or only predicted. Raises ``UserError`` as ``load`` does."""
        return "labelled" if self._outcome(task, language, split)[0] else "unlabelled"

    def notes(self, task: str, language: str, split: str) -> dict[str, int]:
        """What the reader dropped, repaired or found odd in the file, counted; empty where all was well.

        Raises:
            UserError: as ``load`` does.
        """
        return dict(self._outcome(task, language, split)[1])

    def _outcome(self, task: str, language: str, split: str) -> tuple[bool, Mapping[str, int]]:
        found = self._required(task, language, split)
        key = (_stamp(found.paths), task, found.reads_as)
        if key not in self._outcomes:
            self._read(task_named(task), found)
        return self._outcomes[key]

    def _read(self, row: Task, found: _Found) -> Reading:
        stamp = _stamp(found.paths)
        reading = READERS[found.file.reader](found.paths, row, found.reads_as, **found.file.options)
        self._outcomes[stamp, row.name, found.reads_as] = (reading.labelled, reading.notes)
        return reading

    def _required(self, task: str, language: str, split: str) -> _Found:
        row = task_named(task)
        if language not in row.languages:
            raise UserError(
                f"{task} is not in {language!r}",
                expected=f"one of {' '.join(row.languages)}",
                do="choose one of them",
            )
        found = self._find(row, language, _known(split))
        if found is None:
            raise self._missing(row, language, split)
        return found

    def _find(self, row: Task, language: str, split: str) -> _Found | None:
        """The first of the row's files that is here, the held-out part where there is none."""
        own = self._first(row, language, split)
        if language != "en" or split == "test":
            return own
        if split == "train" and own and self._first(row, language, "dev") is None:
            return _Found(own.file, own.paths, "train", "kept")
        if split == "dev" and own is None and (train := self._first(row, language, "train")):
            return _Found(train.file, train.paths, "train", "held")
        return own

    def _first(self, row: Task, language: str, split: str) -> _Found | None:
        for file in row.files.get(split, ()):
            paths = self._paths(file, language)
            if file.reader != "unusable" and paths and all(path.is_file() for path in paths):
                return _Found(file, paths, split)
        return None

    def _paths(self, file: File, language: str) -> tuple[Path, ...]:
        """Where the file would be for the language; ``()`` where it does not serve it."""
        serves_all = "{lang}" in file.path or "{iso3}" in file.path
        if language in file.but or not (serves_all or language == "en"):
            return ()
        names = (file.path,) if file.beside is None else (file.path, file.beside)
        return tuple(self._below(name, language) for name in names)

    def _below(self, name: str, language: str) -> Path:
        base = self.intermediate if name.startswith(BELOW) else self.root
        return base / name.removeprefix(BELOW).format(lang=language, iso3=iso3_of(language))

    def _missing(self, row: Task, language: str, split: str) -> UserError:
        here = {other: self.languages(row.name, other) for other in SPLITS}
        wanted, remarks = [], []
        for file in row.files.get(split, ()):
            paths = self._paths(file, language)
            if file.reader != "unusable":
                wanted += [str(path) for path in paths]
            elif paths and paths[0].is_file():
                remarks.append(f"{paths[0]} can't be used: {file.options['why']}")
        has = "; ".join(f"{other}: {' '.join(codes)}" for other, codes in here.items() if codes)
        if split == "train" and row.train not in (None, row.name):
            do = f"train on {row.train}"
        elif not wanted:
            do = "choose another split or language; training is in English"
        else:
            do = f"put it there ({row.url}), or use the source `hub`"
        got = f"no {split} file of {row.name} in {language!r} (here: {has or 'no split at all'})"
        return UserError(
            "; ".join([got, *remarks]),
            expected=" or ".join(wanted) or f"nothing: {row.name} has no {split} split in this language",
            do=do,
        )

    def _check_layout(self) -> None:
        """Raises ``UserError`` unless a folder of the catalogue is here."""
        files = [file.path for row in CATALOGUE.values() for some in row.files.values() for file in some]
        tops = sorted({path.split("/")[0] for path in files if not path.startswith(BELOW)})
        below = {path.removeprefix(BELOW).split("/")[0] for path in files if path.startswith(BELOW)}
        places = [*(self.root / top for top in tops), *(self.intermediate / top for top in below)]
        if any(place.is_dir() for place in places):
            return
        nested = [
            child
            for child in sorted(self.root.iterdir())
            if child.is_dir() and any((child / top).is_dir() for top in tops)
        ]
        raise UserError(
            f"{self.root} is not laid out as XTREME's download folder"
            + (f"; did you mean {nested[0]}?" if nested else ""),
            expected=f"some of {', '.join(top + '/' for top in tops)} in it",
            do="pass the folder that XTREME's scripts/download_data.sh makes",
        )


def _known(split: str) -> str:
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}", expected=f"one of {', '.join(SPLITS)}")
    return split


def _stamp(paths: Sequence[Path]) -> Stamp:
    stats = [(path, path.stat()) for path in paths]
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)
