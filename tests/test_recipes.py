"""The recipes run to their end, on the smallest settings, and say what they promise.

All of the studies (those with ``RecipeOptions``) take about a quarter of an hour; ``RECIPES=1`` in the
environment takes every third of them, ``RECIPES=2`` and ``RECIPES=3`` the others.
"""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[1] / "recipes"
WAYS = ["none", "best single", "sequential", "joint of all", "fuse of all", "mean", "ties"]
SHARES = 3  # CI takes one a day
TRAINED = re.compile(r"(^|\] )train \w", re.M)  # what a run says of a module that it trains


def studies(share: str = "") -> list[str]:
    """The recipes that end in a report; those of one share, from 1, if one is named."""
    found = sorted(path.stem for path in RECIPES.glob("*.py") if "RecipeOptions" in path.read_text())
    return found[int(share) - 1 :: SHARES] if share else found


def run(name: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RECIPES / f"{name}.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_the_shares_together_are_all_recipes() -> None:
    assert sorted(name for share in "123" for name in studies(share)) == studies()
    assert studies()


@pytest.mark.parametrize("name", studies(os.environ.get("RECIPES", "")))
def test_a_study_ends_in_an_answer_and_a_report(name: str, tmp_path: Path) -> None:
    words = ["--quick", "--threads", "1", "--out", "out"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run(name, *words, cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    # Its own seconds, so that a busy machine fails nothing.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 240
    answer = done.stdout.splitlines()[-1]
    assert answer.startswith("answer: ")
    assert "pocket world" in answer
    for page in ("report.html", "report.md"):
        assert "pocket world" in (tmp_path / "out" / page).read_text(encoding="utf-8").lower()
    with (tmp_path / "out" / "cells.csv").open(encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert {cell["seed"] for cell in cells} == {"0", "1"}
    assert len({cell["lang"] for cell in cells}) > 1
    assert TRAINED.search(done.stdout + done.stderr)
    again = run(name, *words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert not TRAINED.search(again.stdout + again.stderr)
    if name != "size_and_throughput":  # whose speeds are measured anew
        assert again.stdout.splitlines()[-1] == answer


def test_every_way_to_combine_has_its_row(tmp_path: Path) -> None:
    options = {"tasks": "mnli qqp", "max-steps": "2", "seeds": "0 1", "langs": "en de", "rounds": "1"}
    words = [word for name, values in options.items() for word in (f"--{name}", *values.split())]
    command = [sys.executable, str(RECIPES / "compose.py"), *words, "--json", "table.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pocket world: no evidence about real languages" in done.stdout
    found = json.loads((tmp_path / "table.json").read_text())
    rows = {row["way"]: row for row in found["rows"]}
    assert list(rows) == WAYS
    for row in rows.values():
        assert len(row["english"]) == len(row["zero_shot"]) == 2
        assert {cell["lang"] for cell in row["cells"]} == {"en", "de"}
        assert row["inference"] > 0
        assert row["inference_folded"] > 0
    # What is stored: a module for each task and the target's own; a joint is one for all of them.
    one = rows["none"]["parameters"]
    assert rows["best single"]["parameters"] > one
    assert rows["mean"]["parameters"] == rows["ties"]["parameters"] > rows["best single"]["parameters"]
    assert rows["fuse of all"]["parameters"] > rows["mean"]["parameters"]  # the fusion's own weights
    assert rows["sequential"]["expr"] == "mnli > qqp > xnli"
    # The same again trains nothing.
    again = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "train " not in again.stderr


def test_stacks_are_held_run_together_and_swapped(tmp_path: Path) -> None:
    words = ["--tasks", "mnli", "--max-steps", "2", "--rounds", "2"]
    command = [sys.executable, str(RECIPES / "swap.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for way in ("one after another", "together", "swapped in from memory", "mounted anew"):
        assert way in done.stdout


def test_texts_are_classified_as_evaluation_scores_them(tmp_path: Path) -> None:
    command = [sys.executable, str(RECIPES / "classify.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    right = dict(re.findall(r"^(\w\w): .* ([\d.]+)% right", done.stdout, re.M))
    words = ["results", "--json", "-", "--store", str(tmp_path / ".xadapt")]
    listing = [sys.executable, "-m", "xadapt", *words]
    listed = subprocess.run(listing, capture_output=True, text=True, check=True)
    cells = {cell["lang"]: cell["score"] for cell in json.loads(listed.stdout)["cells"]}
    assert set(cells) == {"en", "de", "sw"}
    assert {lang: float(share) for lang, share in right.items()} == pytest.approx(cells, abs=0.051)
