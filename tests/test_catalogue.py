"""The catalogue: rows that agree with themselves, with XTREME, and with the readers."""

from __future__ import annotations

import csv
import inspect
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from xadapt.common.errors import UserError
from xadapt.data.hub_rows import FIELDS
from xadapt.data.readers import KIND_READ, READERS
from xadapt.tasks.catalogue import CATALOGUE, XTREME, XTREME_R, task_named
from xadapt.tasks.languages import LANGUAGES, grouped, iso3_of, name_of, resource_of
from xadapt.tasks.task import File, Task

SIZES = Path(__file__).parents[2] / "shared" / "language-sizes" / "cc-100" / "cc-100.csv"
ROWS = [pytest.param(task, id=name) for name, task in CATALOGUE.items()]


def files_of(task: Task) -> Iterator[File]:
    rows = task.parts or (task,)
    return (file for row in rows for files in row.files.values() for file in files)


def test_the_tasks_by_role() -> None:
    roles = {
        role: {t.name for t in CATALOGUE.values() if t.role == role} for role in ("intermediate", "target")
    }
    assert roles["intermediate"] == {
        "anli", "mnli", "qqp", "squad_v1", "squad_v2", "hellaswag", "ccg", "cosmos_qa", "commonsense_qa",
        "siqa", "copa", "mlm",
    }  # fmt: skip
    assert roles["target"] == {
        "xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc", "tatoeba", "xcopa", "mewslix",
        "lareqa",
    }  # fmt: skip


def test_a_task_is_found_by_its_name() -> None:
    assert task_named("xnli") is CATALOGUE["xnli"]


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown task 'xnIi'; did you mean 'xnli'") as caught:
        task_named("xnIi")
    assert "tatoeba" in str(caught.value)


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOGUE["new"] = CATALOGUE["xnli"]  # type: ignore[index]


def test_the_languages_are_xtremes() -> None:
    assert {name: len(languages) for name, languages in XTREME.items()} == {
        "xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11, "mlqa": 7, "tydiqa": 9, "bucc": 4,
        "tatoeba": 36,
    }  # fmt: skip
    without_english = {name for name, languages in XTREME.items() if "en" not in languages}
    assert without_english == {"bucc", "tatoeba"}
    assert len({code for languages in XTREME.values() for code in languages}) == 40


def test_the_languages_are_xtreme_rs() -> None:
    assert {name: len(languages) for name, languages in XTREME_R.items()} == {
        "xnli": 15, "udpos": 38, "panx": 48, "xquad": 12, "mlqa": 7, "tydiqa": 9, "tatoeba": 41,
        "xcopa": 11, "lareqa": 11, "mewslix": 11,
    }  # fmt: skip
    spoken = {code for languages in XTREME_R.values() for code in languages}
    assert spoken == set(LANGUAGES)
    assert len(spoken) == 50


@pytest.mark.parametrize("task", ROWS)
def test_a_row_agrees_with_itself(task: Task) -> None:
    assert task.summary
    assert task.licence
    assert task.citation
    assert task.url.startswith("https://")
    assert (bool(task.labels) or task.open_labels) == (task.kind in ("classify", "tag"))
    assert not (task.labels and task.open_labels)
    assert bool(task.stride) == (task.kind == "extract")
    assert set(task.files) <= {"train", "dev", "test"}
    assert len({*task.languages, *task.added}) == len(task.languages) + len(task.added)
    assert {*task.languages, *task.added} <= set(LANGUAGES)
    if task.train is not None:
        data = CATALOGUE[task.train]
        # LAReQA's encoder is trained on questions and the sentences that answer them.
        assert data.kind == task.kind or (task.name, data.name) == ("lareqa", "squad_v1")
        assert data.parts or "train" in data.files
    if task.role == "intermediate":
        assert task.train == task.name
        assert task.languages == (tuple(LANGUAGES) if task.name == "mlm" else ("en",))
    for part in task.parts:
        assert (part.kind, part.labels, part.languages) == (task.kind, task.labels, task.languages)
        assert part.hub is not None
        assert set(part.files) == {"train", "dev"}
    assert bool(task.parts) != bool(task.files)


@pytest.mark.parametrize("task", ROWS)
def test_every_file_has_a_reader_that_takes_its_options(task: Task) -> None:
    for file in files_of(task):
        if file.reader != "unusable":
            accepted = inspect.signature(READERS[file.reader]).parameters
            assert KIND_READ[file.reader] == task.kind
            assert set(file.options) <= set(accepted) - {"paths", "task", "split", "language"}
            assert file.shared == ("language" in accepted)
        fields = {field for _, field, _, _ in string.Formatter().parse(file.path) if field}
        assert fields <= {"lang", "iso3"}
    for file in task.files.get("train", ()):
        translated = task.role == "intermediate" and "en" in file.but
        assert "{" not in file.path or translated or task.name == "mlm", "training is in English"


