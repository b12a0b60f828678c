"""The hub source, through the real `datasets` library against a stand-in for the hub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from hub_server import HEAD, REPOSITORY, ask, card, parquet, served

from xadapt.common.errors import UserError
from xadapt.data.hub import HubSource
from xadapt.tasks.catalogue import CATALOGUE, task_named

NLI = datasets.ClassLabel(names=["entailment", "neutral", "contradiction"])
TAGS = datasets.ClassLabel(names=["X", "VERB", "NOUN"])  # in an order of their own


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Repository -> file -> content, in the shapes of the real ones."""
    where = tmp_path_factory.mktemp("parquet")
    text = datasets.Value("string")
    pair = datasets.Features({"premise": text, "hypothesis": text, "label": NLI})
    tagged = datasets.Features({"tokens": datasets.List(text), "pos_tags": datasets.List(TAGS)})

    def nli(n: int, word: str) -> bytes:
        rows = {"premise": [word] * n, "hypothesis": ["?"] * n, "label": [i % 3 for i in range(n)]}
        return parquet(rows, pair, where)

    def squad(ids: list[str], start: int = 4) -> bytes:
        n = len(ids)
        rows = {
            "id": ids,
            "title": ["t"] * n,
            "context": ["Das Zürich im Süden."] * n,
            "question": ["Wo?"] * n,
            "answers": [{"text": ["Zürich"], "answer_start": [start]}] * n,
        }
        return parquet(rows, None, where)

    words = {"tokens": [["Wer", "geht", "da"]], "pos_tags": [[0, 1, 2]]}
    withheld = {"premise": ["a"], "hypothesis": ["b"], "label": [-1]}
    odd = {"premise": ["a"], "hypothesis": ["b"], "label": ["maybe"]}
    return {
        "facebook/xnli": {
            "README.md": card(
                {
                    "de": ["validation", "test"],
                    "el": ["validation", "test"],
                    "en": ["validation"],
                    "fr": ["validation"],
                }
            ),
            "de/validation-0.parquet": nli(4, "Ein Satz"),
            "de/test-0.parquet": nli(6, "Test"),
            "el/test-0.parquet": parquet(withheld, pair, where),
            "el/validation-0.parquet": parquet(withheld, pair, where),
            "en/validation-0.parquet": parquet({"premise": ["a"], "hypothesis": ["b"]}, None, where),
            "fr/validation-0.parquet": parquet(odd, None, where),
        },
        "rajpurkar/squad": {
            "README.md": card({"plain_text": ["train", "validation"]}),
            "plain_text/train-0.parquet": squad(["q1", "q2"]),
            "plain_text/validation-0.parquet": squad(["q3"], start=500),
        },
        "google/xtreme": {
            "README.md": card({"udpos.Afrikans": ["test"], "tydiqa": ["train", "validation"]}),
            "udpos.Afrikans/test-0.parquet": parquet(words, tagged, where),
            "tydiqa/train-0.parquet": squad([*(f"english-{i}" for i in range(20)), "finnish-1"]),
            "tydiqa/validation-0.parquet": squad(["english-a", "finnish-b", "finnish-c"]),
        },
        "Rowan/hellaswag": {
            "train.jsonl": b'{"ctx": "A", "endings": ["b", "c"], "label": "1"}\n',
            "validation.jsonl": b'{"ctx": "A", "endings": ["b", "c"], "label": "7"}\n',
        },
    }


@pytest.fixture(scope="module")
def endpoint(repositories: dict[str, dict[str, bytes]]) -> Iterator[str]:
    with served(repositories) as address:
        yield address


CALLS = {
    "pairs": ["load", "xnli", "de", "dev"],
    "test": ["load", "xnli", "de", "test"],
    "withheld": ["load", "xnli", "el", "test"],
    "another column": ["load", "xnli", "en", "dev"],
    "another label": ["load", "xnli", "fr", "dev"],
    "labels missing": ["load", "xnli", "el", "dev"],
    "no such configuration": ["load", "xnli", "es", "dev"],
    "answers": ["load", "squad_v1", "en", "train"],
    "wrong offset": ["load", "squad_v1", "en", "dev"],
    "tags": ["load", "udpos", "af", "test"],
    "choices": ["load", "hellaswag", "en", "train"],
    "label out of range": ["load", "hellaswag", "en", "dev"],
    "no such repository": ["load", "pawsx", "de", "dev"],
    "one language of all": ["load", "tydiqa", "fi", "test"],
    "a language without rows": ["load", "tydiqa", "ko", "test"],
    "kept": ["load", "tydiqa", "en", "train"],
    "held out": ["load", "tydiqa", "en", "dev"],
}


