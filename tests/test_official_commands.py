"""``xadapt predict`` and ``xadapt score``: from an expression to files to averages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import save_tiny

from xadapt.cli.main import main
from xadapt.cli.options import with_target
from xadapt.data.folder import Folder
from xadapt.interop.xtreme_scores import score_folder
from xadapt.kinds import kind_of
from xadapt.report.leaderboard_tables import scores_as_json
from xadapt.tasks import CATALOGUE, task_named
from xadapt.tasks.examples import Tagged

PAIRS = "the man eats\tthe man eats\tentailment\nthe man eats\tthe woman eats\tneutral\n" * 8
TAGGED = "the\tDET\nold\tADJ\nman\tNOUN\neats\tVERB\n.\tPUNCT\n\nAnna\tPROPN\nlives\tVERB\n\n" * 6


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a backbone, XNLI, POS with a test file that has no labels, and Tatoeba."""
    save_tiny(tmp_path / "backbone")
    for name, text in {
        **{f"xnli/{part}.tsv": PAIRS for part in ("train-en", "dev-en", "dev-de")},
        **{f"udpos/{part}.tsv": TAGGED for part in ("train-en", "dev-en", "dev-de")},
        "udpos/test-de.tsv": "the\nman\n\nAnna\n\n",
        "laser-tatoeba-v1/tatoeba.deu-eng.deu": "der Mann\nder Apfel\nim Park\n",
        "laser-tatoeba-v1/tatoeba.deu-eng.eng": "the man\nthe apple\nin the park\n",
    }.items():
        path = tmp_path / "xtreme" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMON = ["--backbone", "./backbone", "--data", "./xtreme", "--max-steps", "3"]


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one message that bad input gets."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return said.err


def test_predicted_files_score_as_the_run_itself(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "mnli > xnli", *COMMON, "--json", "run.json"])
    main(["predict", "mnli > xnli", "--split", "dev", *COMMON])
    main(["predict", "mnli", "--task", "tatoeba", *COMMON])
    main(["run", "mnli > tatoeba", *COMMON, "--json", "tatoeba.json"])
    main(["score", "predictions", "--labels", "./xtreme", "--json", "scores.json"])
    said = capsys.readouterr().out
    assert "predictions/xnli/test-de.tsv" in said
    found = json.loads((world / "scores.json").read_text())
    ours = {(row["task"], row["lang"]): row["scores"]["accuracy"] for row in found["scores"]}
    cells = [
        c for name in ("run", "tatoeba") for c in json.loads((world / f"{name}.json").read_text())["cells"]
    ]
    assert ours == {(c["task"], c["lang"]): c["score"] for c in cells}
    facts = json.loads((world / "predictions/xnli/provenance.json").read_text())
    assert facts["expression"] == "mnli > xnli"
    assert len(facts["modules"]) == 2
    assert (world / ".xadapt/modules" / facts["modules"][1]["address"]).is_dir()
    assert facts["data"]["revisions"]["de"] == Folder("./xtreme").revision("xnli", "de", "dev")
    assert len(facts["backbone"]["fingerprint"]) > 12


def test_the_target_is_put_on_top_where_it_is_not() -> None:
    assert with_target("mnli > xnli", None, CATALOGUE) == "mnli > xnli"
    assert with_target("mnli > xnli", "xnli", CATALOGUE) == "mnli > xnli"
    assert with_target("mnli > xnli", "tatoeba", CATALOGUE) == "mnli > xnli > tatoeba"
    assert with_target("mnli[100]@lora(r=4)", "xnli", CATALOGUE) == "mnli[100]@lora(r=4) > xnli"


def test_a_test_split_without_labels_is_predicted_and_not_scored(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["predict", "udpos", *COMMON, "--langs", "de", "--out", "out"])
    lines = (world / "out/udpos/test-de.tsv").read_text().split("\n")
    assert [bool(line) for line in lines] == [True, True, False, True, False, False]
    assert "absent, or placeholders" in fails(capsys, "score", "out", "--labels", "./xtreme")


