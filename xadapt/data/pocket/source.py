"""The source ``pocket``: tasks derived from generated text in seven languages. See ``xadapt.data.pocket``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache

from xadapt.common.errors import UserError, nearest
from xadapt.data.pocket.derive import SHAPES, derive, languages_of
from xadapt.data.pocket.lexicon import LANGUAGES, read_lexicon
from xadapt.data.pocket.supertags import LABELS
from xadapt.tasks.examples import Example

# Part of every revision: to be raised by whoever changes an item. ``tests/test_pocket.py`` notices.
VERSION = 2

_lexicon = cache(read_lexicon)


# A study reads a set several times: for its stacks, its baselines, its seeds. The last ones take some
# megabytes each, and nobody can change them.
@lru_cache(maxsize=16)
def _derived(task: str, language: str, split: str, size: int | None) -> tuple[Example, ...]:
    return tuple(derive(_lexicon(), task, language, split, size))


class Pocket:
    """The built-in world: no files to fetch, the same examples on every machine."""

    name = "pocket"
    generated = True
    LANGUAGES = LANGUAGES

    def _check(self, task: str, language: str, split: str) -> None:
        if task not in SHAPES:
            raise UserError(
                f"the pocket world has no task {task!r}{nearest(task, list(SHAPES))}",
                expected=f"one of {', '.join(SHAPES)}",
                do="choose one of these, or another source: hub, or a folder in XTREME's layout",
            )
        sizes = SHAPES[task].sizes
        if split not in sizes:
            raise UserError(
                f"the pocket world has no split {split!r} of {task}",
                expected=f"one of {', '.join(sizes)}",
                do="choose one of these splits",
            )
        known = languages_of(task, split)
        if language not in known:
            raise UserError(
                f"the pocket world has no {split} of {task} in {language!r}",
                expected=f"one of {', '.join(known)}",
                do="choose one of these languages, or another source",
            )

    def languages(self, task: str, split: str) -> tuple[str, ...]:
        """The languages with ``split`` of ``task``; ``()`` where none."""
        return languages_of(task, split)

    def load(self, task: str, language: str, split: str, size: int | None = None) -> Sequence[Example]:
        """Every item, or the first ``size``; of pools the first queries with all candidates."""
        self._check(task, language, split)
        return _derived(task, language, split, size)

    def revision(self, task: str, language: str, split: str) -> str:
        """16 hex digits of the items' version and of what is asked for; nothing is generated."""
        self._check(task, language, split)
        return hashlib.sha256(f"pocket/{VERSION}/{task}/{language}/{split}".encode()).hexdigest()[:16]

    def labels(self, task: str) -> tuple[str, ...]:
        """The supertags: written down, as generating 8,000 sentences to count them takes seconds."""
        return LABELS if task == "ccg" else ()

    def held_out(self, task: str, language: str) -> bool:
        """Never: every dev set is generated."""
        return False

    def test_split(self, task: str) -> str:
        """``test``; intermediate tasks have ``dev`` only."""
        shape = SHAPES.get(task)
        return "dev" if shape is not None and "test" not in shape.sizes else "test"
