"""Lazy examples: what is read from a large file is what was read from it whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from folders import XNLI, Write, refused

from xadapt.common.errors import UserError
from xadapt.data import hub_rows, lazy
from xadapt.data.folder import Folder
from xadapt.data.lazy import Deferred, FileRows, Joined, Lazy, Selection, TableRows
from xadapt.data.readers import READERS
from xadapt.data.reading import hold_out, sampled
from xadapt.kinds.checks import typed
from xadapt.tasks.catalogue import task_named
from xadapt.tasks.examples import Classified, Example

LABELS = ("entailment", "neutral", "contradiction")
ROWS = "".join(f"A man sees {i} birds.\tHe sees ß{'é' * (i % 7)}.\t{LABELS[i % 3]}\n" for i in range(300))


@pytest.fixture
def folder(tmp_path: Path, write: Write) -> Folder:
    write("xnli/train-en.tsv", XNLI)
    write("xnli/dev-en.tsv", XNLI)
    return Folder(tmp_path / "xtreme")


@pytest.fixture
def from_ten_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences are lazy from 10 examples on, and read 7 at a time."""
    monkeypatch.setattr(lazy, "LARGE", 10)
    monkeypatch.setattr(lazy, "RUN", 7)
    monkeypatch.setattr(hub_rows, "RUN", 7)


