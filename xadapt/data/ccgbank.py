"""Readers of CCG supertags: ``word|POS|supertag`` lines, and CCGbank as the LDC distributes it.

The set of supertags is open (``Task.open_labels``): no tag is unknown here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from xadapt.common.errors import UserError
from xadapt.data.reading import Reading
from xadapt.data.text import lines_of
from xadapt.tasks.examples import Tagged
from xadapt.tasks.task import Task

# A leaf of a derivation: category, two parts of speech, the word, the category with its dependencies.
LEAF = re.compile(r"<L (\S+) (\S+) (\S+) (\S+) (\S+)>")


def supertags(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """A sentence a line, its tokens ``word|POS|supertag`` between spaces.

    Raises:
        UserError: a token without its two bars, or with nothing between them.
    """
    path = paths[0]
    examples: list[Tagged] = []
    for number, line in enumerate(lines_of(path), 1):
        tokens = [token.rsplit("|", 2) for token in line.split()]
        if bad := next((token for token in tokens if len(token) != 3 or not all(token)), None):
            raise UserError(
                f"got {'|'.join(bad)!r}",
                expected="word|POS|supertag",
                do="is this the file of another task? Tokens stand between spaces, sentences on lines",
                path=path,
                line=number,
            )
        if tokens:
            words, _, tags = zip(*tokens, strict=True)
            examples.append(Tagged(str(len(examples)), words, tags))
    return Reading(examples, labelled=True)


def auto(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """CCGbank's AUTO files: for each sentence a line ``ID=wsj_0001.1 ...`` and one with its derivation.

    Raises:
        UserError: an id twice, a derivation without an id or without a word, a line that is neither.
    """
    examples: list[Tagged] = []
    seen: set[str] = set()
    for path in paths:
        name: str | None = None
        for number, line in enumerate(lines_of(path), 1):
            if line.startswith("ID="):
                if name is not None:
                    raise _broken(f"{name} has no derivation", path, number)
                name = line.split()[0].removeprefix("ID=")
                if name in seen:
                    raise _broken(f"id {name!r} a second time", path, number)
                seen.add(name)
            elif line.strip():
                leaves = LEAF.findall(line)
                if name is None or not leaves:
                    raise _broken(f"got {line[:60]!r}", path, number)
                tags, _, _, words, _ = zip(*leaves, strict=True)
                examples.append(Tagged(name, words, tags))
                name = None
        if name is not None:
            raise _broken(f"{name} has no derivation", path, number)
    return Reading(examples, labelled=True)


def _broken(got: str, path: Path, line: int) -> UserError:
    return UserError(
        got,
        expected="a line 'ID=wsj_0001.1 ...' and below it a derivation '(<T ... (<L ...>) ... )'",
        do="copy the file from the distribution again",
        path=path,
        line=line,
    )
