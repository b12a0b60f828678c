"""A grid of studies: what it consists of, in which order it is done, what a failure means for the rest."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.grid import work
from xadapt.grid.forecast import seconds_of
from xadapt.grid.grid import Grid
from xadapt.grid.work import units_of
from xadapt.report.filling import Filling, scores_so_far
from xadapt.report.progress import Bars
from xadapt.store.store import Store
from xadapt.study.study import Study


def grid(world: Path, backbone: Backbone, store: Path, *expressions: str, **options: object) -> Grid:
    """A grid on the tiny world; a few steps a module."""
    fast = {"data": str(world / "xtreme"), "backbones": (backbone,), "store": store, "max_steps": 2}
    return Grid(expressions, **(fast | {"batch_size": 8} | options))  # type: ignore[arg-type]


def said(made: Grid) -> str:
    with pytest.raises(UserError) as error:
        _ = made.studies
    return str(error.value)


# -- what it consists of ----------------------------------------------------------------------------


def test_templates_are_filled_template_by_template_and_what_is_said_twice_is_once(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    made = grid(
        world, backbone, tmp_path, "{target}", "xnli", "mnli[{size}] > {target}", "mnli  >  xnli",
        targets=["xnli", "udpos", "xnli"], sizes=[8, "all", None],
        methods=["lora", "lora(r=8)", "bottleneck"],
    )  # fmt: skip
    wanted = (
        "xnli",
        "udpos",
        "mnli[8] > xnli",
        "mnli > xnli",
        "mnli[8] > udpos",
        "mnli > udpos",
    )
    assert [tuple(study.expressions) for study in made.studies] == [wanted, wanted]
    assert [str(study.method) for study in made.studies] == ["lora", "bottleneck"]


def test_a_size_beside_languages_goes_alone(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    made = grid(world, backbone, tmp_path, "mnli[{size}, en] > xnli", sizes=["all", "9"])
    assert tuple(made.studies[0].expressions) == ("mnli > xnli", "mnli[9] > xnli")


def test_all_that_is_wrong_is_said_at_once(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    message = said(
        grid(
            world, backbone, tmp_path, "{traget}", "mnli > {target}",
            targets=["xnlj"], sizes=[5], methods=["lora", "loro"], backbones=[backbone, "./nowhere"],
        )
    )  # fmt: skip
    for part in ("loro", "nowhere", "xnlj", "{traget}", "did you mean 'target'", "no expression with {size}"):
        assert part in message


def test_a_grid_with_nothing_to_run_is_refused(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    assert "nothing to run" in said(grid(world, backbone, tmp_path))
    assert "nothing to run" in said(grid(world, backbone, tmp_path, "xnli", methods=[]))
    assert "no targets for {target}" in said(grid(world, backbone, tmp_path, "mnli > {target}"))


# -- the order --------------------------------------------------------------------------------------


def test_each_module_is_a_unit_once_and_scores_come_as_soon_as_they_can(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    made = grid(
        world, backbone, tmp_path, "{target}", "mnli > {target}", targets=["xnli", "tatoeba"], seeds=[1, 0]
    )
    units = units_of([study.plan for study in made.studies], made.seeds)
    assert [unit.shown for unit in units if unit.seed == 1] == [
        "train xnli (seed 1)",
        "evaluate xnli (seed 1)",
        "evaluate tatoeba (seed 1)",
        "train mnli (seed 1)",
        "train mnli > xnli (seed 1)",
        "evaluate mnli > xnli (seed 1)",
        "evaluate mnli > tatoeba (seed 1)",
    ]
    assert [unit.seed for unit in units] == [1] * 7 + [0] * 7
    known = {unit.key: unit for unit in units}
    below = known[units[4].key].needs
    assert [known[key].expr for key in below] == ["mnli"]
    repeated = {unit.shown: known[unit.repeats].shown for unit in units if unit.repeats}
    assert repeated == {"evaluate tatoeba (seed 0)": "evaluate tatoeba (seed 1)"}


def test_a_grid_gives_what_its_studies_give(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    made = grid(
        world, backbone, tmp_path / "grid", "{target}", "mnli > tatoeba",
        targets=["xnli", "tatoeba"], seeds=[0, 1], methods=["lora", "bottleneck"],
    )  # fmt: skip
    results = made.run(baselines=True)
    alone = [replace(study, store=tmp_path / "alone").run() for study in made.studies]
    assert results.cells == tuple(cell for one in alone for cell in one.cells)
    assert results.baselines == alone[0].baselines
    assert {m.address for m in results.modules} == {m.address for one in alone for m in one.modules}
    assert all(m.trained for m in results.modules)
    assert results.failures == ()
    again = made.run()
    assert again.cells == results.cells
    assert not any(m.trained for m in again.modules)


# -- failures ---------------------------------------------------------------------------------------


def test_what_fails_is_noted_with_its_error_and_the_rest_goes_on(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    made = grid(world, backbone, tmp_path, "mnli[500] > xnli", "xnli", "mnli[500] > tatoeba", "udpos")
    results = made.run()
    assert {cell.expr for cell in results.cells} == {"xnli", "udpos"}
    first, *others = results.failures
    assert first.what == "train mnli[500] (seed 0)"
    assert "there are 36 training examples" in first.error
    assert {f.what for f in others} == {
        "train mnli[500] > xnli (seed 0)",
        "evaluate mnli[500] > xnli (seed 0)",
        "evaluate mnli[500] > tatoeba (seed 0)",
    }
    assert {f.error for f in others} == {
        "needs mnli[500] (seed 0), which failed",
    }


def test_of_a_defect_the_traceback_is_kept(
    world: Path, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(work, "scores_of", broken)
    (failure,) = grid(world, backbone, tmp_path, "tatoeba").run().failures
    assert failure.error.startswith("ZeroDivisionError: by nothing (traceback: ")
    (kept,) = (tmp_path / "failures").iterdir()
    assert "in broken" in kept.read_text()
    assert str(kept) in failure.error


def test_a_study_of_the_grid_can_be_looked_into(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    made = grid(world, backbone, tmp_path, "xnli")
    made.run()
    (study,) = made.studies
    assert isinstance(study, Study)
    assert Store(tmp_path).has(study.addresses("xnli")[-1])


# -- what is seen while it runs ---------------------------------------------------------------------


def test_where_nobody_watches_each_unit_is_a_line(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    out = io.StringIO()
    made = grid(world, backbone, tmp_path, "tatoeba", "mnli[99] > xnli")
    made.run(watch=Filling(Console(file=out, width=200)))
    first, *_, last = [line for line in out.getvalue().splitlines() if line.startswith("[")]
    assert re.fullmatch(r"\[1/4\] evaluate tatoeba \(seed 0\): mean [\d.]+ in 1 languages, .* left", first)
    assert last.startswith("[4/4] evaluate mnli[99] > xnli (seed 0) FAILED: needs mnli[99] (seed 0)")
    out.truncate(0)
    made.run(watch=Filling(Console(file=out, width=200)))
    assert "in the store: 0 modules, 1 evaluations" in out.getvalue()


def test_on_a_terminal_a_table_fills_and_goes(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(file=out, width=120, height=40, force_terminal=True)
    grid(world, backbone, tmp_path, "tatoeba", "xnli").run(watch=Filling(console))
    seen = out.getvalue()
    assert "expression" in seen
    assert "xnli: accuracy" in seen
    assert "3 of 3 units" in seen


def test_of_many_lines_the_newest_are_seen(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    cells = grid(world, backbone, tmp_path, "tatoeba", "xnli", "xquad").run().cells
    table = scores_so_far(cells, 2)
    assert table.title == "so far: the newest 2 of 3 lines"
    assert table.column("expression") == ["xnli", "xquad"]


# -- what it would take -----------------------------------------------------------------------------


def _forecast_grid(world: Path, backbone: Backbone, store: Path, **options: object) -> Grid:
    return grid(
        world, backbone, store, "{target}", "mnli > {target}", targets=["xnli", "tatoeba"], seeds=[0, 1],
        **options,
    )  # fmt: skip


def test_a_forecast_counts_what_there_is_and_estimates_what_is_left(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    made = _forecast_grid(world, backbone, tmp_path).forecast()
    assert len(made.units) == len(made.left) == 2 * 7
    assert (made.held, made.cut, made.from_store) == (frozenset(), frozenset(), 0)
    assert all((0 < made.costs[u.key].seconds < 60) != bool(u.repeats) for u in made.units)
    assert list((tmp_path / "cache" / "speeds").iterdir()), "speeds are kept"
    _forecast_grid(world, backbone, tmp_path, methods=["lora(r=4)"]).run()
    after = _forecast_grid(world, backbone, tmp_path).forecast()
    held = {unit.expr for unit in after.units if unit.key in after.held}
    assert held == {"tatoeba"}, "the bare encoder's scores need no module"
    assert after.from_store == 0, "another method"
    for row in _forecast_grid(world, backbone, tmp_path).run().modules:
        assert made.costs[row.address].bytes == pytest.approx(row.bytes, rel=0.2)
    assert _forecast_grid(world, backbone, tmp_path).forecast().left == ()
    more = replace(_forecast_grid(world, backbone, tmp_path), seeds=[2]).forecast()
    assert more.from_store == 3


def test_every_kind_s_training_can_be_estimated(backbone: Backbone, tmp_path: Path) -> None:
    """Looks go over dev items: of mlm masked ones, of mewslix a text each where training has pairs."""
    expressions = ["xnli", "xcopa", "panx", "xquad", "mlm > xnli", "mewslix"]
    made = Grid(expressions, backbones=(backbone,), languages=("en",), max_steps=2, store=tmp_path).forecast()
    assert len({made.costs[unit.key].seconds for unit in made.units if unit.module}) == 7
    assert all(cost.seconds > 0 for cost in made.costs.values())


def test_a_budget_cuts_evaluations_from_the_end_and_what_only_they_need(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    made = _forecast_grid(world, backbone, tmp_path)
    whole = made.forecast()
    first_seed = sum(whole.costs[unit.key].seconds for unit in whole.units if unit.seed == 0)
    cut = made.forecast(budget=first_seed + 1e-6)
    assert {unit.seed for unit in cut.left} == {0}
    assert len(cut.left) == 7
    out = io.StringIO()
    results = made.run(budget=first_seed + 1e-6, watch=Bars(Console(file=out, width=200)))
    assert {cell.expr for cell in results.cells if cell.seed == 0} == set(made.studies[0].expressions)
    assert {cell.seed for cell in results.cells} == {0}
    assert results.failures == ()
    assert "4 evaluations do not fit the budget and are left out" in out.getvalue()


@pytest.mark.parametrize("budget", ["0.00001s", 1e-5])
def test_a_budget_that_fits_nothing_is_refused(
    world: Path, backbone: Backbone, tmp_path: Path, budget: str | float
) -> None:
    with pytest.raises(UserError, match="fits nothing"):
        _forecast_grid(world, backbone, tmp_path).run(budget=budget)
    assert Store(tmp_path).modules() == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("1h30m", 5400), ("90", 90), ("1.5 h", 5400), (30.0, 30)]
)
def test_a_budget_is_a_time(text: str | float, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "two hours", "2h and more", "0", "-1", -5.0, "1e400", float("nan")])
def test_what_is_no_time_is_refused(text: str | float) -> None:
    with pytest.raises(UserError, match="is no budget"):
        seconds_of(text)