def both(folder: Folder, lang: str, split: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """A load in a list, and the same load lazily."""
    whole = folder.load("xnli", lang, split)
    monkeypatch.setattr(lazy, "LARGE", 10)
    monkeypatch.setattr(lazy, "RUN", 7)
    return whole, folder.load("xnli", lang, split)


CSV = "".join(f'"""No"" {i}"\tYes {i}\tneutral\nYes\t"It is ""{i}"""\tentailment\n' for i in range(20))


@pytest.mark.parametrize(
    "content",
    [
        ROWS,
        "\ufeff" + ROWS.replace("\n", "\r\n") + "\r\n\n",
        ROWS.rstrip("\n"),
        ROWS + '"a"\tb\tneutral',
        CSV,
    ],
    ids=["plain", "marked, CRLF, blank at the end", "no last line end", "literal quotes", "written by csv"],
)
def test_a_large_file_gives_the_same_examples(
    folder: Folder, write: Write, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    write("xnli/dev-de.tsv", content)
    whole, rows = both(folder, "de", "dev", monkeypatch)
    assert isinstance(whole, list)
    assert isinstance(rows, FileRows)
    assert list(rows) == whole
    assert [rows[i] for i in (0, 17, -1)] == [whole[i] for i in (0, 17, -1)]
    assert rows[3:12] == whole[3:12]
    assert list(rows[3:20]) == whole[3:20]
    assert list(rows[2::3]) == whole[2::3]
    with pytest.raises(IndexError):
        rows[len(whole)]


def test_placeholder_labels_of_a_large_test_file_are_left_out(
    folder: Folder, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("xnli/test-de.tsv", "a\tb\tneutral\n" * 40)
    whole, rows = both(folder, "de", "test", monkeypatch)
    assert folder.label_status("xnli", "de", "test") == "unlabelled"
    assert list(rows) == whole
    assert whole[0].label is None


@pytest.mark.usefixtures("from_ten_on")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (ROWS + "torn\n", ":301: 1 column\n"),
        (ROWS + "\n" + ROWS, ":301: 1 column\n"),
        (ROWS + "a\tb\tmaybe\n", ":301: unknown label 'maybe'"),
        (ROWS.encode() + b"ca\xe9\tb\tneutral\n", ":301: not UTF-8: byte 0xe9"),
    ],
)
def test_a_large_file_is_checked_to_its_last_line(
    folder: Folder, write: Write, content: str | bytes, said: str
) -> None:
    path = write("xnli/dev-de.tsv", content)
    assert f"{path}{said}" in refused(folder, "xnli", "de", "dev")


@pytest.mark.usefixtures("from_ten_on")
def test_labels_of_other_names_are_ours_in_a_large_table(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\tl\n" + "".join(f"A {i}\tB\t{'yes' if i % 2 else 'neutral'}\n" for i in range(30)))
    columns = {"text": "a", "pair": "b", "label": "l"}
    reading = READERS["table"]([path], task_named("mnli"), "train", columns, labels={"yes": "entailment"})
    assert isinstance(reading.examples, FileRows)
    assert [e.label for e in reading.examples] == ["neutral", "entailment"] * 15


@pytest.mark.usefixtures("from_ten_on")
def test_torn_rows_are_left_out_of_a_large_table(folder: Folder, write: Write) -> None:
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    rows = [f"9\t1\t2\tWho {i}?\tWhat?\t{i % 2}\n" for i in range(30)]
    write("../intermediate/qqp/train.tsv", header + "".join([*rows[:12], "torn\n", *rows[12:]]))
    write("../intermediate/qqp/dev.tsv", header + rows[0])
    found = folder.load("qqp", "en", "train")
    assert isinstance(found, FileRows)
    assert list(found) == [Classified(str(i), f"Who {i}?", "What?", str(i % 2)) for i in range(30)]
    assert folder.notes("qqp", "en", "train") == {"dropped": 1}


@pytest.mark.usefixtures("from_ten_on")
def test_a_file_that_changes_during_a_run_is_refused(folder: Folder, write: Write) -> None:
    path = write("xnli/dev-de.tsv", ROWS)
    rows = folder.load("xnli", "de", "dev")
    with path.open("a") as file:
        file.write("one\tmore\tneutral\n")
    with pytest.raises(UserError, match="has changed since it was checked"):
        list(rows)


@pytest.mark.usefixtures("from_ten_on")
def test_parts_of_a_large_sequence_are_views(folder: Folder, write: Write) -> None:
    write("xnli/dev-de.tsv", ROWS)
    rows = folder.load("xnli", "de", "dev")
    whole = list(rows)
    kept, held = hold_out(rows)
    assert isinstance(kept, Selection)
    assert list(kept) == whole[:270]
    assert list(held) == whole[270:]
    assert isinstance(rows, Lazy)
    order = np.random.default_rng(0).permutation(300)[:50]
    drawn = Selection(rows, order)
    assert list(drawn) == [whole[i] for i in order]
    assert list(drawn[5:30]) == [whole[i] for i in order[5:30]]
    assert typed(drawn, Classified) is drawn


@pytest.mark.usefixtures("from_ten_on")
def test_several_sequences_are_one_and_ids_stay_unique(folder: Folder, write: Write) -> None:
    write("xnli/dev-de.tsv", ROWS)
    rows = folder.load("xnli", "de", "dev")
    few = [Classified("0", "a", "b", "neutral"), Classified("1", "c", "d", "neutral")]
    one = Joined([("few", few), ("none", []), ("rows", rows), ("last", few)])
    whole = list(one)
    assert len(one) == len(whole) == 304
    assert [e.id for e in whole[:4]] == ["few-0", "few-1", "rows-0", "rows-1"]
    assert whole[2] == replace(rows[0], id="rows-0")
    assert list(one[1:303]) == whole[1:303]
    assert one[-1] == Classified("last-1", "c", "d", "neutral")
    assert len({e.id for e in whole}) == 304
    assert typed(one, Classified) is one


def parts_of(**sizes: int) -> Joined[Classified]:
    return Joined(
        (name, [Classified(str(i), name, None, "neutral") for i in range(size)])
        for name, size in sizes.items()
    )


def test_a_sample_is_drawn_from_all_over_every_part_by_its_share() -> None:
    whole = parts_of(r1=1000, r2=1000, r3=1200, snli=9842, mnli=9815)
    sample = sampled(whole, 500)
    assert Counter(e.text for e in sample) == {"r1": 22, "r2": 22, "r3": 26, "snli": 215, "mnli": 215}
    assert len({e.id for e in sample}) == 500
    places = [int(e.id.split("-")[1]) for e in sample if e.text == "mnli"]
    assert places == sorted(places)
    assert max(places) > 8800, "not a part's head"


def test_a_sample_is_always_the_same_and_never_more_than_there_is() -> None:
    assert sampled(parts_of(a=30, b=70), 20) == sampled(parts_of(a=30, b=70), 20)
    few = parts_of(a=2, b=3)
    assert sampled(few, 5) == sampled(few, 9) == list(few)
    assert len(sampled(parts_of(a=5, b=5, c=5), 2)) == 2
    assert [len(sampled(list(range(100)), n)) for n in (1, 50, 99)] == [1, 50, 99]


@pytest.mark.usefixtures("from_ten_on")
def test_only_what_is_sampled_is_read(folder: Folder, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("xnli/dev-de.tsv", ROWS)
    rows = folder.load("xnli", "de", "dev")
    assert isinstance(rows, FileRows)
    parsed = []
    parse = rows.parse
    monkeypatch.setattr(rows, "parse", lambda number, line: parsed.append(number) or parse(number, line))
    assert len(sampled(Joined([("a", rows), ("b", rows)]), 10)) == 10
    assert len(parsed) == 10


def test_deferred_examples_are_loaded_once_and_only_if_they_are_asked_for() -> None:
    calls: list[int] = []

    def load() -> list[Classified]:
        calls.append(1)
        return [Classified(str(i), "a", None, None) for i in range(5)]

    examples = Deferred(5, load)
    assert len(examples) == 5
    assert not calls
    assert [e.id for e in examples[1:3]] == ["1", "2"]
    assert examples[-1].id == "4"
    assert len(calls) == 1


class TestHub:
    LABEL = datasets.ClassLabel(names=["contradiction", "entailment", "neutral"])  # not our order

    def table(self, labels: list[int], text: str | None = "A") -> datasets.Dataset:
        features = datasets.Features(
            {"premise": datasets.Value("string"), "hypothesis": datasets.Value("string"), "label": self.LABEL}
        )
        rows = {"premise": [text] * len(labels), "hypothesis": [f"b{i}" for i in range(len(labels))]}
        return datasets.Dataset.from_dict(rows | {"label": labels}, features=features)

    def load(self, data: datasets.Dataset, split: str = "dev") -> Sequence[Example]:
        row = task_named("xnli")
        assert row.hub is not None
        return hub_rows.examples_of(row, row.hub, data, "de", split, {})

    def test_a_large_table_gives_the_same_examples(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = self.table([i % 3 for i in range(40)])
        whole = self.load(data)
        monkeypatch.setattr(lazy, "LARGE", 10)
        monkeypatch.setattr(lazy, "RUN", 7)
        rows = self.load(data)
        assert isinstance(rows, TableRows)
        assert list(rows) == whole
        assert rows[13] == whole[13]

    @pytest.mark.usefixtures("from_ten_on")
    def test_it_is_checked_to_its_last_row(self) -> None:
        with pytest.raises(UserError, match="row 30 has no label"):
            self.load(self.table([i % 3 for i in range(30)] + [-1]))
        with pytest.raises(UserError, match="row 0: no premise"):
            self.load(self.table([i % 3 for i in range(30)], text=None))

    @pytest.mark.usefixtures("from_ten_on")
    def test_undecided_rows_can_be_left_out(self) -> None:
        row, notes = task_named("xnli"), dict[str, int]()
        assert row.hub is not None
        data = self.table([*(i % 3 for i in range(12)), -1, *(i % 3 for i in range(12)), -1])
        hub = replace(row.hub, unlabelled=True)
        rows = hub_rows.examples_of(row, hub, data, "de", "train", notes)
        assert isinstance(rows, TableRows)
        assert notes == {"dropped": 2}
        assert [(e.id, e.pair) for e in rows if isinstance(e, Classified)][11:14] == [
            ("11", "b11"),
            ("12", "b13"),
            ("13", "b14"),
        ]
        assert len(rows) == 24

    @pytest.mark.usefixtures("from_ten_on")
    def test_withheld_labels_are_left_out(self) -> None:
        assert {e.label for e in self.load(self.table([1] * 30), "test") if isinstance(e, Classified)} == {
            None
        }
