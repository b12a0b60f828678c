"""Results that stay: the scores of a store listed, chosen, compared, and written in other forms."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import refused
from rich.console import Console

from xadapt.cli.main import main
from xadapt.common.arrays import as_text
from xadapt.common.errors import UserError
from xadapt.common.text_tables import TextTable
from xadapt.record.record import StudyRecord
from xadapt.report.formats import score_tables
from xadapt.report.tables import as_json
from xadapt.statistics.estimate import Estimate
from xadapt.store.store import Store, address_of
from xadapt.study.evidence import Evidence
from xadapt.study.kept import differences, kept_scores
from xadapt.study.results import Baseline, Finding, Results
from xadapt.study.study import Study

HITS = {"xnli": 0.5, "mnli > xnli": 0.8, "squad > xnli": 0.51}


def put_score(store: Store, chance: float, **about: Any) -> None:
    """One file of scores as ``evaluation.py`` writes it; ``created``, ``module`` tell equal names apart."""
    n = about.pop("n", 300)
    said = {
        "seed": 0, "task": "xnli", "lang": "de", "split": "test", "layer": None, "backbone": "tiny",
        "method": "lora", "data": "folder", "generated": False, "revision": "r", "created": "2026-01-01",
    } | about  # fmt: skip
    said.setdefault("module", address_of({"of": said["expr"], "seed": said["seed"]}))
    draw = np.random.default_rng([n, said["seed"], *said["lang"].encode()])  # items are equally hard for all
    hits = (draw.random(n) < chance).astype(float)
    counts = as_text(np.stack([hits, np.ones(n)], axis=1))
    cell = {"scores": {"accuracy": 100 * hits.mean()}, "n": n, "counts": {"accuracy": counts}, "about": said}
    store.write_scores(address_of({**said, "n": n}), cell)


@pytest.fixture
def filled(store: Store) -> Store:
    """Three expressions by two seeds in English, German and Swahili; one is as good as the first."""
    for expr, chance in HITS.items():
        for seed in (0, 1):
            for lang in ("sw", "de", "en"):
                put_score(store, chance, expr=expr, seed=seed, lang=lang)
    return store


def listed(store: Store, *options: str) -> list[str]:
    return ["results", "--store", str(store.root), *options]


# -- what a store holds ---------------------------------------------------------------------------


def test_every_score_is_listed_with_what_it_is_of(filled: Store) -> None:
    kept = kept_scores(filled)
    assert len(kept.cells) == 3 * 2 * 3
    first = kept.cells[0]
    assert (first.expr, first.lang, first.seed, first.n) == ("xnli", "en", 0, 300)
    assert (first.backbone, first.method, first.data, first.split) == ("tiny", "lora", "folder", "test")
    assert filled.read_scores(first.key) is not None
    assert first.module == address_of({"of": "xnli", "seed": 0})


def test_files_that_do_not_say_what_they_are_of_are_counted(filled: Store) -> None:
    filled.write_scores("a" * 20, {"scores": {"accuracy": 1.0}, "n": 3})
    kept = kept_scores(filled)
    assert (len(kept.cells), kept.unnamed) == (18, 1)


def test_expressions_are_written_in_one_way(store: Store) -> None:
    put_score(store, 0.5, expr="mnli>xnli", seed=0)
    put_score(store, 0.5, expr="mnli  >  xnli", seed=1)
    assert {c.expr for c in kept_scores(store).cells} == {"mnli > xnli"}
    assert len(kept_scores(store).select(expr="mnli >xnli").cells) == 2


def test_one_value_or_several_can_be_chosen(filled: Store) -> None:
    kept = kept_scores(filled)
    assert {c.lang for c in kept.select(lang=["de", "sw"]).cells} == {"de", "sw"}
    (only,) = kept.select(expr="xnli", seed=1, lang="en", task="xnli", split="test", metric="accuracy").cells
    assert (only.expr, only.seed, only.lang) == ("xnli", 1, "en")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"task": "xnly"}, "did you mean 'xnli'"),
        ({"lang": ["de", "fr"]}, "no score with lang 'fr'"),
        ({"seed": 7}, "one of 0, 1"),
        ({"expr": "mnly > xnli"}, "did you mean 'mnli > xnli'"),
        ({"method": "full"}, "one of lora"),
        ({"lang": []}, "lang names nothing"),
    ],
)
def test_what_no_score_is_of_is_said_with_the_nearest(
    filled: Store, wanted: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        kept_scores(filled).select(**wanted)


def test_a_choice_that_leaves_nothing_is_said(filled: Store) -> None:
    put_score(filled, 0.5, expr="udpos", task="udpos", lang="fr")
    with pytest.raises(UserError, match="no score has all of this at once: task udpos, lang de"):
        kept_scores(filled).select(task="udpos", lang="de")


# -- comparisons ----------------------------------------------------------------------------------


def test_differences_are_those_of_evidence(filled: Store) -> None:
    kept = kept_scores(filled)
    compared = differences(kept.scores, "xnli", filled)
    found = {d.finding.expr: d for d in compared.differences}
    evidence = Evidence([c for c in kept.cells if c.lang != "en"], filled)
    wanted = [evidence.mean(evidence.row(e)) - evidence.mean(evidence.row("xnli")) for e in found]
    for one, of_evidence in zip(found.values(), evidence.estimate(wanted, compared=True), strict=True):
        said = one.finding.estimate
        for name in ("value", "low", "high", "adjusted"):
            assert getattr(said, name) == pytest.approx(getattr(of_evidence, name), abs=1e-9)
    better, same = found["mnli > xnli"].finding.estimate, found["squad > xnli"].finding.estimate
    assert better.shown
    assert better.low < 30 < better.high
    assert same.text().startswith("no difference shown")
    assert found["mnli > xnli"].languages == ("de", "sw")
    assert compared.older == 0


def test_comparisons_of_one_task_are_corrected_for_how_many_they_are(filled: Store) -> None:
    together = differences(kept_scores(filled).scores, "xnli", filled, 500).differences
    alone = differences(
        kept_scores(filled).select(expr=["xnli", "squad > xnli"]).scores, "xnli", filled, 500
    ).differences
    assert [d.finding.estimate.adjusted for d in alone] == [d.finding.estimate.p for d in alone]
    ps = sorted(d.finding.estimate.p for d in together)
    assert min(d.finding.estimate.adjusted or 0 for d in together) == pytest.approx(min(1, 2 * ps[0]))


@pytest.mark.parametrize(
    "other",
    [{"method": "full"}, {"backbone": "large"}, {"split": "dev"}, {"data": "other"}, {"revision": "s"},
     {"layer": 3}, {"n": 200}, {"seed": 1}, {"lang": "sw"}],
)  # fmt: skip
def test_only_what_is_equal_is_compared(store: Store, other: dict[str, Any]) -> None:
    put_score(store, 0.5, expr="xnli")
    put_score(store, 0.8, expr="mnli > xnli", **other)
    compared = differences(kept_scores(store).scores, "xnli", store, 100)
    assert compared.differences == ()
    assert len(compared.lacking) == 1
    put_score(store, 0.5, expr="xnli", **other)
    (one,) = differences(kept_scores(store).scores, "xnli", store, 100).differences
    assert one.finding.estimate.items == other.get("n", 300)


def test_the_newest_of_equal_names_counts_and_the_older_are_counted(store: Store) -> None:
    put_score(store, 0.5, expr="xnli")
    put_score(store, 0.1, expr="mnli > xnli", created="2026-01-02", module="a" * 20)
    put_score(store, 0.9, expr="mnli > xnli", created="2026-01-03", module="b" * 20)
    kept = kept_scores(store)
    assert [c.module for c in kept.cells if c.expr != "xnli"] == ["a" * 20, "b" * 20], "both are listed"
    compared = differences(kept.scores, "xnli", store, 100)
    assert compared.differences[0].finding.estimate.value > 0
    assert compared.older == 1


def test_of_several_numbers_of_items_the_most_that_both_have_count(store: Store) -> None:
    for n, expr in ((300, "xnli"), (100, "xnli"), (100, "mnli > xnli"), (50, "mnli > xnli"), (50, "xnli")):
        put_score(store, 0.5, expr=expr, n=n)
    (one,) = differences(kept_scores(store).scores, "xnli", store, 100).differences
    assert one.finding.estimate.items == 100


def test_english_counts_only_where_there_is_no_other_language(filled: Store) -> None:
    english = kept_scores(filled).select(lang="en")
    assert {d.languages for d in differences(english.scores, "xnli", filled, 100).differences} == {("en",)}


def test_a_score_of_the_bare_backbone_is_that_of_every_seed(store: Store) -> None:
    """Nothing is trained for it, so one file stands for all seeds."""
    put_score(store, 0.5, expr="tatoeba", task="tatoeba", module=None, layer=2)
    for seed in range(3):
        put_score(store, 0.8, expr="mnli > tatoeba", task="tatoeba", module=None, layer=2, seed=seed)
    (one,) = differences(kept_scores(store).scores, "tatoeba", store, 100).differences
    assert one.finding.estimate.seeds == 3


def test_nothing_to_compare_with_is_said(filled: Store) -> None:
    kept = kept_scores(filled)
    with pytest.raises(UserError, match="no score of 'mnly > xnli'; did you mean 'mnli > xnli'"):
        differences(kept.scores, "mnly > xnli", filled)
    with pytest.raises(UserError, match="no score of anything but 'xnli'"):
        differences(kept.select(expr="xnli").scores, "xnli", filled)


# -- the command ----------------------------------------------------------------------------------


def test_the_tables_fit_a_narrow_screen(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    put_score(filled, 0.5, expr="mean(mnli, qqp, squad_v2[10k], cosmos_qa) > siqa > xnli")
    (table,) = score_tables(kept_scores(filled))
    Console(width=80).print(table)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "accuracy on test of folder, tiny with lora" in said
    assert address_of({"of": "xnli", "seed": 0})[:8] in said


def test_results_lists_and_compares(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    main(listed(filled, "--lang", "de,sw", "--seed", "0"))
    assert "6 scores" in capsys.readouterr().out
    main(listed(filled, "--against", "xnli"))
    said = capsys.readouterr().out
    assert "no difference shown (" in said
    assert "(+2" in said or "(+3" in said
    assert "pocket world" not in said
    main(listed(filled, "--expr", "mnli>xnli", "--against", "xnli", "--format", "csv"))
    (line,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert (line["expr"], line["against"], line["shown"]) == ("mnli > xnli", "xnli", "True")
    assert float(line["low"]) < float(line["value"]) < float(line["high"])


def test_generated_data_are_named_as_such(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    put_score(store, 0.5, expr="xnli", generated=True)
    for form in ("table", "markdown", "latex"):
        main(listed(store, "--format", form))
        assert "evidence for nothing" in capsys.readouterr().out


def test_json_has_scores_and_differences(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    main(listed(filled, "--against", "xnli", "--json", "-"))
    said = json.loads(capsys.readouterr().out)
    cell = said["cells"][0]
    assert {"expr", "seed", "task", "lang", "split", "metric", "score", "n", "module"} <= cell.keys()
    assert {"low", "high", "shown", "value", "text", "against", "languages"} <= said["differences"][0].keys()
    place = filled.root / "out.json"
    main(listed(filled, "--against", "xnli", "--json", str(place)))
    assert json.loads(place.read_text()) == said
    capsys.readouterr()
    main(listed(filled, "--against", "xnli", "--format", "json"))
    assert json.loads(capsys.readouterr().out) == said


@pytest.mark.parametrize("form", ["markdown", "csv", "latex"])
def test_other_forms_have_every_score(filled: Store, capsys: pytest.CaptureFixture[str], form: str) -> None:
    main(listed(filled, "--format", form))
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if ",accuracy," in line or "| accuracy" in line
             or "& accuracy" in line]  # fmt: skip
    assert len(lines) == 18


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--task", "xnly"], "did you mean 'xnli'"),
        (["--seed", "one"], "'one' is not a seed"),
        (["--lang", ","], "names nothing"),
        (["--against", "xnly"], "did you mean 'xnli'"),
        (["--studies", "--task", "xnli"], "--studies with --task"),
        (["--studies"], "no run or study is recorded"),
    ],
)
def test_what_cannot_be_listed_is_refused(
    filled: Store, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert says in refused(capsys, *listed(filled, *options))


def test_an_empty_store_or_none_is_said(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no store" in refused(capsys, *listed(store))
    store.root.mkdir()
    assert "holds no scores" in refused(capsys, *listed(store))
    store.write_scores("a" * 20, {"scores": {"accuracy": 1.0}, "n": 3})
    assert "1 older file" in refused(capsys, *listed(store))


def test_listing_and_comparing_import_no_torch(filled: Store) -> None:
    for options in ([], ["--against", "xnli"], ["--format", "latex"]):
        code = (
            f"import sys; from xadapt.cli.main import main; main({listed(filled, *options)!r}); "
            "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False,
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "xnli" in done.stdout


# -- results in Python ----------------------------------------------------------------------------


@pytest.fixture
def results(filled: Store) -> Results:
    cells = kept_scores(filled).cells
    gain = Estimate(29.0, 25.0, 33.0, 0.01, 2, 300, 9.0, 1.0, 1.0)
    findings = (Finding("tiny", "lora", "xnli", "accuracy", "mnli > xnli", "gain", "xnli", gain),)
    beside = (Baseline("majority class", "xnli", "de", "test", "accuracy", 33.0, 300),)
    return Results("tiny", "folder", False, cells, (), beside, 1.0, findings)


def test_results_say_in_a_line_what_they_are(results: Results) -> None:
    assert repr(results) == "Results(18 scores of 3 expressions, 2 seeds, xnli, tiny on folder)"
    assert repr(replace(results, generated=True)).endswith("generated)")


def test_a_gap_that_may_be_nothing_is_no_difference_shown(results: Results) -> None:
    gap = replace(
        results.findings[0], what="gap", against="", estimate=Estimate(1, -1, 3, 0.3, 2, 300, 9.0, 1, 1)
    )
    table = replace(results, findings=(gap,)).table()
    assert "no difference shown (-1.0 to +3.0)" in [row[table.columns.index("gap")] for row in table.rows]


def test_results_can_be_chosen_from(results: Results) -> None:
    english = results.select(lang="en", seed=0)
    assert len(english.cells) == 3
    assert english.findings == (), "they are of all languages and seeds"
    assert english.baselines == ()
    assert results.select(task="xnli") == results
    assert results.select(expr="xnli").findings == ()
    with pytest.raises(UserError, match="did you mean 'mnli > xnli'"):
        results.select(expr="mnl > xnli")


def test_results_as_a_table_have_a_column_a_language(results: Results) -> None:
    table = results.table()
    assert table.columns == ("task", "metric", "expr", "seeds", "en", "de", "sw", "gain")
    rows = {row[2]: row for row in table.rows}
    german = [c.score for c in results.cells if (c.expr, c.lang) == ("xnli", "de")]
    assert rows["xnli"][5] == pytest.approx(sum(german) / 2)
    assert rows["mnli > xnli"][-1] == "+29.0 (+25.0 to +33.0)"
    assert "mnli &gt; xnli" in results.to_markdown()
    assert "mnli \\textgreater{} xnli & 2 &" in results.to_latex()
    assert "mnli &gt; xnli</td>" in results._repr_html_()


def test_results_as_csv_have_a_line_a_score(results: Results, tmp_path: Path) -> None:
    results.to_csv(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["score"]) for line in lines] == [c.score for c in results.cells]
    assert {line["expr"] for line in lines} == set(HITS)


def test_results_for_pandas(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    frame = results.to_pandas()
    assert list(frame["score"]) == [c.score for c in results.cells]
    assert isinstance(frame, pandas.DataFrame)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        results.to_pandas()


def test_recorded_studies_are_listed(
    results: Results, filled: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    StudyRecord("mnli-first", "Does MNLI help?", "It does.", results).keep(filled)
    main(listed(filled, "--studies"))
    assert "Does MNLI help?" in capsys.readouterr().out
    main(listed(filled, "--studies", "--json", "-"))
    said = json.loads(capsys.readouterr().out)
    assert said["runs"] == []
    assert [study["study"] for study in said["studies"]] == ["mnli-first"]


ODD = TextTable(("a_b", "n"), (("50% & \\x {y} <b>|$#~^", 1.25), ("-", None)))


def test_no_value_is_taken_for_a_mark() -> None:
    markdown = ODD.text("markdown")
    assert markdown.splitlines()[0] == "| a\\_b | n |"
    assert "50% &amp; \\\\x {y} &lt;b&gt;\\|$\\#~^ | 1.2 |" in markdown
    latex = ODD.text("latex")
    assert "a\\_b & n \\\\" in latex
    assert (
        "50\\% \\& \\textbackslash{}x \\{y\\} \\textless{}b\\textgreater{}\\textbar{}\\$\\#"
        "\\textasciitilde{}\\textasciicircum{} & 1.2 \\\\" in latex
    )
    assert latex.startswith("\\begin{tabular}{lr}\n\\toprule\n")
    assert list(csv.reader(ODD.text("csv").splitlines()))[1] == ["50% & \\x {y} <b>|$#~^", "1.25"]


# -- end to end -----------------------------------------------------------------------------------


def test_what_a_study_gave_is_what_its_store_lists(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Study(
        ["xnli", "mnli > xnli"], str(world / "backbone"), str(world / "xtreme"), store=tmp_path, max_steps=1
    )
    results = study.run()
    kept = kept_scores(Store(tmp_path))
    assert {(c.key, c.metric): c for c in kept.cells} == {(c.key, c.metric): c for c in results.cells}
    main(listed(Store(tmp_path), "--against", "xnli", "--format", "json"))
    (listed_gain,) = json.loads(capsys.readouterr().out)["differences"]
    gains: Any = as_json(results)["differences"]
    assert [g["value"] for g in gains if g["what"] == "gain"] == [pytest.approx(listed_gain["value"])]
    main(listed(Store(tmp_path), "--studies", "--format", "csv"))
    (run,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert run["expressions"] == "xnli; mnli > xnli"
    assert int(run["modules"]) == 3
