"""All layers in one pass, and what is tuned on dev: studies on a source made here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import COMMON
from kinds_common import task
from tiny import TEXT

from xadapt.cli.main import main
from xadapt.common.errors import UserError
from xadapt.report.layer_curve import best_layers
from xadapt.stacks.methods import parse_method
from xadapt.store.store import Store
from xadapt.study import evaluation as scoring
from xadapt.study.plan import make_plan
from xadapt.study.results import Results
from xadapt.study.run import run
from xadapt.tasks import CATALOGUE
from xadapt.tasks.examples import Example, Paired, Sought
from xadapt.train import batches, evaluate

TATOEBA = replace(task("retrieve", name="tatoeba"), languages=("de", "es"), max_length=32)
BUCC = replace(task("retrieve", name="bucc", metrics=("f1",)), languages=("de", "ru"), max_length=32)


class Few:
    """A source of a few sentences. BUCC's Russian has no dev set."""

    name = "few"
    generated = False
    dev_revision = "1"

    def languages(self, name: str, split: str) -> tuple[str, ...]:
        if name == "bucc":
            return ("de", "ru") if split == "test" else ("de",)
        return ("de", "es")

    def load(self, name: str, language: str, split: str) -> Sequence[Example]:
        lines = TEXT if split == "test" else TEXT[::-1]
        if name == "tatoeba":
            return [Paired(str(i), f"{t} {language}", t[5:]) for i, t in enumerate(lines)]
        asked = [Sought(f"q{i}", "query", t, "", (f"c{i}",) if i < 3 else ()) for i, t in enumerate(lines)]
        given = [t[3:] if i < 3 else t[::-1] for i, t in enumerate(lines)]
        return [*asked, *(Sought(f"c{i}", "candidate", t, "", None) for i, t in enumerate(given))]

    def revision(self, name: str, language: str, split: str) -> str:
        return f"{name}-{language}-{split}-{self.dev_revision if split == 'dev' else 1}"

    def held_out(self, name: str, language: str) -> bool:
        return False

    def test_split(self, name: str) -> str:
        return "test"


ROWS = {**CATALOGUE, "tatoeba": TATOEBA, "bucc": BUCC}


def results(backbone, store: Path, name: str, source=None, rows=ROWS, **options) -> Results:
    made = make_plan(
        [name],
        backbone=backbone,
        source=source or Few(),
        method=parse_method("lora"),
        catalogue=rows,
        **options,
    )
    return run(made, Store(store), baselines=False)


def scores(found: Results) -> dict[tuple[int | None, str], float]:
    return {(c.layer, c.lang): c.score for c in found.cells}


@pytest.mark.parametrize(("name", "languages"), [("tatoeba", None), ("bucc", ["de"])])
def test_a_sweep_is_the_plain_runs_in_one_pass(backbone, tmp_path, monkeypatch, name, languages):
    swept = results(backbone, tmp_path / "swept", name, languages=languages, layer="every")
    assert len({c.lang for c in swept.cells}) * 5 == len(swept.cells)
    plain = {}
    for layer in range(5):
        one = results(backbone, tmp_path / "plain", name, languages=languages, layer=layer)
        plain |= scores(one)
    assert scores(swept) == plain
    # The cells are the same ones: a sweep after the plain runs computes nothing.
    monkeypatch.setattr(scoring, "evaluate_layers", None)
    assert scores(results(backbone, tmp_path / "plain", name, languages=languages, layer="every")) == plain
    (curve,) = best_layers(swept)
    means = {point["layer"]: point["mean"] for point in curve["means"]}
    assert means[3] == pytest.approx(np.mean([s for (layer, _), s in plain.items() if layer == 3]))
    assert means[curve["best"]] == max(means.values())


def test_one_pass_means_one_forward_a_batch(backbone, tmp_path, monkeypatch):
    calls = []
    pack = batches.pack
    monkeypatch.setattr(batches, "pack", lambda sequences: calls.append(1) or pack(sequences))
    results(backbone, tmp_path, "tatoeba", layer="every")
    assert len(calls) == 2  # two languages of one batch


def test_a_large_sweep_goes_through_a_file(backbone, tmp_path, monkeypatch):
    want = scores(results(backbone, tmp_path / "a", "tatoeba", layer="every"))
    monkeypatch.setattr(evaluate, "IN_MEMORY", 0)
    assert scores(results(backbone, tmp_path / "b", "tatoeba", layer="every")) == want


def test_only_what_is_read_at_any_layer_can_be_swept(backbone, tmp_path):
    trained = replace(task("retrieve", name="bucc", metrics=("map@20",), train="bucc"), languages=("de",))
    with pytest.raises(UserError, match="read at the last layer only"):
        results(backbone, tmp_path, "bucc", rows=ROWS | {"bucc": trained}, layer="every")


def test_a_threshold_comes_from_the_dev_set_of_the_same_language(backbone, tmp_path):
    with pytest.raises(UserError, match=r"bucc \(test\) in ru: few has no dev data"):
        results(backbone, tmp_path, "bucc")
    (cell,) = results(backbone, tmp_path, "bucc", languages=["de"]).cells
    assert (cell.metric, cell.n) == ("f1", 5)  # queries count
    (dev,) = results(backbone, tmp_path, "bucc", languages=["de"], split="dev").cells
    assert 0 <= dev.score <= 100
    # Another dev set is another cell.
    changed = Few()
    changed.dev_revision = "2"
    before = len(list((tmp_path / "cells").rglob("*.json")))
    results(backbone, tmp_path, "bucc", changed, languages=["de"])
    assert len(list((tmp_path / "cells").rglob("*.json"))) == before + 1


def test_the_command_shows_every_layer_and_writes_json(workdir, capsys):
    main(["layers", "--task", "tatoeba", *COMMON[:4], "--json", "out.json"])
    shown = capsys.readouterr().out
    assert "tatoeba: accuracy on test by hidden layer" in shown
    assert "best: layer" in shown
    content = json.loads((workdir / "out.json").read_text())
    assert [cell["layer"] for cell in content["cells"]] == [0, 1, 2, 3, 4]
    assert len(content["layers"][0]["means"]) == 5