@pytest.fixture(scope="module")
def answers(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("home")
    return dict(zip(CALLS, ask(endpoint, home, *CALLS.values()), strict=True))


def test_pairs_of_one_language_with_their_labels_by_name(answers: dict[str, Any]) -> None:
    first, *others = answers["pairs"]
    assert first == {"id": "0", "text": "Ein Satz", "pair": "?", "label": "entailment"}
    assert [other["label"] for other in others] == ["neutral", "contradiction", "entailment"]
    assert len(answers["test"]) == 6


def test_withheld_labels_are_none(answers: dict[str, Any]) -> None:
    assert [example["label"] for example in answers["withheld"]] == [None]


def test_questions_with_answers_counted_in_characters(answers: dict[str, Any]) -> None:
    first = answers["answers"][0]
    assert (first["id"], first["question"], first["answers"]) == (
        "q1",
        "Wo?",
        [{"text": "Zürich", "start": 4}],
    )


def test_tags_are_decoded_by_their_names(answers: dict[str, Any]) -> None:
    assert answers["tags"] == [{"id": "0", "words": ["Wer", "geht", "da"], "tags": ["X", "VERB", "NOUN"]}]


def test_choices_from_json_lines(answers: dict[str, Any]) -> None:
    assert answers["choices"] == [
        {"id": "0", "context": "A", "question": "", "options": ["b", "c"], "label": 1}
    ]


def test_one_language_out_of_a_configuration_of_all(answers: dict[str, Any]) -> None:
    assert [example["id"] for example in answers["one language of all"]] == ["finnish-b", "finnish-c"]
    assert "no rows whose id starts with 'korean-'" in answers["a language without rows"]["error"]


def test_the_last_tenth_of_training_is_held_out_where_there_is_no_development_set(
    answers: dict[str, Any],
) -> None:
    assert [example["id"] for example in answers["held out"]] == ["english-18", "english-19"]
    assert [example["id"] for example in answers["kept"]] == [f"english-{i}" for i in range(18)]


@pytest.mark.parametrize(
    ("call", "got"),
    [
        ("another column", "has no column label, only premise, hypothesis"),
        ("wrong offset", "question 'q3': answer 'Zürich' is not in its context at or near character 500"),
        ("label out of range", "row 0: label '7'"),
        ("another label", "row 0: unknown label 'maybe'"),
        ("labels missing", "facebook/xnli (el, dev): row 0 has no label"),
        ("no such configuration", "could not read facebook/xnli (es), split validation"),
        ("no such repository", "the hub does not have google-research-datasets/paws-x (de)"),
    ],
)
def test_what_does_not_fit_is_said(answers: dict[str, Any], call: str, got: str) -> None:
    assert got in answers[call]["error"]
    assert "do: " in answers[call]["error"]


def test_what_was_downloaded_needs_no_hub_again(endpoint: str, tmp_path: Path) -> None:
    call = ["load", "xnli", "de", "dev"]
    assert ask(endpoint, tmp_path, call) == ask("http://127.0.0.1:9", tmp_path, call)


def test_the_cache_never_stands_in_for_another_revision(endpoint: str, tmp_path: Path) -> None:
    ask(endpoint, tmp_path, ["load", "xnli", "de", "dev"])
    script = (
        "from dataclasses import replace; from xadapt.data.hub import _download;"
        "from xadapt.tasks.catalogue import task_named;"
        "hub = replace(task_named('xnli').hub, revision='a' * 40);"
        "_download(hub, 'de', 'validation', online=False)"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert "the local cache has facebook/xnli (de), split validation at another revision" in done.stderr


def test_an_unreachable_hub_says_what_to_do(tmp_path: Path) -> None:
    (answer,) = ask("http://127.0.0.1:9", tmp_path, ["load", "xnli", "de", "dev"])
    for part in (
        "could not reach the hub at http://127.0.0.1:9 for facebook/xnli (de), split validation",
        "check the connection",
        "HF_ENDPOINT",
        "--data DIR",
    ):
        assert part in answer["error"]


def test_a_pinned_revision_needs_no_hub() -> None:
    hub = task_named("xnli").hub
    assert hub is not None
    place = f"facebook/xnli@{hub.revision}/de/validation/"
    assert HubSource().revision("xnli", "de", "dev").startswith(place)
    assert "/tydiqa/train-held/" in HubSource().revision("tydiqa", "en", "dev")


@pytest.mark.parametrize(
    "change",
    [
        {"columns": {"text": "hypothesis", "pair": "premise", "label": "label"}},
        {"labels": {"entailment": "contradiction", "contradiction": "entailment"}},
        {"wording": {"cause": "why?"}},
        {"unlabelled": True},
        {"prefix": "de-"},
    ],
)
def test_a_revision_knows_how_the_rows_are_read(change: dict[str, Any]) -> None:
    row = task_named("xnli")
    assert row.hub is not None
    changed = replace(row, hub=replace(row.hub, **change))
    before = HubSource().revision("xnli", "de", "dev")
    assert HubSource({"xnli": changed}).revision("xnli", "de", "dev") != before
    renamed = replace(row, summary="another", licence="another", languages=("de",))
    assert HubSource({"xnli": renamed}).revision("xnli", "de", "dev") == before


def test_an_unpinned_branch_is_resolved_to_its_commit(endpoint: str, tmp_path: Path) -> None:
    script = (
        "from xadapt.data.hub import _commit; from xadapt.tasks.task import Hub;"
        "print(_commit(Hub('facebook/xnli', '{lang}', {}, {})))"
    )
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path),
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == HEAD


def test_every_row_is_pinned_to_a_commit_where_one_is_known() -> None:
    rows = [row for task in CATALOGUE.values() for row in (task, *task.parts)]
    hubs = [hub for row in rows for hub in (row.hub, row.translated) if hub is not None]
    unpinned = {hub.id for hub in hubs if not re.fullmatch("[0-9a-f]{40}", hub.revision)}
    assert unpinned == {"Samsoup/cosmos_qa"}, "no public code names a commit of it"


def test_what_is_held_out_is_known_without_asking() -> None:
    source = HubSource()
    assert source.held_out("tydiqa", "en")
    assert source.held_out("mnli", "de")
    assert not source.held_out("mnli", "en")
    assert not source.held_out("xnli", "xx")


def test_languages_and_splits_are_known_without_asking() -> None:
    source = HubSource()
    assert source.test_split("xnli") == "test"
    assert source.test_split("mnli") == "dev"
    assert source.languages("xnli", "train") == ("en",)
    assert source.languages("xnli", "dev") == task_named("xnli").languages
    assert source.languages("xquad", "dev") == ()
    assert "th" in source.languages("udpos", "test")
    assert "th" not in source.languages("udpos", "dev")


def test_translations_and_running_text_train_in_more_than_english() -> None:
    source = HubSource()
    assert source.languages("mnli", "train")[:3] == ("en", "ar", "bg")
    assert len(source.languages("mnli", "train")) == 15
    assert source.languages("anli", "train") == source.languages("anli", "dev") == ("en",)
    assert source.languages("mlm", "train") == task_named("mlm").languages
    assert source.languages("panx", "test") == task_named("panx").languages, "XTREME's, not XTREME-R's"
    assert source.languages("xquad", "test")[-1] == "ro"


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("ccg", "licensed by the LDC"),
        ("bucc", "hold the gold pairs alone"),
        ("lareqa", "lacks the sentence boundaries"),
        ("mewslix", "have not been verified"),
    ],
)
def test_why_a_task_is_not_on_the_hub_is_said(task: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        HubSource().load(task, "en", "test")


def test_a_split_that_the_hub_does_not_have_names_those_it_has() -> None:
    with pytest.raises(UserError, match="no train split of xquad") as caught:
        HubSource().load("xquad", "en", "train")
    assert "train on squad_v1" in str(caught.value)
    assert "test: ar de el" in str(caught.value)
