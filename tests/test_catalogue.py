"""The catalogue: rows that agree with themselves, with XTREME, and with the readers."""

from __future__ import annotations

import inspect
import string
from collections.abc import Iterator

import pytest

from xadapt.data.hub_rows import FIELDS
from xadapt.data.readers import READERS
from xadapt.errors import UserError
from xadapt.tasks.catalogue import CATALOGUE, task_named
from xadapt.tasks.languages import LANGUAGES, iso3_of, name_of
from xadapt.tasks.task import File, Task

ROWS = [pytest.param(task, id=name) for name, task in CATALOGUE.items()]


def files_of(task: Task) -> Iterator[File]:
    return (file for files in task.files.values() for file in files)


def test_the_tasks_by_role() -> None:
    roles = {
        role: {t.name for t in CATALOGUE.values() if t.role == role} for role in ("intermediate", "target")
    }
    assert roles["intermediate"] == {
        "mnli", "qqp", "squad_v1", "squad_v2", "hellaswag", "cosmos_qa", "commonsense_qa"
    }  # fmt: skip
    assert roles["target"] == {"xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "tatoeba"}


def test_a_task_is_found_by_its_name() -> None:
    assert task_named("xnli") is CATALOGUE["xnli"]


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown task 'xnIi'; did you mean 'xnli'") as caught:
        task_named("xnIi")
    assert "tatoeba" in str(caught.value)


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOGUE["new"] = CATALOGUE["xnli"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("xnli", 15), ("pawsx", 7), ("udpos", 33), ("panx", 40), ("xquad", 11), ("mlqa", 7), ("tydiqa", 9),
        ("tatoeba", 36),
    ],
)  # fmt: skip
def test_the_languages_are_xtremes(name: str, count: int) -> None:
    languages = CATALOGUE[name].languages
    assert len(languages) == len(set(languages)) == count
    assert ("en" in languages) == (name != "tatoeba")


@pytest.mark.parametrize("task", ROWS)
def test_a_row_agrees_with_itself(task: Task) -> None:
    assert task.summary
    assert task.licence
    assert task.citation
    assert task.url.startswith("https://")
    assert bool(task.labels) == (task.kind in ("classify", "tag"))
    assert bool(task.stride) == (task.kind == "extract")
    assert task.train is None or CATALOGUE[task.train].kind == task.kind
    assert task.train is None or "train" in CATALOGUE[task.train].files
    assert set(task.files) <= {"train", "dev", "test"}
    assert set(task.languages) <= set(LANGUAGES)
    if task.role == "intermediate":
        assert task.languages == ("en",)
        assert task.train == task.name


@pytest.mark.parametrize("task", ROWS)
def test_every_file_has_a_reader_that_takes_its_options(task: Task) -> None:
    for file in files_of(task):
        if file.reader != "unusable":
            accepted = inspect.signature(READERS[file.reader]).parameters
            assert set(file.options) <= set(accepted) - {"paths", "task", "split"}
        fields = {field for _, field, _, _ in string.Formatter().parse(file.path) if field}
        assert fields <= {"lang", "iso3"}
    for file in task.files.get("train", ()):
        assert "{" not in file.path, "training is in English"


@pytest.mark.parametrize("task", ROWS)
def test_a_hub_row_names_the_columns_of_its_kind(task: Task) -> None:
    if task.hub is None:
        assert task.name == "cosmos_qa", "the hub has it only as a script"
        return
    assert set(task.hub.columns) >= FIELDS[task.kind]
    assert set(task.hub.splits) <= {"train", "dev", "test"}
    assert not task.labels or set(task.hub.labels.values()) <= set(task.labels)


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
    }


def test_sizes_are_jiants() -> None:
    sizes = {name: (t.epochs, t.batch_size, t.max_length) for name, t in CATALOGUE.items()}
    assert sizes["mnli"] == (3, 32, 256)
    assert sizes["xnli"] == (2, 32, 256)
    assert sizes["pawsx"] == (5, 32, 256)
    assert sizes["udpos"] == sizes["panx"] == (10, 32, 256)
    assert sizes["squad_v1"] == sizes["xquad"] == sizes["tydiqa"] == (2, 16, 384)
    assert sizes["tatoeba"][2] == 512


def test_codes_of_languages() -> None:
    assert (iso3_of("zh"), iso3_of("fa"), iso3_of("sw"), name_of("eu")) == ("cmn", "pes", "swh", "Basque")
    assert len({iso3 for _, iso3 in LANGUAGES.values()}) == len(LANGUAGES)
    with pytest.raises(UserError, match="unknown language 'xx'"):
        iso3_of("xx")
