"""What a study concludes, kept: question, answer, all results, every figure as the numbers that it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xadapt.common.errors import UserError, nearest
from xadapt.common.plain import as_plain, from_plain
from xadapt.record.figure import Figure, Table
from xadapt.store.reports import check_report_name
from xadapt.store.store import Store
from xadapt.study.results import Results


@dataclass(frozen=True)
class StudyRecord:
    """A study that was run, with all that a report of it says. ``record.recording.record_of`` makes one.

    Attributes:
        name: of the record and its file: letters, digits, ``-``, ``_`` and ``.``.
        question: what was asked, in a sentence.
        answer: in a sentence, with an interval.
        literature: what others have found, a paragraph each.
        command: that runs it again.
        created: when, ISO 8601.
        definition: what was asked for, in plain values (expressions, targets, seeds, settings).
        figures: the ones that answer first.
        reading: what all intervals and differences are, for whoever reads them.
        methods: a paragraph that a paper could take over.
        bibtex: of the data sets and methods used.
        sources: where it comes from: data sets, modules, revisions of data.
        versions: of the package, and of those that decide results.
        notes: what a reader must know beside the answer.

    Raises:
        UserError: a name that no file can have.
    """

    name: str
    question: str
    answer: str
    results: Results
    literature: tuple[str, ...] = ()
    command: str = ""
    created: str = ""
    definition: Mapping[str, Any] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    reading: str = ""
    methods: str = ""
    bibtex: str = ""
    sources: tuple[Table, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_report_name(self.name)

    @property
    def pocket(self) -> bool:
        """Whether data or backbone are the pocket world's: evidence for nothing about real languages."""
        return self.results.pocket

    def keep(self, store: Store) -> None:
        """Put it into the store under its name, in the place of an earlier one.

        Raises:
            UserError: the disk refuses.
        """
        plain = as_plain(self)
        store.making_room(lambda: store.reports.write(self.name, plain))


def recorded(store: Store, name: str) -> StudyRecord:
    """The record of that name, or the only one whose name begins so.

    Raises:
        UserError: there is none, or there are several, or it is damaged.
    """
    names = store.reports.names()
    found = [name] if name in names else [known for known in names if known.startswith(name)]
    if len(found) != 1:
        several = f"{len(found)} recorded studies begin with {name!r}"
        raise UserError(
            several if found else f"no study {name!r} is recorded{nearest(name, names)}",
            expected=f"one of {', '.join(found or names)}" if names else None,
            do="'xadapt report' lists what is recorded; a recipe records its study when it ends",
            path=store.root,
        )
    try:
        return from_plain(StudyRecord, store.reports.read(found[0]))
    except ValueError as problem:
        raise UserError(
            f"the record of {found[0]} is of another version of xadapt: {problem}",
            do="run its recipe again: what is in the store is reused",
            path=store.root,
        ) from problem