def test_what_is_missing_of_a_benchmark_is_printed(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = Folder("./xtreme")
    rows = [row for row in gold.load("udpos", "de", "dev") if isinstance(row, Tagged)]
    folder = world / "system/udpos"
    folder.mkdir(parents=True)
    (folder / "test-de.tsv").write_text("".join("\n".join(row.tags or ()) + "\n\n" for row in rows))
    main(["score", "system", "--labels", "./xtreme"])
    said = capsys.readouterr().out
    assert "missing for XTREME: xnli (all 15 languages)" in said
    assert "udpos (af ar bg el en" in said
    assert "1 of 33" in said
    assert "1 of 38" in said
    assert "(100.00)" in said
    assert "the leaderboards are on test" in said
    found = scores_as_json(score_folder(world / "system", gold))
    assert json.loads(json.dumps(found["benchmarks"]))["XTREME"]["overall"] is None
    scores = kind_of(task_named("udpos")).score(rows, [row.tags for row in rows])
    assert scores == {"f1": 100.0, "accuracy": 100.0}
    assert found["language_groups"] == {}


def test_scores_by_groups_of_languages(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two languages in one script, one alone, and English in none of the groups."""
    right = {"en": 16, "de": 16, "sw": 4, "ru": 8}
    for lang, good in right.items():
        (world / f"xtreme/xnli/dev-{lang}.tsv").write_text(PAIRS)
        labels = ["entailment", "neutral"] * 8
        labels[good:] = ["contradiction"] * (16 - good)
        file = world / f"system/xnli/test-{lang}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(labels) + "\n")
    main(["score", "system", "--labels", "./xtreme", "--by", "script", "--json", "scores.json"])
    said = capsys.readouterr().out
    assert "means over languages by script; en left out" in said
    assert "62.5 (2)" in said
    assert "50.0 (1)" in said
    assert json.loads((world / "scores.json").read_text())["language_groups"] == {
        "xnli": {
            "Latin": {"score": 62.5, "languages": ["de", "sw"]},
            "Cyrillic": {"score": 50.0, "languages": ["ru"]},
        }
    }
    main(["score", "system", "--labels", "./xtreme", "--by", "resource"])
    said = " ".join(capsys.readouterr().out.split())
    assert "high from 20 GiB, middle from 4; our own bounds" in said
    assert "75.0 (2)" in said
    assert "25.0 (1)" in said


def test_a_dry_run_touches_nothing(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(world.rglob("*"))
    main(["predict", "xnli", "--split", "dev", *COMMON, "--dry-run"])
    assert "train" in capsys.readouterr().out
    assert sorted(world.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["xnly"], "did you mean 'xnli'"),
        (["mnli", "--split", "dev"], "intermediate task"),
        (["mnli", "--task", "xnly"], "did you mean 'xnli'"),
        (["xnli", "--langs", "de"], "no test data"),
        (["xnli", "--split", "dev", "--langs", "sw"], "no data in: sw"),
        (["xnli", "--seed", "-1"], "whole number"),
        (["xnli", "--split", "dev", "--out", "backbone/config.json"], "can be written"),
        (["xnli", "--split", "dev", "--out", "taken"], "--overwrite"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_arguments_get_one_message_before_any_training(
    world: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (world / "taken/xnli").mkdir(parents=True)
    assert says in fails(capsys, "predict", *COMMON, *arguments)
    assert not (world / ".xadapt/modules").exists()
    assert not (world / "predictions").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "--labels", "./xtreme"], "no folder nowhere"),
        (["xtreme", "--labels", "./nowhere"], "no folder"),
        (["taken", "--labels", "./xtreme", "--only", "xnly"], "did you mean 'xnli'"),
        (["taken", "--labels", "./xtreme", "--tasks", "xnli"], "a TOML file"),
        (["taken", "--labels", "./xtreme", "--json", "taken"], "results cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_score_refuses_in_one_message(
    world: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (world / "taken/xnli").mkdir(parents=True)
    assert says in fails(capsys, "score", *arguments)
