"""What the recipes share."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import xadapt
from xadapt.report.recipe import RecipeOptions, paragraphs

RECIPES = Path(__file__).parents[1] / "recipes"


def test_quick_settings_give_way_to_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = RecipeOptions(quick=True, max_steps=7).quickly(max_steps=3, items=5, seeds=(0,))
    assert (quick.max_steps, quick.items, quick.seeds, quick.looks) == (7, 5, (0,), 1)
    assert RecipeOptions().quickly(max_steps=5) == RecipeOptions()
    monkeypatch.setattr(sys, "argv", ["recipe.py", "--quick", "--seeds", "0", "1", "2"])
    said_as_by_default = RecipeOptions(quick=True).quickly()
    assert said_as_by_default.seeds == (0, 1, 2)


def test_a_recipes_text_says_question_literature_and_cost() -> None:
    said = paragraphs("Does it?\n\n    python x.py\n\nLiterature (A 2020):\nyes.\n\nCost: much.\n")
    assert said == {"question": "Does it?", "Literature": "Literature (A 2020): yes.", "Cost": "Cost: much."}


def test_a_recipe_ends_in_a_report_and_its_answer(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__doc__", "Does it?\n\nLiterature: none.\n\nCost: little.\n")
    monkeypatch.setattr(main, "__file__", "recipes/does_it.py", raising=False)
    options = RecipeOptions(
        backbone=(str(world / "backbone"),),
        data=str(world / "xtreme"),
        store=tmp_path / "store",
        out=tmp_path / "out",
        max_steps=1,
        seeds=(0,),
        threads=1,
    )
    there, notes = options.available(["xnli", "pawsx"])
    assert there == ("xnli",)
    assert "pawsx" in notes[0]
    grid = options.grid(["{target}", "mnli > {target}"], targets=there)
    results = options.run(grid)
    assert results is not None
    evidence = grid.evidence(results)
    gain = evidence.mean(evidence.row("mnli > xnli")) - evidence.mean(evidence.row("xnli"))
    table = xadapt.Table(
        "gains", ("gain",), tuple((xadapt.shown(e, gain=True),) for e in evidence.estimate([gain]))
    )
    options.conclude(grid, results, answer="perhaps: +1.0 (+0.5 to +1.5)", figures=[table], notes=notes)
    assert capsys.readouterr().out.splitlines()[-1] == "answer: perhaps: +1.0 (+0.5 to +1.5)"
    for name in ("report.html", "report.md", "cells.csv"):
        assert (tmp_path / "out" / name).stat().st_size > 100
    (record,) = (tmp_path / "store" / "reports").glob("*.json")
    assert record.stem == "does_it"
    assert "Does it?" in json.dumps(json.loads(record.read_text()))
