"""The command line: what it prints, and what bad input gets: one message, status 2, nothing half-written."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import COMMON, refused
from folders import PAIRS
from rich.console import Console

from xadapt.cli.commands import COMMANDS
from xadapt.cli.main import main, parsed
from xadapt.report.progress import Bars
from xadapt.study import module_plan as steps
from xadapt.tasks import CATALOGUE


def test_a_run_prints_its_plan_its_scores_and_what_was_trained(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run", "xnli", "mnli > xnli", *COMMON, "--json", "out/results.json"])
    first = capsys.readouterr().out
    assert "3 modules trained, 0 reused" in first
    assert "overlap only" in first
    main(["run", "xnli", "mnli > xnli", *COMMON, "--json", "again.json"])
    assert "0 modules trained, 3 reused" in capsys.readouterr().out
    a, b = (json.loads((workdir / name).read_text()) for name in ("out/results.json", "again.json"))
    assert a["cells"] == b["cells"]
    assert {c["lang"] for c in a["cells"]} == {"en", "de"}
    assert not any(m["trained"] for m in b["modules"])


def test_what_is_held_out_of_training_is_not_scored_and_the_plan_says_so(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "xtreme/xnli/dev-en.tsv").unlink()
    main(["run", "xnli", *COMMON, "--json", "results.json"])
    said = capsys.readouterr().out
    assert "dev: de" in said
    assert "xnli has no dev set in en: the end of its training data chooses checkpoints" in said
    assert {c["lang"] for c in json.loads((workdir / "results.json").read_text())["cells"]} == {"de"}
    (workdir / "xtreme/xnli/dev-de.tsv").unlink()
    assert "the end of the training data serves as one" in refused(capsys, "run", "xnli", *COMMON)


def test_a_run_gives_means_over_groups_of_languages(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """German and Swahili are written in Latin script, as English is, which counts in no group."""
    swapped = PAIRS.replace("entailment", "-").replace("neutral", "entailment").replace("-", "neutral")
    for lang, text in {"sw": swapped, "ru": PAIRS}.items():
        (workdir / f"xtreme/xnli/dev-{lang}.tsv").write_text(text)
    main(["run", "xnli", *COMMON, "--by", "script", "--json", "results.json"])
    said = capsys.readouterr().out
    score = {c["lang"]: c["score"] for c in json.loads((workdir / "results.json").read_text())["cells"]}
    rows = [[word.strip() for word in re.split("[│┃]", row)] for row in said.splitlines()]
    header = next(row for row in rows if "gap" in row)
    lines = {row[1]: dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)}
    assert lines["xnli"]["Latin (2)"] == f"{(score['de'] + score['sw']) / 2:.1f}"
    # Swahili's labels are the others', swapped.
    by_overlap = lines["no model: overlap only"]
    assert (by_overlap["Latin (2)"], by_overlap["Cyrillic (1)"]) == ("50.0", "100.0")
    assert "means over languages by script, en left out" in " ".join(said.split())


def test_a_dry_run_shows_the_plan_and_touches_nothing(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(workdir.rglob("*"))
    main(["run", "mnli > xnli", *COMMON, "--dry-run"])
    said = capsys.readouterr().out
    assert "train" in said
    assert "mnli > xnli" in said
    assert sorted(workdir.rglob("*")) == before


def test_what_is_trained_in_another_type_is_said_and_can_be_evaluated(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run", "xnli", *COMMON, "--dtype", "bfloat16"])
    capsys.readouterr()
    main(["run", "mnli > xnli", "xnli", *COMMON, "--dry-run"])
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of 3, trained in bfloat16: --dtype bfloat16 uses them" in said
    cells = set((workdir / ".xadapt" / "cells").rglob("*.json"))
    main(["run", "xnli", *COMMON, "--trained-in", "bfloat16"])
    assert "0 modules trained" in capsys.readouterr().out
    assert set((workdir / ".xadapt" / "cells").rglob("*.json")) > cells, "scores of their own"
    assert "mnli" in refused(capsys, "run", "mnli > xnli", *COMMON, "--trained-in", "bfloat16")


def test_modules_of_an_earlier_version_are_there_and_are_trained_again(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(steps, "TRAINING_VERSION", steps.TRAINING_VERSION - 1)
        main(["run", "xnli", *COMMON])
    capsys.readouterr()
    main(["run", "xnli", *COMMON, "--dry-run"])
    said = " ".join(capsys.readouterr().out.split())
    assert "1 modules of an earlier version of the training: what is needed is trained again" in said
    main(["modules"])
    assert "1 of an earlier version" in " ".join(capsys.readouterr().out.split())


def test_modules_lists_and_proves(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "xnli", *COMMON])
    main(["modules"])
    assert "xnli" in capsys.readouterr().out
    main(["modules", "verify"])
    assert "1 modules, 0 broken" in capsys.readouterr().out
    head = next((workdir / ".xadapt").rglob("head.safetensors"))
    head.write_bytes(head.read_bytes()[:-1] + b"!")
    assert "are broken" in refused(capsys, "modules", "verify")


def test_rows_that_were_dropped_are_said_and_recorded(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GLUE's own QQP has a few rows torn apart by line breaks."""
    table = workdir / "intermediate" / "qqp" / "train.tsv"
    table.parent.mkdir(parents=True)
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    table.write_text(header + "1\t1\t2\tthe man eats\tthe woman eats\t0\n" * 20 + "torn\n" * 3)
    main(["run", "qqp > xnli", *COMMON])
    assert capsys.readouterr().err.count("qqp train in en: 3 dropped") == 1
    manifests = [json.loads(path.read_text()) for path in (workdir / ".xadapt").rglob("manifest.json")]
    assert {m["task"]: m["data"]["notes"] for m in manifests} == {"qqp": {"dropped": 3}, "xnli": {}}


