"""Every form of the grammar, planned, trained, stored, loaded again and evaluated."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from test_study import plan, scores

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.packing import pack
from xadapt.common.errors import UserError
from xadapt.common.randomness import seeded
from xadapt.data.sources import open_source
from xadapt.interop.module import Module
from xadapt.kinds import kind_of
from xadapt.mount import Mounted
from xadapt.stacks.methods import parse_method
from xadapt.store.maintenance import stands_on
from xadapt.store.store import Store
from xadapt.study import backbone as api
from xadapt.study import training
from xadapt.study.module_loader import mount_stack
from xadapt.study.plan import Overrides, make_plan
from xadapt.study.run import run
from xadapt.study.state import Run
from xadapt.tasks import task_named
from xadapt.tasks.examples import Chosen, Classified, Example
from xadapt.train.loop import ModuleTraining
from xadapt.train.optimisation import TaskInputs

FEW = Overrides(max_steps=3, batch_size=8)

# Expression, method, and the modules that it trains.
FORMS = [
    ("joint(mnli, udpos) > xnli", "lora", ["joint(mnli, udpos)", "joint(mnli, udpos) > xnli"]),
    ("joint(mnli, squad_v1, cap=4, temperature=2.0) > xquad", "bottleneck", None),
    ("fuse(mnli, udpos) > xnli", "lora", ["mnli", "udpos", "fuse(mnli, udpos) > xnli"]),
    ("fuse(mnli, udpos) > xnli", "bottleneck", ["mnli", "udpos", "fuse(mnli, udpos) > xnli"]),
    ("mean(mnli, 0.5*udpos) > xnli", "lora", ["mnli", "udpos", "mean(mnli, 0.5*udpos) > xnli"]),
    ("mean(mnli, udpos) > xnli", "bottleneck", None),
    ("cat(mnli@lora(r=2), -0.5*udpos) > xnli", "lora", None),
    ("dare_ties(mnli, udpos) > xnli", "lora", None),
    ("drop(mnli, 0-1) > xnli", "lora", ["mnli", "drop(mnli, 0-1) > xnli"]),
    ("mean(mnli, udpos) > tatoeba", "lora", ["mnli", "udpos"]),
    ("mnli@lora(r=2) > xnli@bottleneck", "lora", None),
    ("mnli@full > xnli", "lora", None),
    ("mean(joint(mnli, udpos), squad_v1) > xnli", "lora", None),
    ("mean((mnli > udpos), squad_v1) > xnli", "lora", ["mnli", "mnli > udpos", "squad_v1", None]),
    ("fuse((mnli > udpos), squad_v1) > udpos > xnli", "lora", None),
    ("mnli > ties(udpos, squad_v1) > xnli", "lora", None),
    ("mnli[10] > xnli[9]", "lora", None),
]


@pytest.mark.parametrize(("expression", "method", "trains"), FORMS, ids=lambda v: str(v)[:40])
def test_a_form_runs_and_runs_again_from_its_store(
    world: Path,
    backbone: Backbone,
    tmp_path: Path,
    expression: str,
    method: str,
    trains: list[str | None] | None,
) -> None:
    made = plan(world, backbone, expression, method=method, overrides=FEW)
    first = run(made, Store(tmp_path))
    if trains is not None:
        expected = [expression if name is None else name for name in trains]
        assert [m.expr for m in first.modules] == expected
    assert all(m.trained for m in first.modules)
    assert first.cells
    # Everything comes back from disk: no module is trained again, and the scores are made again.
    for cell in (tmp_path / "cells").rglob("*.json"):
        cell.unlink()
    again = run(made, Store(tmp_path))
    assert not any(m.trained for m in again.modules)
    assert scores(again) == scores(first)
    store = Store(tmp_path)
    assert all(check.problem is None for check in store.verify())
    for info in store.modules():  # what a module stands on can be found from its own manifest
        assert all(store.has(address) for address in stands_on(store.load(info.address).manifest))
    # Outside any store, a folder of the target's module says all that there is to mount.
    (evaluation,) = made.evaluations
    top = evaluation.module or made.modules[-1].address
    folder = Module.from_store(store, top).save_pretrained(tmp_path / "alone")
    whole = made.modules[-1].stack
    with api.Backbone.mount(backbone, Module.from_pretrained(folder), fold=True) as alone:
        inside = mount_stack(Run(made, store), whole, evaluation.seed)
        batch = pack([[0, 17, 33, 2]])
        with torch.no_grad():
            assert torch.equal(alone.encode(batch), inside.encode(batch))
    backbone.verify()


def test_modules_are_shared_between_forms(world: Path, backbone: Backbone) -> None:
    ways = ("mnli", "mean(mnli, udpos)", "ties(mnli, udpos)", "fuse(mnli, udpos)")
    made = plan(world, backbone, *(f"{way} > xnli" for way in ways), overrides=FEW)
    assert len(made.modules) == len({step.address for step in made.modules}) == 2 + 4


def test_the_seed_of_a_study_draws_what_dare_drops(
    world: Path,
    backbone: Backbone,
) -> None:
    made = plan(world, backbone, "dare_ties(mnli, udpos) > tatoeba", overrides=FEW, seeds=(0, 1))
    one, two = made.evaluations
    assert one.mounted["options"]["seed"] == 0
    assert two.mounted["options"]["seed"] == 1


def test_a_joint_records_its_mixture(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    made = plan(world, backbone, "joint(mnli, udpos, cap=8) > xnli", overrides=Overrides(batch_size=4))
    run(made, Store(tmp_path), baselines=False)
    joint = Store(tmp_path).load(made.modules[0].address)
    steps = joint.manifest["training"]["steps_by_task"]
    assert steps.keys() == {"mnli", "udpos"}
    assert sum(steps.values()) == made.modules[0].settings.steps(16)
    assert joint.manifest["determinants"]["mixing"] == {"cap": 8, "temperature": 1.0}
    assert {name.split("/")[0] for name in joint.head} == {"mnli", "udpos"}


def test_translated_training_data_in_the_pocket_world(tmp_path: Path) -> None:
    made = make_plan(
        ["mnli[64, de+sw] > tatoeba"],
        backbone=Backbone.from_pretrained("pocket"),
        source=open_source("pocket"),
        method=parse_method("lora"),
        languages=["de"],
        overrides=FEW,
    )
    found = run(made, Store(tmp_path), baselines=False)
    assert [m.expr for m in found.modules] == ["mnli[64, de+sw]"]
    manifest = Store(tmp_path).load(found.modules[0].address).manifest
    assert manifest["data"]["languages"] == ["de", "sw"]
    assert manifest["data"]["examples"] == 64


class Small:
    """A source of two dozen examples of whatever is asked for."""

    name, generated = "small", False

    def languages(self, task: str, split: str) -> tuple[str, ...]:
        return ("en",)

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        row, words = task_named(task), ("apple", "park", "woman")
        if row.kind == "choose":
            return [Chosen(str(i), f"the {words[i % 3]}", "where ?", words, i % 3) for i in range(24)]
        return [Classified(str(i), "the man", words[i % 3], row.labels[i % 3]) for i in range(24)]

    def revision(self, task: str, language: str, split: str) -> str:
        return task

    def held_out(self, task: str, language: str) -> bool:
        return False

    def test_split(self, task: str) -> str:
        return "dev"


@pytest.mark.parametrize(
    ("expression", "continued"),
    [
        ("siqa > xcopa", ("siqa", "")),
        ("drop(siqa, 0-1) > xcopa", ("siqa", "")),
        ("mnli > siqa > xcopa", ("mnli > siqa", "")),
        ("joint(siqa, mnli) > xcopa", ("joint(siqa, mnli)", "siqa/")),
        ("joint(siqa, hellaswag) > xcopa", None),
        ("mean(siqa, hellaswag) > xcopa", None),
        ("fuse(siqa, hellaswag) > xcopa", None),
        ("siqa > mnli > xcopa", None),
        ("mnli > xcopa", None),
        ("mnli > xnli", None),
    ],
)
def test_a_scorer_starts_as_that_of_the_module_directly_below(
    backbone: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expression: str,
    continued: tuple[str, str] | None,
) -> None:
    """No other head does: labels may agree in name and mean other things, as MNLI's and XNLI's genres do."""
    started: dict[str, Mapping[str, torch.Tensor]] = {}

    def noted(mounted: Mounted, tasks: Sequence[TaskInputs], *args: Any, **options: Any) -> ModuleTraining:
        started[tasks[-1].name] = copy.deepcopy(tasks[-1].head.state_dict())
        return ModuleTraining(mounted, tasks, *args, **options)

    monkeypatch.setattr(training, "ModuleTraining", noted)
    made = make_plan(
        [expression],
        backbone=backbone,
        source=Small(),
        method=parse_method("lora"),
        overrides=Overrides(max_steps=6, batch_size=8, lr=1e-2),
    )
    store = Store(tmp_path)
    results = run(made, store, baselines=False)
    target = made.evaluations[0].task
    with seeded("head", 0, target.kind, *target.labels):
        expected = fresh = kind_of(target).head(backbone.config).state_dict()
    if continued is not None:
        expr, prefix = continued
        (below,) = (m.address for m in results.modules if m.expr == expr)
        expected = {name: store.load(below).head[f"{prefix}{name}"] for name in fresh}
        assert not any(torch.equal(weight, fresh[name]) for name, weight in expected.items())
    assert all(torch.equal(weight, expected[name]) for name, weight in started[target.name].items())


@pytest.mark.parametrize(
    ("expression", "method", "says"),
    [
        ("mnli[de] > xnli", "lora", "no training data for mnli in de"),
        ("drop(fuse(mnli, udpos), 0-1) > xnli", "lora", "would train a fusion without"),
        ("drop(xnli, 0-9)", "lora", "on a backbone of 4 layers"),
        ("mean((mnli > udpos), squad_v1) > xnli", "bottleneck", "a stack of bottleneck modules"),
        ("drop(mnli, 0-3) > xnli", "lora", "leaves nothing of it"),
        ("mean(drop(mnli@lora(layers=top1), 3), udpos) > xnli", "lora", "leaves nothing of it"),
    ],
)
def test_what_cannot_be_trained_is_said(
    world: Path,
    backbone: Backbone,
    tmp_path: Path,
    expression: str,
    method: str,
    says: str,
) -> None:
    with pytest.raises(UserError, match=says):
        run(plan(world, backbone, expression, method=method, overrides=FEW), Store(tmp_path))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mnli > cat(udpos, squad_v1) > xnli", "cat((mnli > udpos), (mnli > squad_v1)) > xnli"),
        ("mnli > fuse(udpos, squad_v1) > xnli", "fuse((mnli > udpos), (mnli > squad_v1)) > xnli"),
        ("mnli > cat(udpos, squad_v1) > tatoeba", "cat((mnli > udpos), (mnli > squad_v1)) > tatoeba"),
    ],
)
def test_what_stands_below_a_combination_is_told_from_what_stands_within(
    world: Path,
    backbone: Backbone,
    tmp_path: Path,
    one: str,
    other: str,
) -> None:
    """The operands are the same modules; what is mounted is not: within, mnli is added twice."""
    made = plan(world, backbone, one, other, overrides=FEW)
    first, second = made.evaluations
    assert first.mounted != second.mounted
    run(made, Store(tmp_path))
    loaded = Run(made, Store(tmp_path))
    batch = pack([[0, 17, 33, 2]])
    with torch.no_grad():
        a, b = (mount_stack(loaded, e.stack, e.seed).encode(batch) for e in (first, second))
    assert not torch.equal(a, b)
