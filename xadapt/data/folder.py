"""Examples from a folder: XTREME's ``download/`` layout, and beside it a folder of intermediate tasks.

Where a task has training data and no development file in a language, the last tenth of
the training examples (at most 1,000) serves as one and is left out of training.

An intermediate task may have training data in more languages than its row lists: translated by
machine, one file a language.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from xadapt.common.errors import UserError
from xadapt.common.identity import digest
from xadapt.data.lazy import Lazy
from xadapt.data.readers import reader_named
from xadapt.data.reading import Reading, added_up, hold_out, joined, oddities, revision_of
from xadapt.data.text import bytes_of
from xadapt.tasks.catalogue import CATALOGUE, Catalogue, task_named
from xadapt.tasks.examples import Example
from xadapt.tasks.languages import LANGUAGES, iso3_of
from xadapt.tasks.task import File, Task, reading_of

INTERMEDIATE = "intermediate:"  # begins a path below the folder of intermediate tasks
SPLITS = ("train", "dev", "test")
Stamp = tuple[tuple[str, int, int], ...]  # path, modification time, size of every file


@dataclass(frozen=True)
class _Found:
    """The file that serves one (task, language, split), with the one beside it. ``part`` says
    which part of the training file it is where the development set is held out of it."""

    file: File
    paths: tuple[Path, ...]
    reads_as: str
    language: str
    part: Literal["all", "kept", "held"] = "all"


class Folder:
    """A ``Source``: the tasks of the catalogue as far as their files are here.

    Args:
        root: a folder in XTREME's ``download/`` layout.
        intermediate: the folder of intermediate tasks; ``intermediate`` beside ``root`` if not given.
        catalogue: the rows, those of a user's own among them.

    Raises:
        UserError: a folder is missing, or holds no file of the catalogue.
    """

    generated = False

    def __init__(
        self, root: Path | str, intermediate: Path | str | None = None, catalogue: Catalogue = CATALOGUE
    ) -> None:
        self.root = Path(root)
        self.catalogue = catalogue
        beside = self.root.absolute().parent / "intermediate"
        self.intermediate = Path(intermediate) if intermediate else beside
        self.name = str(root)
        self._digests: dict[Stamp, str] = {}
        self._outcomes: dict[tuple[Stamp, str, str, str], tuple[bool, Mapping[str, int]]] = {}
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

    def __getstate__(self) -> dict[str, Any]:
        """Other processes may have it too; a view of a catalogue cannot be sent."""
        return {**self.__dict__, "catalogue": dict(self.catalogue)}

    def languages(self, task: str, split: str) -> tuple[str, ...]:
        """The languages in which ``split`` has a file (or a held-out part): the task's in its own order,
        then those that its training data is translated into."""
        return self._languages(self._row(task), _known(split))

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        """Every example, in the file's order; labels are None where a test file withholds them.

        Raises:
            UserError: no such file, or one that does not fit the task's row.
        """
        return joined(self._row(task), lambda part: self._load(part, language, split))

    def revision(self, task: str, language: str, split: str) -> str:
        """A short SHA-256 of the file's bytes and of how they are read; behind it, which part of the file
        where one is held out.

        Raises:
            UserError: no such file.
        """
        return revision_of(self._row(task), lambda part: self._revision(part, language, split))

    def held_out(self, task: str, language: str) -> bool:
        """Whether ``dev`` is the end of the training file, for want of a file of its own; of a task in parts,
        whether that of any part is."""
        found = (self._find(row, language, "dev") for row in self._rows(task))
        return any(one is not None and one.part == "held" for one in found)

    def test_split(self, task: str) -> str:
        """``test`` where every file that would serve it has its labels, else ``dev``.

        Files that one entry of the row names come from one release: the first of them is looked into.

        Raises:
            UserError: there are only test files and they have no labels.
        """
        row, tested = self._row(task), self.languages(task, "test")
        if row.parts:
            return "dev"
        first = {self._required(row, code, "test").file.path: code for code in reversed(tested)}
        withheld = [c for c in first.values() if self.label_status(task, c, "test") == "unlabelled"]
        if tested and not withheld:
            return "test"
        if tested and not self.languages(task, "dev"):
            raise UserError(
                f"the test files of {task} have no labels: XTREME removes them",
                expected="test files with their labels, or a development set",
                do=f"put the original files there ({row.url})",
                path=self._required(row, withheld[0], "test").paths[0],
            )
        return "dev"

    def label_status(self, task: str, language: str, split: str) -> Literal["labelled", "unlabelled"]:
        """Whether examples can be scored, or only predicted. Raises ``UserError`` as ``load`` does."""
        outcomes = [self._outcome(row, language, split) for row in self._rows(task)]
        return "labelled" if all(labelled for labelled, _ in outcomes) else "unlabelled"

    def notes(self, task: str, language: str, split: str) -> dict[str, int]:
        """What the reader dropped, repaired or found odd in the file, counted; empty where all was well.

        Raises:
            UserError: as ``load`` does.
        """
        return added_up(self._outcome(row, language, split)[1] for row in self._rows(task))

    def _row(self, task: str) -> Task:
        return task_named(task, self.catalogue)

    def _rows(self, task: str) -> tuple[Task, ...]:
        """The row, or its parts."""
        row = self._row(task)
        return row.parts or (row,)

    def _languages(self, row: Task, split: str) -> tuple[str, ...]:
        return tuple(code for code in _codes(row, split) if self._has(row, code, split))

    def _has(self, row: Task, language: str, split: str) -> bool:
        if row.parts:
            return all(self._has(part, language, split) for part in row.parts)
        return self._find(row, language, split) is not None

    def _load(self, row: Task, language: str, split: str) -> Sequence[Example]:
        found = self._required(row, language, split)
        examples = self._read(row, found).examples
        if found.part == "all":
            return examples
        kept, held = hold_out(examples)
        return kept if found.part == "kept" else held

    def _revision(self, row: Task, language: str, split: str) -> str:
        found = self._required(row, language, split)
        stamp = _stamp(found.paths)
        if stamp not in self._digests:
            content = hashlib.sha256()
            for path in found.paths:
                content.update(hashlib.sha256(bytes_of(path)).digest())
            self._digests[stamp] = content.hexdigest()
        how = {"bytes": self._digests[stamp], "split": found.reads_as, **reading_of(row, file=found.file)}
        how |= {"language": language} if found.file.shared else {}
        return digest(how)[:16] + {"all": "", "kept": "-kept", "held": "-held"}[found.part]

    def _outcome(self, row: Task, language: str, split: str) -> tuple[bool, Mapping[str, int]]:
        found = self._required(row, language, split)
        key = (_stamp(found.paths), row.name, found.reads_as, found.language)
        if key not in self._outcomes:
            self._read(row, found)
        return self._outcomes[key]

    def _read(self, row: Task, found: _Found) -> Reading:
        stamp = _stamp(found.paths)
        options = dict(found.file.options)
        if found.file.shared:
            options["language"] = found.language
        reading = reader_named(found.file.reader)(found.paths, row, found.reads_as, **options)
        # What stays in its file has been looked at row by row.
        odd = {} if isinstance(reading.examples, Lazy) else oddities(reading.examples)
        notes = {**odd, **reading.notes}
        self._outcomes[stamp, row.name, found.reads_as, found.language] = (reading.labelled, notes)
        return reading

    def _required(self, row: Task, language: str, split: str) -> _Found:
        codes = _codes(row, _known(split))
        if language not in codes:
            raise UserError(
                f"{row.name} is not in {language!r}",
                expected=f"one of {' '.join(codes)}",
                do="choose one of them",
            )
        found = self._find(row, language, _known(split))
        if found is None:
            raise self._missing(row, language, split)
        return found

    def _find(self, row: Task, language: str, split: str) -> _Found | None:
        """The first of the row's files that is here, the held-out part where there is none."""
        own = self._first(row, language, split)
        if split == "train" and own and self._first(row, language, "dev") is None:
            return replace(own, part="kept")
        if split == "dev" and own is None and (train := self._first(row, language, "train")):
            return replace(train, part="held")
        return own

    def _first(self, row: Task, language: str, split: str) -> _Found | None:
        for file in row.files.get(split, ()):
            if file.reader == "unusable":
                continue
            names = (file.path, *file.beside) if self._paths(file, language) else ()
            found = [self._matching(name, language) for name in names]
            if found and all(found):
                paths = [path for matches in found for path in matches]
                if file.pooled:
                    others = (code for code in _codes(row, split) if code != language)
                    pool = (path for code in others for path in self._paths(file, code))
                    paths += [path for path in pool if path.is_file()]
                return _Found(file, tuple(paths), split, language)
        return None

    def _paths(self, file: File, language: str) -> tuple[Path, ...]:
        """Where the file would be for the language; ``()`` where it does not serve it."""
        named = {name for _, name, _, _ in string.Formatter().parse(file.path) if name}
        if language in file.but or not (named or file.shared or language == "en"):
            return ()
        if "iso3" in named and language not in LANGUAGES:
            return ()
        return tuple(self._path_of(name, language) for name in (file.path, *file.beside))

    def _matching(self, name: str, language: str) -> list[Path]:
        """The file, or the files that a row's pattern stands for, in the order of their names."""
        path = self._path_of(name, language)
        if name.startswith("/") or not any(mark in name for mark in "*["):
            return [path] if path.is_file() else []
        base = self.intermediate if name.startswith(INTERMEDIATE) else self.root
        return sorted(found for found in base.glob(str(path.relative_to(base))) if found.is_file())

    def _path_of(self, name: str, language: str) -> Path:
        base = self.intermediate if name.startswith(INTERMEDIATE) else self.root
        iso3 = iso3_of(language) if language in LANGUAGES else ""
        return base / name.removeprefix(INTERMEDIATE).format(lang=language, iso3=iso3)

    def _missing(self, row: Task, language: str, split: str) -> UserError:
        here = {other: self._languages(row, other) for other in SPLITS}
        possible, remarks = [], []
        for file in row.files.get(split, ()):
            paths = self._paths(file, language)
            if file.reader != "unusable":
                possible += [str(path) for path in paths]
            elif paths and paths[0].is_file():
                remarks.append(f"{paths[0]} can't be used: {file.options['why']}")
        has = "; ".join(f"{other}: {' '.join(codes)}" for other, codes in here.items() if codes)
        if split == "train" and row.train not in (None, row.name):
            do = f"train on {row.train}"
        elif not possible:
            do = "choose another split or language"
        else:
            do = f"put it there ({row.url}), or use the source `hub`"
        got = f"no {split} file of {row.name} in {language!r} (here: {has or 'no split at all'})"
        return UserError(
            "; ".join([got, *remarks]),
            expected=" or ".join(possible) or f"nothing: {row.name} has no {split} split in this language",
            do=do,
        )

    def _check_layout(self) -> None:
        """Raises ``UserError`` unless a folder of the catalogue is here."""
        rows = [part for row in self.catalogue.values() for part in (row.parts or (row,))]
        files = [file.path for row in rows for some in row.files.values() for file in some]
        own = [path for path in files if path.startswith("/")]  # a user's, wherever they are
        tops = sorted({path.split("/")[0] for path in files if not path.startswith((INTERMEDIATE, "/"))})
        below = {
            path.removeprefix(INTERMEDIATE).split("/")[0] for path in files if path.startswith(INTERMEDIATE)
        }
        places = [*(self.root / top for top in tops), *(self.intermediate / top for top in below)]
        if own or any(place.exists() for place in places):  # a row made in Python may name files right here
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


def _codes(row: Task, split: str) -> tuple[str, ...]:
    """The languages that ``split`` may be in: beyond the row's own, training data may be translated."""
    listed = (*row.languages, *row.added)
    if split == "test" or (row.role == "target" and split == "dev"):
        return listed
    further = row.trains_in if row.role == "target" else (*row.trains_in, *LANGUAGES)
    return tuple(dict.fromkeys((*listed, *further)))


def _known(split: str) -> str:
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}", expected=f"one of {', '.join(SPLITS)}")
    return split


def _stamp(paths: Sequence[Path]) -> Stamp:
    stats = [(path, path.stat()) for path in paths]
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)