@pytest.mark.parametrize("task", ROWS)
def test_a_hub_row_names_the_columns_of_its_kind(task: Task) -> None:
    for row in task.parts or (task,):
        if row.hub is None:
            assert row.no_hub, "what keeps it from the hub is said"
            continue
        assert not row.no_hub
        assert set(row.hub.columns) >= FIELDS[row.kind]
        assert set(row.hub.splits) <= {"train", "dev", "test"}
        assert not row.labels or set(row.hub.labels.values()) <= set(row.labels)


def test_what_is_not_on_the_hub() -> None:
    """Scripts are never run, BUCC's copies lack what makes it hard, CCGbank is licensed."""
    absent = {task.name for task in CATALOGUE.values() if task.hub is None and not task.parts}
    assert absent == {"ccg", "bucc", "lareqa", "mewslix"}


def test_labels_in_head_order() -> None:
    assert CATALOGUE["mnli"].labels == CATALOGUE["xnli"].labels == ("entailment", "neutral", "contradiction")
    assert CATALOGUE["qqp"].labels == CATALOGUE["pawsx"].labels == ("0", "1")
    assert CATALOGUE["panx"].labels == ("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O")
    tags = CATALOGUE["udpos"].labels
    assert len(tags) == 17
    assert list(tags) == sorted(tags)


def test_what_a_target_trains_on() -> None:
    trains = {name: task.train for name, task in CATALOGUE.items() if task.role == "target"}
    assert trains == {
        "xnli": "xnli",
        "pawsx": "pawsx",
        "udpos": "udpos",
        "panx": "panx",
        "xquad": "squad_v1",
        "mlqa": "squad_v1",
        "tydiqa": "tydiqa",
        "tatoeba": None,
        "bucc": None,
        "xcopa": "copa",
        "lareqa": "squad_v1",
        "mewslix": "mewslix",
    }


def test_anli_plus_is_what_the_paper_counted() -> None:
    """MNLI, SNLI and ANLI's rounds, not FEVER: 1,104,934 examples."""
    anli = CATALOGUE["anli"]
    assert [part.name for part in anli.parts] == ["anli_r1", "anli_r2", "anli_r3", "snli", "mnli"]
    assert anli.parts[-1] is CATALOGUE["mnli"]
    assert anli.size == 392_702 + 549_367 + 16_946 + 45_460 + 100_459


def test_sizes_are_jiants() -> None:
    sizes = {name: (t.epochs, t.batch_size, t.max_length) for name, t in CATALOGUE.items()}
    assert sizes["mnli"] == (3, 32, 256)
    assert sizes["xnli"] == (2, 32, 256)
    assert sizes["pawsx"] == (5, 32, 256)
    assert sizes["udpos"] == sizes["panx"] == (10, 32, 256)
    assert sizes["squad_v1"] == sizes["xquad"] == sizes["tydiqa"] == (2, 16, 384)
    assert sizes["tatoeba"][2] == sizes["bucc"][2] == 512
    # XTREME-R's scripts
    assert sizes["siqa"] == sizes["copa"] == sizes["xcopa"] == (5, 32, 128)
    assert sizes["lareqa"] == (3, 16, 256)
    assert sizes["mewslix"] == (2, 32, 64)


def test_codes_of_languages() -> None:
    assert (iso3_of("zh"), iso3_of("fa"), iso3_of("sw"), name_of("eu")) == ("cmn", "pes", "swh", "Basque")
    assert len({language.iso3 for language in LANGUAGES.values()}) == len(LANGUAGES)
    with pytest.raises(UserError, match="unknown language 'xx'"):
        iso3_of("xx")


class TestGroupsOfLanguages:
    def test_by_resource_from_the_size_in_cc100(self) -> None:
        groups = grouped(("yo", "sw", "en", "ta", "qu"), "resource")
        assert groups == {"high": ("en",), "middle": ("ta",), "low": ("sw",), "unseen": ("yo", "qu")}
        assert list(groups) == ["high", "middle", "low", "unseen"]
        assert resource_of("jv") == "low"

    def test_what_xlm_r_has_not_seen(self) -> None:
        assert grouped(LANGUAGES, "seen")["unseen by XLM-R"] == ("ht", "qu", "wo", "yo")

    def test_by_family_and_script(self) -> None:
        assert grouped(("de", "hi", "nl"), "family") == {
            "Indo-European: Germanic": ("de", "nl"),
            "Indo-European: Indic": ("hi",),
        }
        assert grouped(("bg", "de", "ru"), "script") == {"Cyrillic": ("bg", "ru"), "Latin": ("de",)}

    def test_a_language_of_a_users_own_task(self) -> None:
        assert grouped(("nah", "en"), "resource") == {"high": ("en",), "other": ("nah",)}

    @pytest.mark.skipif(not SIZES.is_file(), reason="needs ../shared/language-sizes, which is not here")
    def test_sizes_are_those_of_the_published_table(self) -> None:
        with SIZES.open(encoding="utf-8") as file:
            rows = [(row["ISO code"], float(row["Size (GiB)"])) for row in csv.DictReader(file)]
        for code, language in LANGUAGES.items():
            published = [size for other, size in rows if other == code]
            # the first of two is simplified Chinese, and Burmese in Unicode
            assert language.cc100 == (published[0] if published else None), code
