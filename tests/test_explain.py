"""``xadapt explain`` with its tables, through the command line: what is printed is what the modules give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from mount_common import outputs, run
from rich.console import Console
from test_study import plan

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.packing import pack
from xadapt.cli.main import main
from xadapt.kinds import kind_of
from xadapt.mount import Element, Fused, Merged, Mounted, mount
from xadapt.mount.interpret import effect_similarity, similarity
from xadapt.mount.lora_fusion import NAME
from xadapt.mount.weights import fill
from xadapt.report.ablation_table import ablation_table
from xadapt.report.heatmap import fusion_map, similarity_map
from xadapt.store.store import Store
from xadapt.study.ablation import ablations
from xadapt.study.analysis import LOOKED_AT, dev_of, fusion_weights, similarities
from xadapt.study.inputs import load_inputs
from xadapt.study.module_loader import load_elements
from xadapt.study.plan import Overrides, Plan
from xadapt.study.state import Run
from xadapt.train.evaluate import evaluate

FUSE = "fuse(mnli, squad_v1) > udpos"
MEAN = "mean(mnli, squad_v1) > udpos"
HEAVY = "cat(30*mnli, squad_v1) > udpos"
FAINT = "cat(squad_v1, 1e-30*mnli) > udpos"
HIGH = "drop(mean(mnli@lora(layers=top2), squad_v1), 2-3) > udpos"
TWICE = "fuse(mnli, squad_v1) > udpos > fuse(mnli, squad_v1) > udpos"
POOL = "mean(mnli, squad_v1) > tatoeba"
SETTINGS = Overrides(max_steps=30, batch_size=8)
OPTIONS = ["--max-steps", "30", "--batch-size", "8"]

Explained = Callable[..., str]


@pytest.fixture(scope="module")
def common(world: Path) -> list[str]:
    """Options of a store in which the expressions are trained, and only they."""
    options = ["--backbone", str(world / "backbone"), "--data", str(world / "xtreme"), *OPTIONS]
    options += ["--store", str(world / "store")]
    asked = ["--langs", "en,de", "--no-baselines"]
    main(
        ["run", FUSE, MEAN, HEAVY, FAINT, HIGH, TWICE, POOL, "squad_v1@full > mnli > udpos", *asked, *options]
    )
    main(["run", FUSE, *asked, *options, "--method", "bottleneck"])
    return options


@pytest.fixture
def explained(common: list[str], capsys: pytest.CaptureFixture[str]) -> Explained:
    """What ``xadapt explain`` prints."""

    def explain(expression: str, *arguments: str) -> str:
        capsys.readouterr()
        main(["explain", expression, *common, *arguments])
        return capsys.readouterr().out

    return explain


@pytest.fixture
def refused(common: list[str], capsys: pytest.CaptureFixture[str]) -> Explained:
    """The one message that ``xadapt explain`` ends with."""

    def explain(expression: str, *arguments: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["explain", expression, *common, *arguments])
        assert stop.value.code == 2
        return capsys.readouterr().err

    return explain


def rows(said: str) -> dict[str, list[str]]:
    """The lines of the tables by their first cell: what is in the others."""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines()]
    return {cells[0]: cells[1:] for cells in lines if len(cells) > 1}


def numbers(cells: Sequence[str]) -> list[float]:
    return [float(cell.split()[0]) for cell in cells]


def planned(world: Path, backbone: Backbone, expression: str, method: str = "lora") -> tuple[Plan, Store]:
    made = plan(world, backbone, expression, method=method, overrides=SETTINGS)
    store = Store(world / "store")
    assert all(store.has(step.address) for step in made.modules)
    return made, store


def score(made: Plan, store: Store, elements: list[Element], lang: str = "en") -> float:
    """The target's main score on dev of a stack that was put together by hand."""
    (evaluation,) = made.evaluations
    mounted, kind = mount(made.backbone, elements), kind_of(evaluation.task)
    head = kind.head(made.backbone.config)
    fill(dict(head.named_parameters()), store.load(evaluation.module or "").head, "head")
    examples, items = load_inputs(
        Run(made, store),
        evaluation.task,
        evaluation.task,
        languages=[lang],
        split="dev",
        max_length=evaluation.max_length,
    )
    return evaluate(mounted, head, kind, examples, items)[evaluation.task.metrics[0]]


def by_hand(element: Element, operand: int) -> Element:
    """Of two operands the other one alone, as the combination has it."""
    other = 1 - operand
    if isinstance(element, Merged):
        return Merged("by hand", element.how, (element.operands[other],))
    assert isinstance(element, Fused)
    weights = dict(element.weights or {})
    if NAME in weights:
        weights[NAME] = weights[NAME][:, other : other + 1]
    return Fused("by hand", (element.operands[other],), weights)


