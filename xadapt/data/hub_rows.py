"""From the rows of a dataset on the hub to typed examples, by the catalogue's row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from xadapt.common.errors import UserError
from xadapt.data.lazy import RUN, Lazy, Paragraphs, TableRows, list_if_few
from xadapt.data.reading import answers_of, oddities, placeholders
from xadapt.tasks.examples import Chosen, Classified, Example, Extracted, Paired, Tagged, Text
from xadapt.tasks.languages import iso3_of, name_of
from xadapt.tasks.task import Hub, Task

REPORT = "report it: the catalogue's row needs correcting; until then pass a folder (--data DIR)"
Row = Mapping[str, Any]
Names = Callable[[object], str | None]  # a label as it stands in the data -> ours; None where withheld
Notes = dict[str, int]
# Kind -> the fields that a hub row must name columns for.
FIELDS: Mapping[str, frozenset[str]] = {
    "classify": frozenset({"text", "label"}),
    "choose": frozenset({"options", "label"}),
    "tag": frozenset({"words", "tags"}),
    "extract": frozenset({"id", "question", "context", "answers"}),
    "retrieve": frozenset({"source", "target"}),
    "mlm": frozenset({"text"}),
}


def config_of(hub: Hub, language: str) -> str | None:
    """The configuration that holds the language; None for the default one."""
    return None if hub.config is None else _filled(hub.config, hub, language)


def file_of(hub: Hub, language: str) -> str | None:
    """The one file that is read, as a pattern of the shell; None for all of the split."""
    return None if hub.file is None else _filled(hub.file, hub, language)


def _filled(template: str, hub: Hub, language: str) -> str:
    fields = {"lang": language}
    if "{iso3}" in template:
        fields["iso3"] = iso3_of(language)
    if "{name}" in template:
        fields["name"] = hub.names.get(language) or name_of(language)
    return template.format(**fields)


def examples_of(row: Task, hub: Hub, data: Any, language: str, split: str, notes: Notes) -> Sequence[Example]:
    """A dataset's rows as typed examples; what is dropped or repaired is counted in ``notes``.

    Raises:
        UserError: its columns, labels or answers are not what the catalogue's row says.
    """
    where = f"{hub.id} ({config_of(hub, language) or 'default'}, {split})"
    if not FIELDS[row.form] <= set(hub.columns):
        lost = ", ".join(sorted(FIELDS[row.form] - set(hub.columns)))
        raise UserError(f"the hub row of {row.name} names no column for {lost}", do="correct the row")
    lost_columns = _tops(hub) - set(data.column_names)
    if lost_columns:
        raise UserError(
            f"{where} has no column {', '.join(sorted(lost_columns))}, only {', '.join(data.column_names)}",
            expected=", ".join(hub.columns.values()),
            do=REPORT,
        )
    if hub.rows is not None:
        data = data.select(range(min(hub.rows, len(data))))
    if hub.prefix is not None:
        prefix = _filled(hub.prefix, hub, language).lower()
        data = data.select(
            [i for i, one in enumerate(data[hub.columns["id"]]) if str(one).startswith(prefix)]
        )
    names = _names(hub, data, where)
    drop = hub.unlabelled and split != "test"
    result: Sequence[Example]
    if row.form == "mlm":
        result = _running(data, hub.columns["text"])
    elif row.form == "classify":
        result = _classify(hub, data, row, names, split, where, notes, drop=drop)
    else:
        read = {"choose": _choose, "tag": _tag, "extract": _extract, "retrieve": _retrieve}
        rows: Iterator[Row] = _fields(hub, data, where)
        result = read[row.form](
            _decided(rows, names, notes) if drop else rows, row, names, split, where, notes
        )
    if not result:
        raise UserError(
            f"{where} has no rows" + (f" whose id starts with {prefix!r}" if hub.prefix else ""),
            expected="rows",
            do=REPORT,
        )
    if not isinstance(result, Lazy):
        notes.update(oddities(result))
    return result


def _fields(hub: Hub, data: Any, where: str) -> Iterator[dict[str, Any]]:
    """Every row under our names; only the columns that are needed are decoded."""
    for number, raw in enumerate(data.select_columns(sorted(_tops(hub)))):
        fields: dict[str, Any] = {}
        for ours, paths in hub.columns.items():
            values = [_value(raw, path) for path in paths.split()]
            fields[ours] = values if " " in paths else values[0]
        if hub.wording:
            if fields["question"] not in hub.wording:
                raise UserError(
                    f"{where}, row {number}: question {fields['question']!r}",
                    expected=f"one of {', '.join(hub.wording)}",
                    do=REPORT,
                )
            fields["question"] = hub.wording[fields["question"]]
        yield fields


def _tops(hub: Hub) -> set[str]:
    """The columns that the row names."""
    return {path.split(".")[0] for paths in hub.columns.values() for path in paths.split()}


def _value(raw: Any, path: str) -> Any:
    """What lies in a row at a path; a dot leads into a nested column."""
    for step in path.split("."):
        raw = raw[step]
    return raw


def _column(columns: Mapping[str, list[Any]], path: str) -> list[Any]:
    """What lies at a path in several rows, which are given by columns."""
    top, _, within = path.partition(".")
    return [_value(one, within) for one in columns[top]] if within else columns[top]


def _decided(rows: Iterator[Row], names: Names, notes: Notes) -> Iterator[Row]:
    """The rows with a label; the others are counted as dropped."""
    for fields in rows:
        if names(fields["label"]) is None:
            notes["dropped"] = notes.get("dropped", 0) + 1
        else:
            yield fields


def _names(hub: Hub, data: Any, where: str) -> Callable[[object], str | None]:
    """From a label as it stands in the data to ours as a text; None for one that is withheld."""
    column = hub.columns.get("label") or hub.columns.get("tags")
    feature = data.features.get(column) if column else None
    feature = getattr(feature, "feature", feature)  # a list of tags has its labels one level down
    known: Sequence[str] | None = getattr(feature, "names", None)

    def ours(value: object) -> str | None:
        if value in (None, "", -1):
            return None
        text = str(value)
        if known is not None and isinstance(value, int):
            if value >= len(known):
                raise UserError(f"{where}: label {value}", expected=f"below {len(known)}", do=REPORT)
            text = known[value]  # by its name: the order of the names is theirs, not ours
        return hub.labels.get(text, text)

    return ours


def _checked(label: str | None, row: Task, where: str, number: int) -> str | None:
    if label is not None and label not in row.labels and not row.open_labels:
        raise UserError(
            f"{where}, row {number}: unknown label {label!r}",
            expected=f"one of {', '.join(row.labels)}",
            do=REPORT,
        )
    return label


def _withheld(labels: Sequence[object], split: str, where: str) -> bool:
    """Whether there are no labels, which only a test split may be without."""
    without = None in labels or placeholders(len(labels), set(labels), split)
    if without and split != "test":
        raise UserError(
            f"{where}: row {labels.index(None)} has no label",
            expected=f"labels in the {split} split",
            do=REPORT,
        )
    return without


def _classify(
    hub: Hub, data: Any, row: Task, names: Names, split: str, where: str, notes: Notes, *, drop: bool
) -> Sequence[Classified]:
    """Texts and labels, checked in one pass over the table, in which they stay where they are many.

    Args:
        drop: leave rows without a label out, and note how many there were.
    """
    text, pair, label = hub.columns["text"], hub.columns.get("pair"), hub.columns["label"]
    texts = [text] if pair is None else [text, pair]
    data = data.select_columns(sorted({path.split(".")[0] for path in (*texts, label)}))
    ours: dict[object, str | None] = {}  # their labels -> ours
    odd = Counter[str]()
    left_out: list[int] = []
    for first in range(0, len(data), RUN):
        columns = data[first : first + RUN]
        kept = []
        for number, (value, *held) in enumerate(
            zip(*(_column(columns, path) for path in (label, *texts)), strict=True), first
        ):
            if value not in ours:
                ours[value] = _checked(names(value), row, where, number)
                if ours[value] is None and split != "test" and not drop:
                    raise UserError(
                        f"{where}: row {number} has no label",
                        expected=f"labels in the {split} split",
                        do=REPORT,
                    )
            if None in held:
                got = f"{where}, row {number}: no {texts[held.index(None)]}"
                raise UserError(got, expected="a text in every row", do=REPORT)
            if drop and ours[value] is None:
                left_out.append(number)
            else:
                kept.append(Classified("", held[0], held[-1], None))
        odd.update(oddities(kept))
    notes.update(odd)
    if left_out:
        notes["dropped"] = len(left_out)
        data = data.select(np.setdiff1d(np.arange(len(data)), left_out))
    found = set(ours.values()) - ({None} if drop else set())
    withheld = None in found or placeholders(len(data), found, split)

    def parse(number: int, fields: Row) -> Classified:
        known = None if withheld else ours[_value(fields, label)]
        return Classified(str(number), _value(fields, text), _value(fields, pair) if pair else None, known)

    return list_if_few(TableRows(data, Classified, parse))


def _choose(
    rows: Iterator[Row], row: Task, names: Names, split: str, where: str, notes: Notes
) -> list[Example]:
    found: list[Chosen] = []
    for i, fields in enumerate(rows):
        keys = [str(key) for key in fields.get("keys") or range(len(fields["options"]))]
        label = names(fields["label"])
        if label is not None and label not in keys:
            raise UserError(
                f"{where}, row {i}: label {label!r}", expected=f"one of {', '.join(keys)}", do="report it"
            )
        index = None if label is None else keys.index(label)
        context, question = fields.get("context", ""), fields.get("question", "")
        found.append(Chosen(str(i), context, question, tuple(fields["options"]), index))
    if not _withheld([example.label for example in found], split, where):
        return list(found)
    return [replace(example, label=None) for example in found]


def _tag(rows: Iterator[Row], row: Task, names: Names, split: str, where: str, notes: Notes) -> list[Example]:
    result: list[Example] = []
    for i, fields in enumerate(rows):
        words, tags = tuple(fields["words"]), [names(tag) for tag in fields["tags"]]
        for tag in tags:
            _checked(tag, row, where, i)
        if len(tags) != len(words):
            raise UserError(
                f"{where}, row {i}: {len(tags)} tags for {len(words)} words",
                expected="as many",
                do=REPORT,
            )
        given = tuple(tag for tag in tags if tag is not None)
        result.append(Tagged(str(i), words, given if len(given) == len(words) else None))
    _withheld([example.tags for example in result if isinstance(example, Tagged)], split, where)
    return result


def _extract(
    rows: Iterator[Row], row: Task, names: Names, split: str, where: str, notes: Notes
) -> list[Example]:
    result: list[Example] = []
    seen: set[str] = set()
    for fields in rows:
        given = fields["answers"]
        if isinstance(given, Mapping):  # one list of texts and one of offsets
            pairs = list(zip(given["text"], given["answer_start"], strict=True))
        else:
            pairs = [(answer["text"], answer["answer_start"]) for answer in given]
        if str(fields["id"]) in seen:
            raise UserError(
                f"{where}: two questions have the id {fields['id']!r}", expected="every id once", do=REPORT
            )
        seen.add(str(fields["id"]))
        answers, repaired = answers_of(
            fields["context"],
            pairs,
            unanswerable=row.unanswerable,
            where=f"{where}, question {fields['id']!r}",
            path=None,
        )
        if repaired:
            notes["repaired"] = notes.get("repaired", 0) + repaired
        result.append(Extracted(str(fields["id"]), fields["question"], fields["context"], answers))
    return result


def _retrieve(
    rows: Iterator[Row], row: Task, names: Names, split: str, where: str, notes: Notes
) -> list[Example]:
    # The hub's texts end in the line feed of the files that they were made of.
    return [Paired(str(i), r["source"].strip(), r["target"].strip()) for i, r in enumerate(rows)]


def _running(data: Any, path: str) -> Sequence[Text]:
    """The paragraphs of documents, which stay in the table where they are many."""
    data = data.select_columns([path.split(".", maxsplit=1)[0]])
    return list_if_few(Paragraphs(data, lambda columns: map(str, _column(columns, path))))
