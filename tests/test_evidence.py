"""What cells say with intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_common import put

from xadapt.common.arrays import as_text
from xadapt.common.errors import UserError
from xadapt.statistics.estimate import Estimate
from xadapt.store.store import Store, address_of
from xadapt.study.evidence import Evidence, Row, of_one_layer
from xadapt.study.results import Cell

BASE = Row("tiny", "lora", "xnli", "xnli", "accuracy")
ABOVE = BASE._replace(expr="mnli > xnli")


def cell(store: Store, row: Row, lang: str, seed: int, hits: np.ndarray, layer: int | None = None) -> Cell:
    key = address_of({"row": list(row), "lang": lang, "seed": seed})
    counts = np.stack([hits.astype(float), np.ones(len(hits))], axis=1)
    store.write_scores(key, {"counts": {row.metric: as_text(counts)}})
    score = 100 * float(hits.mean())
    return Cell(
        row.expr,
        seed,
        row.task,
        lang,
        "test",
        row.metric,
        score,
        len(hits),
        layer=layer,
        backbone=row.backbone,
        method=row.method,
        key=key,
    )


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Two lines by three seeds in three languages: the second is right on a fifth more of the items."""
    store, draw = Store(tmp_path), np.random.default_rng(0)
    cells = []
    for seed in range(3):
        for lang in ("de", "en", "sw"):
            chance = draw.random(400)
            cells += [
                cell(store, BASE, lang, seed, chance < 0.5 + 0.2 * (lang == "en")),
                cell(store, ABOVE, lang, seed, chance < 0.7 + 0.2 * (lang == "en")),
            ]
    return Evidence(cells, store, resamples=2000)


def score(evidence: Evidence, row: Row, *languages: str) -> float:
    found = [c.score for c in evidence.cells if c.expr == row.expr and c.lang in languages]
    return sum(found) / len(found)


def test_rows_and_languages_are_those_of_the_cells(evidence: Evidence) -> None:
    assert evidence.rows() == [BASE, ABOVE]
    assert evidence.rows("udpos") == []
    assert evidence.row("mnli > xnli") == ABOVE
    with pytest.raises(UserError, match=r"0 lines of 'mnl > xnli'.*mnli > xnli"):
        evidence.row("mnl > xnli")
    assert evidence.languages(BASE) == ("en", "de", "sw")


def test_values_are_those_of_the_scores(evidence: Evidence) -> None:
    others = {row: score(evidence, row, "de", "sw") for row in (BASE, ABOVE)}
    mean, gap, gain, both = evidence.estimate(
        [
            evidence.mean(BASE),
            evidence.gap(BASE),
            evidence.mean(ABOVE) - evidence.mean(BASE),
            (evidence.mean(ABOVE) + evidence.mean(BASE)) / 2,
        ]
    )
    assert mean.value == pytest.approx(others[BASE])
    assert gap.value == pytest.approx(score(evidence, BASE, "en") - others[BASE])
    assert gain.value == pytest.approx(others[ABOVE] - others[BASE])
    assert both.value == pytest.approx((others[ABOVE] + others[BASE]) / 2)
    assert gain.shown
    assert gain.low < 20 < gain.high
    assert (gain.seeds, gain.items) == (3, 400)


def test_findings_are_a_mean_and_a_gap_a_line_and_a_gain_over_the_first(evidence: Evidence) -> None:
    found = {(f.expr, f.what): f for f in evidence.findings()}
    assert set(found) == {(e, w) for e in ("xnli", "mnli > xnli") for w in ("others", "gap")} | {
        ("mnli > xnli", "gain")
    }
    gain = found["mnli > xnli", "gain"]
    assert gain.against == "xnli"
    assert gain.estimate.adjusted == gain.estimate.p  # one comparison


def test_a_line_against_itself_shows_no_difference(evidence: Evidence) -> None:
    (same,) = evidence.estimate([evidence.mean(BASE) - evidence.mean(BASE)])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert same.text() == "no difference shown (+0.0 to +0.0)"


def test_ratio_and_tolerance(evidence: Evidence) -> None:
    gain = evidence.mean(ABOVE) - evidence.mean(BASE)
    assert evidence.ratio(gain, gain).value == pytest.approx(1)
    assert evidence.not_worse(gain, 1.0).shown
    assert not evidence.not_worse(evidence.mean(BASE) - evidence.mean(ABOVE), 1.0).shown


def test_a_slope_is_that_of_the_scores(evidence: Evidence) -> None:
    means = [evidence.mean(BASE), evidence.mean(ABOVE), evidence.mean(ABOVE, ["en"])]
    values = [one.value for one in evidence.estimate(means)]
    (slope,) = evidence.estimate([evidence.slope(means, [10, 11, 13])])
    assert slope.value == pytest.approx(np.polyfit([10, 11, 13], values, 1)[0])


def test_only_seeds_that_both_sides_have_are_compared(evidence: Evidence) -> None:
    fewer = Evidence([c for c in evidence.cells if (c.expr, c.seed) != ("xnli", 2)], evidence.store, 500)
    (gain,) = fewer.estimate([fewer.mean(ABOVE) - fewer.mean(BASE)])
    assert gain.seeds == 2
    none = Evidence([c for c in evidence.cells if (c.expr == "xnli") == (c.seed == 0)], evidence.store, 500)
    with pytest.raises(UserError, match="share no seed"):
        none.estimate([none.mean(ABOVE) - none.mean(BASE)])


def test_a_language_without_scores_is_named(evidence: Evidence) -> None:
    with pytest.raises(UserError, match="no score of xnli in fr"):
        evidence.mean(BASE, ["fr"])


def test_lines_that_failed_are_lacking(evidence: Evidence) -> None:
    assert evidence.lacking(["xnli", "qqp > xnli"]) == ["qqp > xnli"]
    wide = [replace(c, backbone="wide") for c in evidence.cells if c.expr == "xnli"]
    assert Evidence([*evidence.cells, *wide], evidence.store).lacking(["xnli", "mnli > xnli"]) == [
        "mnli > xnli"
    ]
    assert Evidence([], evidence.store).lacking(["xnli"]) == ["xnli"]


def test_stacks_can_be_chosen_by_what_chose_their_checkpoints(evidence: Evidence) -> None:
    saved = put(evidence.store, 1)  # 81.25 on English dev
    trained = [replace(c, module=saved.address) for c in evidence.cells if c.expr == "xnli"]
    assert Evidence(trained, evidence.store).english_dev(BASE) == 81.25
    with pytest.raises(UserError, match="nothing is trained on xnli"):
        evidence.english_dev(BASE)


def test_cells_of_several_layers_are_no_one_study(tmp_path: Path) -> None:
    hits = np.ones(3, dtype=bool)
    cells = [cell(Store(tmp_path), BASE, "de", 0, hits, layer) for layer in (1, 2)]
    assert not of_one_layer(cells)
    assert of_one_layer(cells[:1])


def test_the_interval_of_a_score_does_not_leave_the_scale() -> None:
    wide = Estimate(97.0, 80.0, 114.0, 0.1, 2, 60, 1.0, 9.0, 1.0)
    assert wide.text(difference=False) == "97.0 (80.0 to 100.0)"
