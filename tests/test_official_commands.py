"""``xadapt predict`` and ``xadapt score``: from an expression to files to averages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import COMMON, refused
from folders import PAIRS

from xadapt.cli.main import main
from xadapt.cli.options import with_target
from xadapt.data.folder import Folder
from xadapt.interop.xtreme_scores import score_folder
from xadapt.kinds import kind_of
from xadapt.report.leaderboard_tables import scores_as_json
from xadapt.tasks import CATALOGUE, task_named
from xadapt.tasks.examples import Tagged


def test_predicted_files_score_as_the_run_itself(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "mnli > xnli", *COMMON, "--json", "run.json"])
    main(["predict", "mnli > xnli", "--split", "dev", *COMMON])
    main(["predict", "mnli", "--task", "tatoeba", *COMMON])
    main(["run", "mnli > tatoeba", *COMMON, "--json", "tatoeba.json"])
    main(["score", "predictions", "--labels", "./xtreme", "--json", "scores.json"])
    said = capsys.readouterr().out
    assert "predictions/xnli/test-de.tsv" in said
    found = json.loads((workdir / "scores.json").read_text())
    ours = {(row["task"], row["lang"]): row["scores"]["accuracy"] for row in found["scores"]}
    cells = [
        c for name in ("run", "tatoeba") for c in json.loads((workdir / f"{name}.json").read_text())["cells"]
    ]
    assert ours == {(c["task"], c["lang"]): c["score"] for c in cells}
    facts = json.loads((workdir / "predictions/xnli/provenance.json").read_text())
    assert facts["expression"] == "mnli > xnli"
    assert len(facts["modules"]) == 2
    assert (workdir / ".xadapt/modules" / facts["modules"][1]["address"]).is_dir()
    assert facts["data"]["revisions"]["de"] == Folder("./xtreme").revision("xnli", "de", "dev")
    assert len(facts["backbone"]["fingerprint"]) > 12


def test_the_target_is_put_on_top_where_it_is_not() -> None:
    assert with_target("mnli > xnli", None, CATALOGUE) == "mnli > xnli"
    assert with_target("mnli > xnli", "xnli", CATALOGUE) == "mnli > xnli"
    assert with_target("mnli > xnli", "tatoeba", CATALOGUE) == "mnli > xnli > tatoeba"
    assert with_target("mnli[100]@lora(r=4)", "xnli", CATALOGUE) == "mnli[100]@lora(r=4) > xnli"


def test_a_test_split_without_labels_is_predicted_and_not_scored(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "xtreme/udpos/test-de.tsv").write_text("the\nman\n\nAnna\n\n")
    main(["predict", "udpos", *COMMON, "--langs", "de", "--out", "out"])
    lines = (workdir / "out/udpos/test-de.tsv").read_text().split("\n")
    assert [bool(line) for line in lines] == [True, True, False, True, False, False]
    assert "absent, or placeholders" in refused(capsys, "score", "out", "--labels", "./xtreme")


def test_what_is_missing_of_a_benchmark_is_printed(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = Folder("./xtreme")
    rows = [row for row in gold.load("udpos", "de", "dev") if isinstance(row, Tagged)]
    folder = workdir / "system/udpos"
    folder.mkdir(parents=True)
    (folder / "test-de.tsv").write_text("".join("\n".join(row.tags or ()) + "\n\n" for row in rows))
    main(["score", "system", "--labels", "./xtreme"])
    said = capsys.readouterr().out
    scores, _, lists = said.partition("missing for XTREME: ")
    assert lists.startswith("udpos (af ar bg el and 28 more), xnli (all 15 languages)")
    assert len(lists.splitlines()) < len(scores.splitlines()), "the scores are what is looked for"
    assert "panx" not in scores
    main(["score", "system", "--labels", "./xtreme", "--missing"])
    whole = " ".join(capsys.readouterr().out.split())
    assert "udpos (af ar bg el en" in whole
    assert "lareqa (all 11 languages)" in whole
    assert "1 of 33" in said
    assert "1 of 38" in said
    assert "(100.00)" in said
    assert "the leaderboards are on test" in said
    found = scores_as_json(score_folder(workdir / "system", gold))
    assert json.loads(json.dumps(found["benchmarks"]))["XTREME"]["overall"] is None
    scores = kind_of(task_named("udpos")).score(rows, [row.tags for row in rows])
    assert scores == {"f1": 100.0, "accuracy": 100.0}
    assert found["language_groups"] == {}


def test_scores_by_groups_of_languages(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two languages in one script, one alone, and English in none of the groups."""
    right = {"en": 16, "de": 16, "sw": 4, "ru": 8}
    for lang, good in right.items():
        (workdir / f"xtreme/xnli/dev-{lang}.tsv").write_text(PAIRS)
        labels = ["entailment", "neutral"] * 8
        labels[good:] = ["contradiction"] * (16 - good)
        file = workdir / f"system/xnli/test-{lang}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(labels) + "\n")
    main(["score", "system", "--labels", "./xtreme", "--by", "script", "--json", "scores.json"])
    said = capsys.readouterr().out
    assert "means over languages by script; en left out" in said
    assert "62.5 (2)" in said
    assert "50.0 (1)" in said
    assert json.loads((workdir / "scores.json").read_text())["language_groups"] == {
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


def test_a_dry_run_touches_nothing(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(workdir.rglob("*"))
    main(["predict", "xnli", "--split", "dev", *COMMON, "--dry-run"])
    assert "train" in capsys.readouterr().out
    assert sorted(workdir.rglob("*")) == before


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
    workdir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (workdir / "taken/xnli").mkdir(parents=True)
    assert says in refused(capsys, "predict", *COMMON, *arguments)
    assert not (workdir / ".xadapt/modules").exists()
    assert not (workdir / "predictions").exists()


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
    workdir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (workdir / "taken/xnli").mkdir(parents=True)
    assert says in refused(capsys, "score", *arguments)
