"""What a study concludes is kept whole, and drawn figures are computed before."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from report_common import results_by_hand

from xadapt.common.errors import UserError
from xadapt.common.plain import as_plain, from_plain
from xadapt.record.figure import Amount, Curve, Forest, Front, Heatmap, Point, Series, Table, front_of
from xadapt.record.record import StudyRecord, recorded
from xadapt.record.recording import record_of
from xadapt.record.standard import below_target
from xadapt.store.store import Store


@pytest.fixture
def record(store: Store) -> StudyRecord:
    """Kept in ``store``, with a front among its figures."""
    front = Front(
        "Cost", "ms", "accuracy", front_of([Point(1, 60.0, name="small"), Point(4, 70.0)]), tolerance=1.0
    )
    return record_of(
        results_by_hand(store), store, name="by-hand", question="Does it help?", answer="It does.",
        figures=[front], definition={"seeds": [0, 1]}, notes=["two seeds"], command="python by_hand.py",
    )  # fmt: skip


def test_what_is_kept_is_what_is_read(store: Store, record: StudyRecord) -> None:
    assert recorded(store, "by-hand") == replace(record, definition={"seeds": [0, 1]})
    assert recorded(store, "by") == recorded(store, "by-hand")


def test_the_usual_figures_come_after_those_that_were_given(record: StudyRecord) -> None:
    assert [figure.kind for figure in record.figures] == [
        "front", "heatmap", "heatmap", "forest", "table", "table", "curve",
    ]  # fmt: skip


def test_gains_are_those_of_the_findings(record: StudyRecord) -> None:
    heat = record.figures[1]
    assert isinstance(heat, Heatmap)
    assert (heat.rows, heat.columns) == (("mnli", "qqp"), ("xnli", "pawsx"))
    gains = {(f.expr, f.task): f.estimate for f in record.results.findings if f.what == "gain"}
    assert heat.values[0] == (gains["mnli > xnli", "xnli"], gains["mnli > pawsx", "pawsx"])
    assert all(one is not None and one.shown for one in heat.values[0])
    forest = next(figure for figure in record.figures if isinstance(figure, Forest))
    assert {d.estimate.text() for d in forest.differences} == {one.text() for one in gains.values()}


def test_groups_of_languages_have_gains_of_their_own(record: StudyRecord) -> None:
    heat = record.figures[2]
    assert isinstance(heat, Heatmap)
    assert heat.columns == ("high", "low", "unseen")  # de, sw, ht
    cells = [c for c in record.results.cells if c.lang == "sw"]
    by_expr = {below: [c.score for c in cells if below_target(c.expr) == below] for below in ("none", "mnli")}
    expected = sum(by_expr["mnli"]) / 4 - sum(by_expr["none"]) / 4
    one = heat.values[0][1]
    assert one is not None
    assert one.value == pytest.approx(expected)


def test_gaps_stand_over_the_sizes_of_languages(record: StudyRecord) -> None:
    curve = record.figures[-1]
    assert isinstance(curve, Curve)
    series = curve.series[0]
    assert (series.name, series.panel) == ("none", "xnli: gap")
    assert [(p.name, p.x) for p in series.points] == [("de", 66.6), ("sw", 1.6), ("ht", None)]
    alone = [c for c in record.results.cells if c.expr == "xnli"]
    english, german = ([c.score for c in alone if c.lang == lang] for lang in ("en", "de"))
    assert series.points[0].value == pytest.approx(sum(english) / 2 - sum(german) / 2)


def test_tables_of_scores_have_baselines_and_words_for_differences(record: StudyRecord) -> None:
    table = record.figures[4]
    assert isinstance(table, Table)
    assert table.columns == ("expression", "gain", "mean of others", "gap", "en", "de", "sw", "ht")
    assert [row[0] for row in table.rows] == ["xnli", "mnli > xnli", "qqp > xnli", "no model: majority"]
    gain = table.rows[2][1]
    assert isinstance(gain, Amount)
    assert gain.text.startswith("no difference shown (")


def test_it_says_where_it_is_from(record: StudyRecord) -> None:
    titles = {table.title: table for table in record.sources}
    assert [row[0] for row in titles["Data sets"].rows] == ["xnli", "pawsx"]
    assert titles["Data sets"].rows[0][2] == "CC BY-NC 4.0"
    revisions = titles["Revisions of the data that was evaluated on"].rows
    assert "sw xnli-sw-revi" in str(revisions[0][2])
    assert "conneau-etal-2018" in record.bibtex
    assert "holm-1979" in record.bibtex
    assert "2 seeds (0 and 1)" in record.methods
    assert "Holm" in record.methods
    assert {"python", "torch", "training", "scoring"} <= set(record.versions)


def test_the_front_is_what_no_other_beats() -> None:
    points = [Point(1, 60.0), Point(2, 59.0), Point(2, 65.0), Point(9, 65.0), Point(None, 99.0)]
    assert [p.front for p in front_of(points)] == [True, False, True, False, False]
    assert [p.front for p in front_of(points, "higher")] == [False, False, False, True, False]


def test_names_of_what_lies_below() -> None:
    assert below_target("xnli") == "none"
    assert below_target("mean(mnli, qqp) > xnli") == "mean(mnli, qqp)"
    assert below_target("mnli > xnli[100]") == "mnli > ·[100]"


# -- bad input --------------------------------------------------------------------------------


def test_an_unknown_study_is_answered_with_the_nearest(store: Store, record: StudyRecord) -> None:
    with pytest.raises(UserError, match="did you mean 'by-hand'"):
        recorded(store, "by-hnd")
    replace(record, name="by-foot").keep(store)
    with pytest.raises(UserError, match="2 recorded studies begin with 'by'"):
        recorded(store, "by")


def test_a_damaged_record_is_named(store: Store, record: StudyRecord) -> None:
    path = store.root / "reports" / "by-hand.json"
    path.write_text(path.read_text().replace("It does.", "It does not."))
    with pytest.raises(UserError, match="damaged"):
        recorded(store, "by-hand")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 101])
def test_a_name_is_that_of_a_file(name: str, record: StudyRecord) -> None:
    with pytest.raises(UserError, match="cannot be the name"):
        replace(record, name=name)


# -- plain values -----------------------------------------------------------------------------


def test_plain_values_go_through_json() -> None:
    curve = Curve("t", "x", "y", (Series("s", (Point(1, 2.5), Point(None, 3.0, 1.0, 4.0, "de", True))),))
    assert from_plain(Curve, json.loads(json.dumps(as_plain(curve)))) == curve
    table = Table("t", ("a",), ((1,), (1.5,), ("x",), (None,), (Amount(2.0, "two"),)))
    read = from_plain(Table, json.loads(json.dumps(as_plain(table))))
    assert read == table
    assert [type(row[0]) for row in read.rows[:2]] == [int, float]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({}, "has no x"),
        ({"x": 1, "value": "2"}, "Point.value"),
        ({"x": 1, "value": 2, "z": 3}, "unknown fields z"),
        ([], "no object"),
    ],
)
def test_what_does_not_fit_is_refused(said: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_plain(Point, said)
