"""Scores of folders in XTREME's layout: as seqeval and scikit-learn give them, where labels are real."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from folders import question, squad, writer
from seqeval.metrics import f1_score
from sklearn.metrics import accuracy_score
from tiny import SHARED

from xadapt.common.errors import UserError
from xadapt.data.folder import Folder
from xadapt.interop.xtreme_folder import write_predictions
from xadapt.interop.xtreme_scores import labelled, score_folder
from xadapt.tasks import task_named
from xadapt.tasks.examples import Classified, Example, Extracted, Paired, Sought, Tagged

NLI = "a\tb\tentailment\na\tb\tneutral\nc\td\tneutral\nc\td\tcontradiction\n"
POS = "Anna\tPROPN\neats\tVERB\n\nwhy\tADV\n\n"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Gold data for XNLI, POS, XQuAD and Tatoeba, and any system's predictions."""
    write = writer(tmp_path)
    for lang in ("en", "de"):
        write(f"xnli/dev-{lang}.tsv", NLI)
        write(f"udpos/dev-{lang}.tsv", POS)
    twice = squad(question("q1"), question("q2", "Paris", 0))
    write("xquad/xquad.en.json", twice)
    write("laser-tatoeba-v1/tatoeba.deu-eng.deu", "eins\nzwei\ndrei\n")
    write("laser-tatoeba-v1/tatoeba.deu-eng.eng", "one\ntwo\nthree\n")
    out = tmp_path / "system"
    for name, text in {
        "xnli/test-en.tsv": "entailment\nneutral\nneutral\nneutral\n",
        "xnli/test-de.tsv": "neutral\nneutral\nneutral\nneutral\n",
        "udpos/test-de.tsv": "PROPN\nNOUN\n\nADV\n\n",
        "xquad/test-en.json": json.dumps({"q1": "in France", "q2": "Paris"}),
        "tatoeba/test-de.tsv": "0\n2\n2\n",
    }.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    return tmp_path


def test_scores_by_hand(world: Path) -> None:
    found = score_folder(world / "system", Folder(world / "xtreme"))
    scores = found.by_task()
    assert scores["xnli"] == {"en": {"accuracy": 75.0}, "de": {"accuracy": 50.0}}
    # two of the three runs of equal tags are found, three are given: F1 2/3; two of three words are right
    assert scores["udpos"]["de"] == {"f1": pytest.approx(200 / 3), "accuracy": pytest.approx(200 / 3)}
    # "in France" against "France": precision 1/2, recall 1; "Paris" is right
    assert scores["xquad"]["en"] == {"f1": pytest.approx((200 / 3 + 100) / 2), "exact_match": 50.0}
    assert scores["tatoeba"]["de"] == {"accuracy": pytest.approx(200 / 3)}
    assert {(row.task, row.split) for row in found.scored} == {
        ("xnli", "dev"), ("udpos", "dev"), ("xquad", "test"), ("tatoeba", "test"),
    }  # fmt: skip
    assert not found.refused
    assert not found.ignored


def test_tasks_can_be_chosen(world: Path) -> None:
    found = score_folder(world / "system", Folder(world / "xtreme"), tasks=["xnli"])
    assert set(found.by_task()) == {"xnli"}
    with pytest.raises(UserError, match="no predictions for panx"):
        score_folder(world / "system", Folder(world / "xtreme"), tasks=["xnli", "panx"])


@pytest.mark.parametrize("test", ["a\tb\n" * 4, "a\tb\tneutral\n" * 20], ids=["absent", "all alike"])
def test_placeholders_are_refused_with_the_reason(world: Path, test: str) -> None:
    (world / "xtreme/xnli/test-en.tsv").write_text(test)
    (world / "system/xnli/test-en.tsv").write_text("neutral\n" * len(test.splitlines()))
    (world / "system/xnli/test-de.tsv").unlink()
    gold = Folder(world / "xtreme")
    found = score_folder(world / "system", gold, split="test")
    refused = {row.task: row.reason for row in found.refused}
    assert "placeholders" in refused["xnli"]
    assert "no test file" in refused["udpos"]
    assert set(found.by_task()) == {"xquad", "tatoeba"}
    with pytest.raises(UserError, match="placeholders"):
        score_folder(world / "system", gold, tasks=["xnli"], split="test")
    for lang in ("en", "de"):
        (world / f"xtreme/xnli/dev-{lang}.tsv").unlink()
    with pytest.raises(UserError, match="no labels: XTREME removes them"):
        score_folder(world / "system", gold, tasks=["xnli"])


def test_a_folder_of_ours_says_which_split_it_is(world: Path) -> None:
    """Test labels are there too, but these are predictions for dev."""
    (world / "xtreme/xnli/test-en.tsv").write_text(NLI * 2)
    gold = Folder(world / "xtreme")
    rows = gold.load("xnli", "en", "dev")
    (world / "ours").mkdir()
    write_predictions(world / "ours", task_named("xnli"), {"en": (rows, ["neutral"] * 4)}, {"split": "dev"})
    (row,) = score_folder(world / "ours", gold).scored
    assert (row.split, row.n, row.scores) == ("dev", 4, {"accuracy": 50.0})


def test_what_evaluate_py_would_not_see_is_named(world: Path) -> None:
    for name in ("xnli/test-xx.tsv", "xnli/test-fr.json", "xnli/README", "notes/a", "xnli/.hidden"):
        (world / "system" / name).parent.mkdir(exist_ok=True)
        (world / "system" / name).write_text("x")
    found = score_folder(world / "system", Folder(world / "xtreme"))
    assert found.ignored == ("notes", "xnli/README", "xnli/test-fr.json", "xnli/test-xx.tsv")


