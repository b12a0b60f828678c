"""From a file to typed examples: one function a format, strict in what it accepts.

A reader gets the file (and the one beside it), the task's row and the split, and
returns a ``Reading``. It never guesses and never skips in silence: what does not fit
is an error that names file and line, and the few known faults of official
files are dropped or repaired and counted in ``Reading.notes``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from xadapt.data.ccgbank import auto, supertags
from xadapt.data.examples import Classified, Paired, Tagged, Text
from xadapt.data.json_readers import commonsense, copa, cosmos, hellaswag, nli_lines, social, squad
from xadapt.data.pools import bucc, entity_pairs, lareqa, mentions
from xadapt.data.reading import Reading, all_alike, lines_of, missing_label
from xadapt.errors import UserError
from xadapt.tasks.task import Task

Rows = list[tuple[int, list[str]]]  # line number, columns


def pairs(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """XTREME's pairs: text, pair and label between tabs, no header; no label in its test files.

    Quotes are literal, except in a file that ``csv.writer`` wrote, as XTREME's own
    script does: there every text with a quote in it is wrapped, and is unwrapped here.

    Raises:
        UserError: another number of columns, an unknown label, labels missing in train or dev.
    """
    path = paths[0]
    rows = [(number, line.split("\t")) for number, line in enumerate(lines_of(path), 1)]
    width = 2 if split == "test" and len(rows[0][1]) == 2 else 3
    for number, columns in rows:
        if len(columns) != width:
            if number == 1 and len(columns) == 2:
                raise missing_label(split, "2 columns, no label", path, number)
            names = ("text", "pair", "label")[:width]
            raise _ragged(path, number, len(columns), names)
    unwrapped = _undo_csv(rows)
    at = {"text": 0, "pair": 1, "label": 2} if width == 3 else {"text": 0, "pair": 1}
    reading = _classified(path, rows, at, task, split)
    if unwrapped:
        reading.notes["unwrapped"] = unwrapped
    return reading


def table(
    paths: Sequence[Path],
    task: Task,
    split: str,
    columns: Mapping[str, str],
    ragged: int = 0,
    labels: Mapping[str, str] | None = None,
) -> Reading:
    """A file with a header between tabs (GLUE); ``columns``: our field -> its column.

    ``ragged`` rows may be torn and are dropped, counted as ``dropped``. ``labels``: its label -> ours,
    where they differ.

    Raises:
        UserError: a column is missing, more rows are torn, an unknown label.
    """
    path = paths[0]
    lines = lines_of(path)
    header = lines[0].split("\t")
    wanted = {ours: theirs for ours, theirs in columns.items() if split != "test" or ours != "label"}
    if lost := [theirs for theirs in wanted.values() if theirs not in header]:
        raise UserError(
            f"no column {', '.join(lost)}; the header has {', '.join(header)}",
            expected=", ".join(columns.values()),
            do="is this the official file? Its first line is the header",
            path=path,
            line=1,
        )
    at = {ours: header.index(theirs) for ours, theirs in columns.items() if theirs in header}
    rows = [(number, line.split("\t")) for number, line in enumerate(lines[1:], 2)]
    whole = [row for row in rows if len(row[1]) == len(header)]
    dropped = len(rows) - len(whole)
    if dropped > ragged:
        number, bad = next(row for row in rows if len(row[1]) != len(header))
        raise _ragged(path, number, len(bad), header)
    if not whole:
        raise UserError("a header and no rows", expected="rows", do="download it again", path=path)
    if labels and "label" in at:
        for _, fields in whole:
            fields[at["label"]] = labels.get(fields[at["label"]], fields[at["label"]])
    reading = _classified(path, whole, at, task, split)
    if dropped:
        reading.notes["dropped"] = dropped
    return reading


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
                raise _unknown_label(path, number, tag, task.labels, "tag")
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


READERS: Mapping[str, Callable[..., Reading]] = MappingProxyType(
    {
        "pairs": pairs,
        "table": table,
        "tagged": tagged,
        "parallel": parallel,
        "running": running,
        "squad": squad,
        "nli_lines": nli_lines,
        "hellaswag": hellaswag,
        "commonsense": commonsense,
        "cosmos": cosmos,
        "social": social,
        "copa": copa,
        "supertags": supertags,
        "auto": auto,
        "bucc": bucc,
        "lareqa": lareqa,
        "entity_pairs": entity_pairs,
        "mentions": mentions,
    }
)


def _classified(path: Path, rows: Rows, at: Mapping[str, int], task: Task, split: str) -> Reading:
    """The examples of rows whose fields stand at the columns ``at``."""
    text, pair, label = at["text"], at.get("pair"), at.get("label")
    labels: list[str | None] = [None] * len(rows)
    if label is not None:
        allowed = frozenset(task.labels)
        for i, (number, columns) in enumerate(rows):
            if columns[label] not in allowed:
                raise _unknown_label(path, number, columns[label], task.labels, "label")
            labels[i] = columns[label]
        if all_alike(labels, split):
            labels = [None] * len(rows)
    examples = [
        Classified(str(i), columns[text], None if pair is None else columns[pair], labels[i])
        for i, (_, columns) in enumerate(rows)
    ]
    blank = sum(not example.text.strip() or example.pair == "" for example in examples)
    return Reading(examples, labels[0] is not None, {"blank": blank} if blank else {})


def _undo_csv(rows: Rows) -> int:
    """Unwraps the texts in place where all that hold a quote are wrapped and doubled; how many."""
    held = [(columns, i) for _, columns in rows for i in (0, 1) if '"' in columns[i]]
    if not held or not all(_wrapped(columns[i]) for columns, i in held):
        return 0
    for columns, i in held:
        columns[i] = columns[i][1:-1].replace('""', '"')
    return len(held)


def _wrapped(text: str) -> bool:
    inner = text[1:-1]
    return text[0] == '"' == text[-1] and '""' in inner and '"' not in inner.replace('""', "")


def _ragged(path: Path, line: int, got: int, names: Sequence[str]) -> UserError:
    return UserError(
        f"{got} column{'s' if got != 1 else ''}",
        expected=f"{len(names)} between tabs: {', '.join(names)}",
        do="a text that contains a tab or a line break tears its row apart; download the file again",
        path=path,
        line=line,
    )


def _unknown_label(path: Path, line: int, got: str, labels: Sequence[str], what: str) -> UserError:
    return UserError(
        f"unknown {what} {got!r}",
        expected=f"one of {', '.join(labels)}",
        do="is this the file of another task?",
        path=path,
        line=line,
    )


def _bad_word(path: Path, line: int, got: str, labelled: bool) -> UserError:
    return UserError(
        f"got {got!r}",
        expected="a word, a tab and its tag, or a blank line" if labelled else "a word, or a blank line",
        do="download the file again",
        path=path,
        line=line,
    )
