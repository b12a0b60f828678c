"""The other recipes run to their end, on the smallest settings, and their tables say what they promise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[1] / "recipes"
WAYS = ["none", "best single", "sequential", "joint of all", "fuse of all", "mean", "ties"]


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


# Recipes that answer a question about sizes: two encoders of different size each.
ON_SIZE = ("nli_data_or_parameters", "parameters_and_gap", "base_to_large", "size_and_throughput")


@pytest.mark.parametrize("recipe", ON_SIZE)
def test_a_question_about_size_ends_in_an_answer_and_a_report(
    recipe: str, tmp_path: Path, checkpoint: Path
) -> None:
    options = ["--quick", "--backbone", str(checkpoint), "pocket", "--out", "out", "--threads", "1"]
    command = [sys.executable, str(RECIPES / f"{recipe}.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("answer: ")
    for name in ("report.html", "report.md", "cells.csv"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    assert re.search(r"(^|\] )train \w", done.stdout + done.stderr, re.M)
    again = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert not re.search(r"(^|\] )train \w", again.stdout + again.stderr, re.M)
    if recipe != "size_and_throughput":  # whose speeds are measured anew
        assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]