def test_tasks_shows_every_task(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["tasks", "--data", "./xtreme"])
    said = capsys.readouterr().out
    assert "24 tasks" in said
    for task in CATALOGUE:
        assert task in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["xnly"], "did you mean 'xnli'"),
        (["mnli >> xnli"], "^"),
        (["xnli@lora(rank=8)"], "no option 'rank'"),
        (["xnli", "--method", "lorra"], "did you mean 'lora'"),
        (["xnli", "--langs", "en,xx"], "expected: some of de, en, or all"),
        (["xnli", "--langs", "en,deu"], "did you mean 'de'?"),
        (["xnli", "--langs", "deu"], "did you mean 'de'?"),
        (["xnli", "--langs", ","], "names nothing"),
        (["xnli", "--max-length", "1", "--dry-run"], "at least 8"),
        (["xnli", "--backbone", "./nowhere"], "no such folder"),
        (["xnli", "--backbone", "roberta"], "unknown backbone"),
        (["xnli", "--data", "./nowhere"], "nowhere"),
        (["mnli"], "intermediate task"),
        (["panx"], "panx"),
        (["tatoeba > xnli"], "put tatoeba last"),
        ([], ""),
        (["xnli", "--no-such-option"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_arguments_get_one_message(
    workdir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    message = refused(capsys, "run", *COMMON, *arguments)
    assert says in message
    assert not (workdir / ".xadapt" / "modules").exists()


def test_broken_data_is_refused_with_its_place(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workdir / "xtreme/xnli/train-en.tsv").write_text("a\tb\tentailment\na\tb\tmaybe\n")
    assert "train-en.tsv:2" in refused(capsys, "run", "xnli", *COMMON)
    assert not list(workdir.glob(".xadapt/modules/*"))


def test_a_store_that_cannot_be_written(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workdir / "file").write_text("in the way")
    message = refused(capsys, "run", "xnli", *COMMON, "--store", "file")
    assert "file" in message
    assert "not a store" in message
    assert (workdir / "file").read_text() == "in the way"
    assert "not a store" in refused(capsys, "run", "xnli", *COMMON, "--store", "file", "--dry-run")


def test_a_full_disk(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(descriptor: int) -> None:
        if "modules" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    message = refused(capsys, "run", "xnli", *COMMON)
    assert "space" in message.lower() or "full" in message.lower()
    monkeypatch.setattr(os, "fsync", real)
    main(["modules", "verify"])
    assert "0 modules, 0 broken" in capsys.readouterr().out


def test_modules_are_shown_copied_swept_and_removed(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run", "mnli > xnli", "xnli", *COMMON])
    capsys.readouterr()
    main(["modules", "studies"])
    study = next(word for word in capsys.readouterr().out.split() if len(word) == 16)
    addresses = {
        p.name: json.loads((p / "manifest.json").read_text()) for p in workdir.glob(".xadapt/modules/*")
    }
    mnli = next(a for a, m in addresses.items() if m["task"] == "mnli")
    top = next(a for a, m in addresses.items() if m["determinants"]["below"] == mnli)
    main(["modules", "show", top[:8]])
    said = capsys.readouterr().out
    assert mnli in said
    assert "mnli@lora > xnli@lora" in said
    assert "head.safetensors" in said

    main(["modules", "cp", top, "--to", "other"])
    main(["modules", "verify", "--store", "other"])
    assert "2 modules, 0 broken" in capsys.readouterr().out
    assert "stand on" in refused(capsys, "modules", "rm", mnli)
    main(["modules", "gc"])
    assert "removed 0 modules" in capsys.readouterr().out
    main(["modules", "rm", top])
    main(["modules", "forget", study])
    assert "no record of a study" in refused(capsys, "modules", "gc")
    main(["run", "xnli", *COMMON])
    capsys.readouterr()
    main(["modules", "gc", "--dry-run"])
    assert "would remove 1 modules" in capsys.readouterr().out
    main(["modules", "gc"])
    assert "removed 1 modules" in capsys.readouterr().out
    main(["modules"])
    assert "1 modules," in capsys.readouterr().out
    for words in (["show", "../.."], ["rm", "0" * 20], ["rm"], ["cp", "--to", "x"], ["forget", "../x"]):
        refused(capsys, "modules", *words)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command prints that ends at once, with status 0."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_version_and_the_help_say_what_this_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert re.fullmatch(r"xadapt \d+\.\d+\S*\n", printed(capsys, "--version"))
    said = printed(capsys, "--help")
    for example in re.findall(r"^  (xadapt \S+)", said, re.M):
        assert example.split()[1] in {"run", "study", "results", "apply"}
    assert said.count("  xadapt ") == 5
    assert set(re.findall(r"^  ([a-z]\S+)  ", said, re.M)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_fits_and_says_no_empty_default(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = printed(capsys, command, "--help")
    assert max(map(len, said.splitlines())) <= 80
    assert "None" not in said
    assert "--plain" in said
    assert printed(capsys, "--help").count(f"\n  {command} ") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mdules"], "no command 'mdules'; did you mean 'modules'?"),
        (["modules", "shw"], "'xadapt modules' has no 'shw'; did you mean 'show'?"),
        (["modules", "--store", "elsewhere", "verfy"], "did you mean 'verify'?"),
        (["tasks", "--plain", "chek"], "did you mean 'check'?"),
        (["run", "xnli", "--sed", "0"], "'xadapt run' has no option '--sed'; did you mean '--seeds'?"),
        (["explain", "xnli", "--weight"], "did you mean '--weights'?"),
        (["modules", "show", "abcd", "--stor", "x"], "'xadapt modules show' has no option '--stor'; did you"),
        (["results", "xnli"], "'xadapt results' has no place for 'xnli'"),
        (["--plain"], "no command"),
        ([], "no command"),
    ],
    ids=" ".join,
)
def test_what_was_likely_meant_is_said(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert says in refused(capsys, *words)


@pytest.mark.parametrize(
    ("words", "seeds", "langs"),
    [
        (["run", "xnli", "--seeds", "0,1", "--langs", "de"], "0,1", "de"),
        (["run", "--seed", "0", "1", "xnli", "--languages=de,sw"], "0,1", "de,sw"),
        (["layers", "--seed=2", "--languages", "de"], "2", "de"),
        (["results", "--seed", "0", "1", "--lang", "de"], "0,1", "de"),
        (["results", "--seeds", "0, 1", "--langs", "de"], "0, 1", "de"),
        (["explain", "xnli", "--seeds", "3", "--languages", "de"], 3, "de"),
        (["predict", "xnli", "--seeds", "3", "--languages", "de"], 3, "de"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_seeds_and_languages_are_spelt_alike_everywhere(
    words: list[str], seeds: str | int, langs: str
) -> None:
    said: Any = parsed(words).command
    assert getattr(said, "seeds", None) == seeds or said.seed == seeds
    assert said.langs == langs


def test_seeds_are_not_taken_for_expressions_nor_expressions_for_seeds() -> None:
    said: Any = parsed(["run", "--seeds", "0", "1", "xnli", "mnli > xnli", "--seeds", "2"]).command
    assert said.expressions == ("xnli", "mnli > xnli")
    apply: Any = parsed(["apply", "xnli", "--seeds", "4"]).command
    assert apply.seed == 4
    study: Any = parsed(["study", "my.toml", "--seed", "0", "1"]).command
    assert study.seeds == "0,1"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_what_completes_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(capsys, "completion", shell)
    assert "modules" in said
    assert "--dry-run" in said


def test_bash_completes_commands_actions_and_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "completion").write_text(printed(capsys, "completion", "bash"))
    script = """source completion
for line in "mod" "modules sh" "run xnli --dry"; do
  COMP_WORDS=(xadapt $line); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tyro_xadapt; echo "${COMPREPLY[@]}"
done"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines() == ["modules", "show", "--dry-run"]


def test_a_log_says_now_and_then_how_far_a_long_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("xadapt.report.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    with Bars(Console(file=out, width=160)).stage("train mnli", 100) as advance:
        for step in range(50):
            now[0] += 2.0
            advance(1, loss=1.0 / (step + 1))
    lines = out.getvalue().splitlines()
    assert lines[0] == "train mnli: 15/100, loss 0.0667, 0.5/s, 170 s left".replace("170 s", "3 min")
    assert len(lines) == 4
    assert lines[-1] == "train mnli: 100.0 s"