def test_a_language_without_gold_is_named(world: Path) -> None:
    """Romanian is XTREME-R's."""
    (world / "system/xnli/test-fr.tsv").write_text("neutral\n")
    (world / "system/xquad/test-ro.json").write_text("{}")
    refused = score_folder(world / "system", Folder(world / "xtreme")).refused
    assert [(row.task, row.lang) for row in refused] == [("xnli", "fr"), ("xquad", "ro")]


def test_all_malformed_files_are_told_of_at_once(world: Path) -> None:
    (world / "system/xnli/test-de.tsv").write_text("neutral\n")
    (world / "system/tatoeba/test-de.tsv").write_text("0\n1\n3\n")
    with pytest.raises(UserError) as caught:
        score_folder(world / "system", Folder(world / "xtreme"))
    said = str(caught.value)
    assert "xnli/test-de.tsv: 1 labels" in said
    assert "tatoeba/test-de.tsv:3: got '3'" in said


def test_a_folder_or_a_dangling_link_where_a_file_should_be(world: Path) -> None:
    (world / "system/xnli/test-de.tsv").unlink()
    (world / "system/xnli/test-de.tsv").mkdir()
    (world / "system/xquad/test-en.json").unlink()
    (world / "system/xquad/test-en.json").symlink_to("nowhere")
    with pytest.raises(UserError) as caught:
        score_folder(world / "system", Folder(world / "xtreme"))
    assert "xnli/test-de.tsv: this is a folder" in str(caught.value)
    assert "xquad/test-en.json: a link that leads nowhere" in str(caught.value)


def test_the_right_folder_is_asked_for(world: Path) -> None:
    gold = Folder(world / "xtreme")
    with pytest.raises(UserError, match="no folder"):
        score_folder(world / "nowhere", gold)
    with pytest.raises(UserError, match="name the folder above it"):
        score_folder(world / "system/xnli", gold)
    with pytest.raises(UserError, match="name the folder that has them"):
        score_folder(world, gold)


@pytest.mark.parametrize(
    ("example", "known"),
    [
        (Classified("0", "a", None, None), False),
        (Tagged("0", ("a",), None), False),
        (Extracted("0", "a", "b", None), False),
        (Extracted("0", "a", "b", ()), True),
        (Paired("0", "a", "b"), True),
        (Sought("0", "query", "a", "", None), False),
        (Sought("0", "query", "a", "", ()), True),
        (Sought("0", "candidate", "a", "", None), True),
    ],
)
def test_what_can_be_scored(example: Example, known: bool) -> None:
    assert labelled([example]) is known


# -- on real files: the same as the packages that XTREME's script calls ---------------------------------

shared = pytest.mark.skipif(not (SHARED / "xtreme").is_dir(), reason="no real data in ../shared/xtreme")


def spoilt(rows: Sequence[Any], labels: Sequence[str], draw: random.Random) -> list[Any]:
    """The right labels, a fifth of them replaced."""

    def one(label: str) -> str:
        return label if draw.random() < 0.8 else draw.choice(labels)

    return [tuple(map(one, r.tags)) if isinstance(r, Tagged) else one(r.label) for r in rows]


@shared
@pytest.mark.parametrize(("task", "lang"), [("xnli", "sw"), ("pawsx", "ko"), ("udpos", "mr"), ("panx", "yo")])
def test_real_files_score_as_seqeval_and_scikit_learn_say(tmp_path: Path, task: str, lang: str) -> None:
    gold = Folder(SHARED / "xtreme")
    row = task_named(task)
    rows = gold.load(task, lang, "dev")
    guesses = spoilt(rows, row.labels, random.Random(task))
    write_predictions(tmp_path, row, {lang: (rows, guesses)}, {"split": "dev"})
    ours = score_folder(tmp_path, gold).by_task()[task][lang]
    # Read here again, from the files themselves, as XTREME's script has them: one label, or tag, a line.
    lines = (SHARED / f"xtreme/{task}/dev-{lang}.tsv").read_text(encoding="utf-8").rstrip().split("\n")
    right = [line.split("\t")[-1].strip() for line in lines]
    guessed = (tmp_path / task / f"test-{lang}.tsv").read_text().rstrip().split("\n")
    if row.kind == "classify":
        assert ours == {"accuracy": pytest.approx(100 * accuracy_score(right, guessed), abs=1e-6)}
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # parts of speech are no entities
        f1 = f1_score(sentences(right), sentences(guessed))
    assert ours["f1"] == pytest.approx(100 * f1, abs=1e-6)
    assert 50 < ours["accuracy"] < 95


def sentences(tags: Sequence[str]) -> list[list[str]]:
    return [sentence.split("\n") for sentence in "\n".join(tags).split("\n\n")]


@shared
def test_a_test_file_without_labels_is_refused(tmp_path: Path) -> None:
    gold = Folder(SHARED / "xtreme")
    rows = gold.load("panx", "de", "test")
    guesses = [("O",) * len(r.words) for r in rows if isinstance(r, Tagged)]
    write_predictions(tmp_path, task_named("panx"), {"de": (rows, guesses)}, {"split": "test"})
    with pytest.raises(UserError, match="absent, or placeholders"):
        score_folder(tmp_path, gold)
