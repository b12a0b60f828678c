"""Where examples come from, by name."""

from __future__ import annotations

from pathlib import Path

from xadapt.common.errors import UserError
from xadapt.tasks.catalogue import CATALOGUE, Catalogue
from xadapt.tasks.examples import Source


def open_source(name: str, intermediate: Path | None = None, catalogue: Catalogue = CATALOGUE) -> Source:
    """``pocket`` for the built-in world, ``hub`` for the Hugging Face hub, else a folder.

    Args:
        name: ``pocket``, ``hub``, or the path of a folder in XTREME's ``download/`` layout.
        intermediate: the folder of intermediate tasks, for a folder only.
        catalogue: the rows, those of a user's own among them: their files are read whatever the source.

    Raises:
        UserError: no such folder, or not in that layout.
    """
    if name in ("pocket", "hub"):
        from xadapt.data.own_files import with_own_files

        if intermediate is not None:
            raise UserError(
                f"a folder of intermediate tasks ({intermediate}) with the source {name!r}",
                expected="one with a folder only",
                do="leave it out, or name a folder as the source",
            )
        if name == "pocket":
            from xadapt.data.pocket.source import Pocket

            return with_own_files(Pocket(), catalogue)
        from xadapt.data.hub import HubSource

        return with_own_files(HubSource(catalogue), catalogue)
    from xadapt.data.folder import Folder

    return Folder(Path(name), intermediate, catalogue)
