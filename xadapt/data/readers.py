"""From a file to typed examples: one function a format, strict in what it accepts.

A reader gets the file (and the one beside it), the task's row and the split, and
returns a ``Reading``. It never guesses and never skips in silence: what does not fit
is an error that names file and line, and the few known faults of official
files are dropped or repaired and counted in ``Reading.notes``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from xadapt.common.errors import UserError
from xadapt.common.own import found, is_own
from xadapt.data.ccgbank import auto, supertags
from xadapt.data.json_readers import commonsense, copa, cosmos, hellaswag, nli_lines, social, squad
from xadapt.data.reading import Reading, missing_label, unknown_label
from xadapt.data.retrieval_readers import bucc, entity_pairs, lareqa, mentions
from xadapt.data.text import lines_of
from xadapt.data.tsv_readers import pairs, table
from xadapt.tasks.examples import (
    Chosen,
    Classified,
    Extracted,
    Paired,
    Sought,
    Tagged,
    Text,
)
from xadapt.tasks.task import KindName, Task


def tagged(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """A word and its tag a line, a blank line after each sentence; no tags in XTREME's test files.

    Raises:
        UserError: a word or tag is missing, an unknown tag, labels missing in train or dev.
    """
    path = paths[0]
    lines = lines_of(path)
    first = next(line for line in lines if line.strip())
    labelled = "\t" in first
    if not labelled and split != "test":
        raise missing_label(split, "words without tags", path, lines.index(first) + 1)
    allowed = None if task.open_labels else frozenset(task.labels)
    examples: list[Tagged] = []
    words: list[str] = []
    tags: list[str] = []

    def close() -> None:
        if words:
            identifier = str(len(examples))
            examples.append(Tagged(identifier, tuple(words), tuple(tags) if labelled else None))
            words.clear()
            tags.clear()

    for number, line in enumerate(lines, 1):
        word, tab, tag = line.partition("\t")
        if not word.strip():
            if tab:
                raise _bad_word(path, number, line, labelled)
            close()  # a blank line, or one of spaces
            continue
        if bool(tab) != labelled or "\t" in tag:
            raise _bad_word(path, number, line, labelled)
        words.append(word)
        if labelled:
            if (allowed is not None and tag not in allowed) or not tag:
                raise unknown_label(path, number, tag, task.labels, "tag")
            tags.append(tag)
    close()
    return Reading(examples, labelled)


def parallel(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """Two files, line i of one translates line i of the other; the English one is the second.

    Raises:
        UserError: the files differ in length, or a line is blank.
    """
    sources, targets = (lines_of(path) for path in paths)
    if len(sources) != len(targets):
        raise UserError(
            f"{len(sources)} lines beside {len(targets)} in {paths[1].name}",
            expected="as many: line i translates line i",
            do="download both again",
            path=paths[0],
        )
    for path, lines in zip(paths, (sources, targets), strict=True):
        for number, line in enumerate(lines, 1):
            if not line.strip():
                raise UserError(
                    "blank line",
                    expected="a sentence a line",
                    do="download both again",
                    path=path,
                    line=number,
                )
    examples = [Paired(str(i), *pair) for i, pair in enumerate(zip(sources, targets, strict=True))]
    return Reading(examples, labelled=True)


def running(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """Running text, a paragraph or sentence a line; blank lines part them and are no examples.

    Raises:
        UserError: a file is empty or not UTF-8.
    """
    texts = (line.strip() for path in paths for line in lines_of(path))
    examples = [Text(str(number), text) for number, text in enumerate(filter(None, texts))]
    return Reading(examples, labelled=True)


_BY_KIND: Mapping[KindName, tuple[Callable[..., Reading], ...]] = {
    "classify": (pairs, table, nli_lines),
    "choose": (hellaswag, commonsense, cosmos, social, copa),
    "tag": (tagged, supertags, auto),
    "extract": (squad,),
    "retrieve": (parallel, bucc, lareqa, entity_pairs, mentions),
    "mlm": (running,),
}
READERS: Mapping[str, Callable[..., Reading]] = MappingProxyType(
    {reader.__name__: reader for readers in _BY_KIND.values() for reader in readers}
)
# The kind of task that a reader's examples are for.
KIND_READ: Mapping[str, KindName] = MappingProxyType(
    {reader.__name__: kind for kind, readers in _BY_KIND.items() for reader in readers}
)

# What a kind's examples are: of ``retrieve`` pairs, or queries and candidates.
_EXAMPLES: Mapping[str, tuple[type, ...]] = {
    "classify": (Classified,),
    "choose": (Chosen,),
    "tag": (Tagged,),
    "extract": (Extracted,),
    "retrieve": (Paired, Sought),
    "mlm": (Text,),
}


def reader_named(name: str) -> Callable[..., Reading]:
    """The function of this name: one of ``READERS``, or ``module.name`` of a user's own.

    Raises:
        UserError: there is no such function of a user's own.
    """
    if not is_own(name):
        return READERS[name]
    reader = found(name)
    if not callable(reader):
        raise UserError(f"{name} is {type(reader).__name__}", expected="a function: def (paths, task, split)")

    def checked(paths: Sequence[Path], task: Task, split: str, **options: object) -> Reading:
        reading = reader(paths, task, split, **options)
        if not isinstance(reading, Reading):
            raise UserError(f"{name} gives {type(reading).__name__}", expected="an xadapt.Reading")
        fitting = _EXAMPLES[task.form]
        if wrong := next((e for e in reading.examples if not isinstance(e, fitting)), None):
            raise UserError(
                f"{name} gives examples of class {type(wrong).__name__}",
                expected=f"{' or '.join(one.__name__ for one in fitting)}, which {task.name} is made of",
            )
        if not reading.examples:
            raise UserError(f"{name} finds no example", path=paths[0])
        return reading

    return checked


def options_of(name: str) -> list[inspect.Parameter]:
    """What a row can name in ``options`` for a reader. Raises ``UserError`` as ``reader_named``."""
    reader = found(name) if is_own(name) else READERS[name]
    parameters = list(inspect.signature(reader).parameters.values())[3:]
    return [parameter for parameter in parameters if parameter.name != "language"]


def _bad_word(path: Path, line: int, got: str, labelled: bool) -> UserError:
    return UserError(
        f"got {got!r}",
        expected="a word, a tab and its tag, or a blank line" if labelled else "a word, or a blank line",
        do="download the file again",
        path=path,
        line=line,
    )
