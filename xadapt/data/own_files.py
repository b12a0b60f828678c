"""A source with the files of a user's own tasks beside it: ``mnli`` from the hub below a task of one's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xadapt.data.folder import Folder
from xadapt.tasks.catalogue import CATALOGUE, Catalogue
from xadapt.tasks.examples import Example, Source, notes_of
from xadapt.tasks.task import Task


class WithOwnFiles:
    """A ``Source``: tasks of ``own`` come from the files that their rows name, all others from ``source``.

    Args:
        source: the pocket world or the hub.
        own: rows that name files; paths that are not absolute are below the working folder.

    Raises:
        UserError: none of these files is there.
    """

    def __init__(self, source: Source, own: Mapping[str, Task]) -> None:
        self.source, self.files = source, Folder(".", None, own)
        self.own = frozenset(own)  # not generated, whatever the source is: see ``examples.generates``
        self.name, self.generated = source.name, source.generated

    def _of(self, task: str) -> Source:
        return self.files if task in self.own else self.source

    def languages(self, task: str, split: str) -> tuple[str, ...]:
        """The languages in which there is ``split`` of ``task``; ``()`` where none."""
        return self._of(task).languages(task, split)

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        """Every example, in its source's order. Raises ``UserError``."""
        return self._of(task).load(task, language, split)

    def revision(self, task: str, language: str, split: str) -> str:
        """What identifies the content. Raises ``UserError``."""
        return self._of(task).revision(task, language, split)

    def held_out(self, task: str, language: str) -> bool:
        """Whether ``dev`` is the end of the training data."""
        return self._of(task).held_out(task, language)

    def test_split(self, task: str) -> str:
        """``test`` where its labels are there, else ``dev``. Raises ``UserError``."""
        return self._of(task).test_split(task)

    def notes(self, task: str, language: str, split: str) -> dict[str, int]:
        """What was dropped, repaired or found odd, counted."""
        return notes_of(self._of(task), task, language, split)


def with_own_files(source: Source, catalogue: Catalogue) -> Source:
    """``source``, or one that reads the files of a user's own rows too, where it has not got them itself.
    A row that names both files and a repository is read from the hub where the hub is asked for."""
    own = {
        name: row
        for name, row in catalogue.items()
        if name not in CATALOGUE and row.files and not (row.hub and source.name == "hub")
    }
    return WithOwnFiles(source, own) if own else source