# -- importance -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "method"), [(FUSE, "lora"), (FUSE, "bottleneck"), (MEAN, "lora"), (HEAVY, "lora")]
)
def test_importance_is_the_score_of_the_stack_that_is_put_together_without_the_operand(
    world: Path,
    backbone: Backbone,
    explained: Explained,
    monkeypatch: pytest.MonkeyPatch,
    expression: str,
    method: str,
) -> None:
    mounted: list[Mounted] = []

    def watched(*arguments: Any, **options: Any) -> Mounted:
        mounted.append(mount(*arguments, **options))
        return mounted[-1]

    monkeypatch.setattr("xadapt.study.evaluation.mount", watched)
    for cell in (world / "store" / "cells").rglob("*.json"):
        cell.unlink()
    said = explained(expression, "--importance", "--method", method, "--langs", "en")
    assert "a diagnosis on dev of udpos: udpos f1" in said

    made, store = planned(world, backbone, expression, method)
    combination, top = load_elements(Run(made, store), made.evaluations[0].stack, 0)
    whole = score(made, store, [combination, top])
    nothing, *others = rows(said).values()
    assert nothing == [f"{whole:.1f}"]
    assert len(mounted) == 3
    torch.testing.assert_close(run(mounted[0]), outputs(backbone, combination, top), atol=1e-5, rtol=0)
    for i, printed in enumerate(others):
        less = [by_hand(combination, i), top]
        one = score(made, store, less)
        assert printed == [f"{one:.1f} ({f'{one - whole:+.2f}' if one != whole else '0'})"]
        torch.testing.assert_close(run(mounted[i + 1]), outputs(backbone, *less), atol=1e-5, rtol=0)
        assert (run(mounted[i + 1]) - outputs(backbone, combination, top)).abs().max() > 1e-3


def test_an_operand_that_weighs_nothing_is_worth_exactly_nothing(explained: Explained) -> None:
    said = explained(FAINT, "--importance", "--langs", "en,de")
    found = rows(said)
    assert [cell.split(" ", 1)[1] for cell in found["1e-30*mnli"]] == ["(0)"] * 3


def test_where_nothing_is_left_there_is_no_score(explained: Explained) -> None:
    said = explained(HIGH, "--importance", "--langs", "en,de")
    found = rows(said)
    assert found["squad_v1"] == ["-"] * 3
    assert "without squad_v1: drop(" in said
    assert "leaves nothing of it" in said


def test_every_language_has_a_column_and_many_languages_go_down(
    explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    across = explained(MEAN, "--importance", "--langs", "all")
    assert "de ┃" in across
    de, en, mean = numbers(rows(across)["mnli"])
    assert mean == pytest.approx((de + en) / 2, abs=0.11)
    monkeypatch.setattr("xadapt.report.ablation_table.WIDE", 1)
    down = rows(explained(MEAN, "--importance", "--langs", "all"))
    assert list(down) == ["de", "en", "mean"]
    assert [cells[1] for cells in down.values()] == rows(across)["mnli"]


def test_english_dev_is_asked_where_no_language_is_named(explained: Explained) -> None:
    said = explained(MEAN, "--importance")
    assert len(rows(said)["nothing"]) == 1
    assert rows(said) == rows(explained(MEAN, "--importance", "--langs", "en"))


def test_a_target_that_trains_nothing_is_asked_on_all_that_it_has(explained: Explained) -> None:
    said = explained(POOL, "--importance")
    assert "a diagnosis on test of tatoeba" in said
    assert "is chosen on test" in said
    assert rows(said).keys() == {"nothing", "mnli", "squad_v1"}


def test_a_target_without_dev_is_asked_on_that_of_its_training_data(
    world: Path,
    backbone: Backbone,
) -> None:
    made = plan(world, backbone, "mnli > xquad")
    data, split, languages = dev_of(made, made.evaluations[0])
    assert (data.name, split, languages) == ("squad_v1", "dev", ("en",))


def test_each_combination_of_a_stack_has_its_own_table(explained: Explained) -> None:
    said = explained(TWICE, "--importance")
    assert said.count("importance of its operands") == 2


def test_scores_are_made_once(explained: Explained, monkeypatch: pytest.MonkeyPatch) -> None:
    said = explained(MEAN, "--importance")
    monkeypatch.setattr("xadapt.study.evaluation.evaluate_layers", None)
    assert explained(MEAN, "--importance") == said


# -- similarity -----------------------------------------------------------------------------------


def test_similarity_of_lora_modules_is_that_of_their_weights(
    world: Path,
    backbone: Backbone,
    explained: Explained,
) -> None:
    said = explained(FUSE, "--similarity")
    assert "cosine of the LoRA updates" in said
    made, store = planned(world, backbone, FUSE)
    fused, top = load_elements(Run(made, store), made.evaluations[0].stack, 0)
    assert isinstance(fused, Fused)
    cosines = similarity(backbone, [*fused.operands, top])
    found = rows(said)
    pairs = {"mnli · squad_v1": (0, 1), "mnli · udpos": (0, 2), "squad_v1 · udpos": (1, 2)}
    for name, (i, j) in pairs.items():
        expected = [*cosines[:, i, j], cosines[:, i, j].mean()]
        assert numbers(found[name]) == pytest.approx(expected, abs=0.006)


def test_similarity_of_bottlenecks_is_that_of_their_effects(
    world: Path,
    backbone: Backbone,
    explained: Explained,
) -> None:
    said = explained(FUSE, "--similarity", "--method", "bottleneck")
    assert "each module alone" in said
    assert "dev items of udpos in en" in said
    made, store = planned(world, backbone, FUSE, "bottleneck")
    fused, top = load_elements(Run(made, store), made.evaluations[0].stack, 0)
    assert isinstance(fused, Fused)
    (evaluation,) = made.evaluations
    _, items = load_inputs(
        Run(made, store),
        evaluation.task,
        evaluation.task,
        languages=["en"],
        split="dev",
        max_length=evaluation.max_length,
        sample=LOOKED_AT,
    )
    batch = pack([s for item in items for s in item.sequences])
    cosines = effect_similarity(backbone, [*fused.operands, top], batch)
    assert numbers(rows(said)["mnli · udpos"])[:-1] == pytest.approx(cosines[:, 0, 2], abs=0.006)


def test_modules_of_several_methods_are_compared_by_their_effects(explained: Explained) -> None:
    said = explained("squad_v1@full > mnli > udpos", "--similarity")
    assert "each module alone" in said
    assert rows(said).keys() == {"squad_v1@full · mnli", "squad_v1@full · udpos", "mnli · udpos"}


def test_modules_of_one_name_are_told_apart_by_their_places(explained: Explained) -> None:
    found = rows(explained(TWICE, "--similarity"))
    assert len(found) == 6 * 5 / 2
    assert "mnli · fuse(mnli, squad_v1) > udpos > mnli" in found


# -- weights --------------------------------------------------------------------------------------


def test_weights_of_two_fusions_that_are_written_alike(
    world: Path,
    backbone: Backbone,
    explained: Explained,
) -> None:
    said = explained(TWICE, "--weights")
    lower, upper = said.split("fuse(mnli, squad_v1): coefficients")[1:]
    made, store = planned(world, backbone, TWICE)
    first, _, second, _ = load_elements(Run(made, store), made.evaluations[0].stack, 0)
    for text, element in ((lower, first), (upper, second)):
        assert isinstance(element, Fused)
        weights = (element.weights or {})[NAME]
        assert numbers(rows(text)["mnli"]) == pytest.approx(weights[:, 0].tolist(), abs=0.006)
    assert rows(lower) != rows(upper)


def test_attention_of_a_fusion_of_bottlenecks_sums_to_one(explained: Explained) -> None:
    said = explained(FUSE, "--weights", "--method", "bottleneck")
    assert "attention on" in said
    found = rows(said)
    for a, b in zip(numbers(found["mnli"]), numbers(found["squad_v1"]), strict=True):
        assert a + b == pytest.approx(1, abs=0.011)


# -- what is said, and what is refused ------------------------------------------------------------


def test_every_table_says_that_it_is_of_the_pocket_world(
    world: Path,
    backbone: Backbone,
    common: list[str],
) -> None:
    made, store = planned(world, backbone, FUSE)
    asked = Run(made, store), made.evaluations[0]
    for said in (", pocket world", ""):
        console = Console(file=StringIO(), width=160)
        console.print(*(fusion_map(found, said) for found in fusion_weights(*asked)))
        console.print(similarity_map(similarities(*asked), said))
        console.print(*(ablation_table(found, said) for found in ablations(*asked)))
        assert console.file.getvalue().count("pocket world") == (3 if said else 0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", ["--weights", "--similarity", "--importance"])
def test_what_has_nothing_to_show_is_refused(refused: Explained, option: str) -> None:
    for expression in ("xnli", "tatoeba"):
        message = refused(expression, option)
        assert "expected:" in message
        assert "do:" in message
        assert "fuse(mnli, squad_v1) > xnli" in message


@pytest.mark.parametrize("option", ["--weights", "--similarity", "--importance"])
def test_what_is_not_trained_is_refused(refused: Explained, option: str) -> None:
    message = refused("fuse(mnli, udpos) > xnli", option)
    assert "not trained yet: udpos, fuse(mnli, udpos) > xnli" in message
    assert 'xadapt run "fuse(mnli, udpos) > xnli"' in message


def test_a_joint_and_a_merge_of_one_are_no_combinations(refused: Explained) -> None:
    for expression in ("joint(mnli, udpos) > xnli", "mean(mnli) > xnli"):
        assert "combines nothing that could be left out" in refused(expression, "--importance")


def test_languages_are_checked(refused: Explained) -> None:
    assert "no data in: xx" in refused(MEAN, "--importance", "--langs", "en,xx")
    assert "names nothing" in refused(MEAN, "--importance", "--langs", ",")
    assert "add --importance" in refused(MEAN, "--langs", "en")
