"""Modules trained in one pass are those that are trained one by one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from test_train import TASK, examples
from tiny import save_tiny, tiny_backbone
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.packing import joined, pack
from xadapt.common.errors import UserError
from xadapt.common.randomness import Streams, seeded
from xadapt.kinds import kind_of
from xadapt.mount import Part, mount
from xadapt.mount.together import Share, Together
from xadapt.report.progress import Bars
from xadapt.stacks.methods import LoRA
from xadapt.store.store import Store
from xadapt.study.study import Study
from xadapt.train.loop import ModuleTraining, Trained, trained
from xadapt.train.optimisation import TaskInputs
from xadapt.train.settings import Settings
from xadapt.train.together import train_together

SETTINGS = Settings(lr=3e-3, epochs=1, batch_size=8, looks=3, max_length=32)


@dataclass(frozen=True)
class Module:
    """One of those that are trained: its method, seed, rows of data and settings."""

    method: LoRA = LoRA(r=4)  # noqa: RUF009
    seed: int = 0
    rows: int = 96
    settings: Settings = SETTINGS
    batch_tokens: int = 16_384


def training(backbone: Backbone, module: Module, below: Sequence[Part] = (), **more: Any) -> ModuleTraining:
    kind = kind_of(TASK)
    rows = examples(module.rows)
    items = kind.encode(rows, backbone.tokenizer, 32, training=True)
    mounted = mount(backbone, [*below, Part("a", module.method, None)], seed=(module.seed,), fold=True)
    with seeded("head", module.seed):
        head = kind.head(backbone.config)
    task = TaskInputs(TASK.name, kind, head, items, (rows[:48], items[:48]), "accuracy")
    options: dict[str, Any] = {"seed": module.seed, "batch_tokens": module.batch_tokens} | more
    return ModuleTraining(mounted, [task], module.settings, **options)


def with_dropout(**changes: object) -> Backbone:
    return tiny_backbone(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, **changes)


def in_one_pass(trainings: Sequence[ModuleTraining]) -> tuple[list[Trained], list[int]]:
    """What each has become, and the order in which they were done."""
    order: list[int] = []
    assert not train_together(trainings, order.append)
    return [each.finished() for each in trainings], order


def check_alike(one: Trained, other: Trained) -> None:
    for mine, yours in ((one.weights, other.weights), (one.head, other.head)):
        assert mine.keys() == yours.keys()
        for name, weight in mine.items():
            torch.testing.assert_close(weight, yours[name], atol=1e-5, rtol=1e-5)
    assert one.progress.step == other.progress.step
    assert one.progress.best_step == other.progress.best_step
    assert [h.keys() for h in one.progress.history] == [h.keys() for h in other.progress.history]
    for a, b in zip(one.progress.history, other.progress.history, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


KINDS_OF_DIFFERENCE = {
    "seeds": [Module(seed=0), Module(seed=1), Module(seed=2)],
    "ranks": [Module(LoRA(r=2)), Module(LoRA(r=8)), Module(LoRA(r=8, alpha=4))],
    "rates": [Module(settings=Settings(lr=lr, epochs=1, batch_size=8, looks=3)) for lr in (1e-3, 1e-2)],
    "layers": [Module(LoRA(r=4, layers="top2")), Module(LoRA(r=4)), Module(LoRA(r=4, layers="top1"))],
    "dropout of their own": [Module(LoRA(r=4, dropout=0.2)), Module(seed=1), Module(LoRA(r=2, dropout=0.1))],
    "data": [Module(rows=96), Module(rows=40, seed=1)],
    "micro-batches": [Module(batch_tokens=40), Module(seed=1), Module(seed=2, batch_tokens=90)],
}


@pytest.mark.parametrize("modules", KINDS_OF_DIFFERENCE.values(), ids=KINDS_OF_DIFFERENCE)
def test_each_is_what_it_is_alone(modules: list[Module]) -> None:
    alone = [trained(training(with_dropout(), module)) for module in modules]
    backbone = with_dropout()
    beside, _ = in_one_pass([training(backbone, module) for module in modules])
    for one, other in zip(alone, beside, strict=True):
        check_alike(one, other)
    assert not torch.equal(next(iter(beside[0].head.values())), next(iter(beside[1].head.values())))
    backbone.verify()


def test_a_pass_holds_no_more_tokens_for_more_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = [Module(seed=seed) for seed in range(3)]
    alone = [trained(training(with_dropout(), module)) for module in modules]
    sizes: list[list[int]] = []
    encode = Together.encode

    def noted(self: Together, shares: Sequence[Share], streams: Streams) -> list[Tensor]:
        sizes.append([len(share.packed.input_ids) for share in shares])
        return encode(self, shares, streams)

    monkeypatch.setattr(Together, "encode", noted)
    backbone = with_dropout()
    in_one_pass([training(backbone, module) for module in modules])
    most = max(map(max, sizes)) * 2
    assert max(map(sum, sizes)) > most

    sizes.clear()
    monkeypatch.setattr("xadapt.train.together.BATCH_TOKENS", most)
    backbone = with_dropout()
    beside, _ = in_one_pass([training(backbone, module) for module in modules])
    assert max(map(sum, sizes)) <= most
    assert {len(pass_) for pass_ in sizes} >= {1, 2}
    for one, other in zip(alone, beside, strict=True):
        check_alike(one, other)
    backbone.verify()


def test_so_it_is_on_a_module_below() -> None:
    backbone = with_dropout()
    below = trained(training(backbone, Module(seed=7)))
    under = [Part("below", LoRA(r=4), below.weights)]
    modules = [Module(seed=0), Module(LoRA(r=8), seed=1)]
    alone = [trained(training(backbone, module, under)) for module in modules]
    beside, _ = in_one_pass([training(backbone, module, under) for module in modules])
    for one, other in zip(alone, beside, strict=True):
        check_alike(one, other)


def test_the_frozen_weights_of_all_are_the_same_tensors() -> None:
    backbone = with_dropout()
    weights = trained(training(backbone, Module(seed=7))).weights
    stacks = [
        mount(backbone, [Part("b", LoRA(r=4), weights), Part("a", LoRA(r=4), None)], seed=(i,), fold=True)
        for i in range(2)
    ]
    Together(stacks)
    frozen = [[p.data_ptr() for p in s.model.parameters() if not p.requires_grad] for s in stacks]
    assert frozen[0] == frozen[1]


def test_stacks_that_differ_below_are_refused() -> None:
    backbone = with_dropout()
    weights = trained(training(backbone, Module(seed=7))).weights
    stacks = [
        mount(backbone, [*below, Part("a", LoRA(r=4), None)], seed=(0,), fold=True)
        for below in ([], [Part("b", LoRA(r=4), weights)])
    ]
    with pytest.raises(ValueError, match="the stacks differ in encoder"):
        Together(stacks)


def test_one_that_stops_early_leaves_and_the_others_go_on() -> None:
    still = Settings(lr=1e-9, epochs=2, batch_size=8, looks=12, patience=2)
    modules = [Module(), Module(seed=1, settings=still), Module(seed=2)]
    alone = [trained(training(with_dropout(), module)) for module in modules]
    backbone = with_dropout()
    beside, order = in_one_pass([training(backbone, module) for module in modules])
    assert order[0] == 1
    assert beside[1].progress.step < still.steps(96)
    assert beside[1].progress.stale == 2
    for one, other in zip(alone, beside, strict=True):
        check_alike(one, other)


def test_one_that_was_cut_off_goes_on_beside_others(tmp_path: Path) -> None:
    def stop(step: int, total: int, facts: dict[str, float]) -> None:
        if step == 5:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint.safetensors"
    keeping = {"checkpoint": path, "checkpoint_seconds": 0.0}
    backbone = with_dropout()
    with pytest.raises(KeyboardInterrupt):
        trained(training(backbone, Module(), **keeping, tick=stop))
    both = [training(backbone, Module(), **keeping), training(backbone, Module(seed=1))]
    beside, _ = in_one_pass(both)
    assert beside[0].resumed_at == 4
    for module, other in zip((Module(), Module(seed=1)), beside, strict=True):
        check_alike(trained(training(with_dropout(), module)), other)


def test_one_whose_loss_is_not_finite_fails_alone() -> None:
    wild = Settings(lr=1e30, epochs=1, batch_size=8, looks=3, clip=1e30)
    backbone = with_dropout()
    both = [training(backbone, Module(settings=wild)), training(backbone, Module(seed=1))]
    done: list[int] = []
    failed = train_together(both, done.append)
    assert list(failed) == [0]
    assert "lower the learning rate" in str(failed[0])
    assert done == [1]
    check_alike(trained(training(with_dropout(), Module(seed=1))), both[1].finished())


def test_batches_one_behind_the_other_are_told_apart() -> None:
    one, two = pack([[5, 6, 7], [8]]), pack([[9, 10]])
    both = joined([one, two])
    assert both.input_ids.tolist() == [8, 5, 6, 7, 9, 10]
    assert both.positions.tolist() == [0, 0, 1, 2, 0, 1]
    assert both.starts.tolist() == [1, 0, 4]
    assert both.owner.tolist() == [1, 0, 0, 0, 2, 2]
    assert both.bounds.tolist() == [0, 1, 4, 6]
    assert both.groups == ((0, 1, 1), (1, 1, 3), (4, 1, 2))
    assert joined([one]) is one


def test_streams_that_take_turns_draw_what_each_draws_alone() -> None:
    def alone(*key: object) -> Tensor:
        with seeded(*key):
            return torch.rand(6)

    with seeded():
        streams = Streams([("a",), ("b",)], torch.device("cpu"))
        drawn: list[list[Tensor]] = [[], []]
        for _ in range(3):
            for i in range(2):
                with streams.of(i):
                    drawn[i].append(torch.rand(2))
    for i, key in enumerate("ab"):
        assert torch.equal(torch.cat(drawn[i]), alone(key))


# -- studies --------------------------------------------------------------------------------------


def study(world: Path, folder: Path, store: Path, *expressions: str, **more: Any) -> Study:
    options: dict[str, Any] = {"max_steps": 12, "batch_size": 8, "seeds": (0, 1, 2)} | more
    if not folder.exists():
        save_tiny(folder, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    return Study(
        expressions, str(folder), world / "xtreme", store=store, device="cpu", dtype="float32", **options
    )


def plain(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest without what differs between two runs of one training: time, and bytes to rounding."""
    kept = {k: v for k, v in manifest.items() if k not in ("files", "created", "dev", "sha256")}
    kept["training"] = {k: v for k, v in manifest["training"].items() if k != "seconds"}
    return kept


def test_a_study_gives_the_same_modules_and_cells(world: Path, tmp_path: Path) -> None:
    expressions = ("xnli", "xnli@lora(r=16)", "mnli > xnli", "xnli@bottleneck")
    made = [study(world, tmp_path / "tiny", tmp_path / str(n), *expressions, together=n) for n in (None, 3)]
    one, other = (each.run() for each in made)
    assert [m.address for m in one.modules] == [m.address for m in other.modules]
    assert [m.expr for m in one.modules] == [m.expr for m in other.modules]
    assert all(m.trained for m in other.modules)
    assert [(c.expr, c.seed, c.lang, c.metric) for c in one.cells] == [
        (c.expr, c.seed, c.lang, c.metric) for c in other.cells
    ]
    assert [c.score for c in one.cells] == pytest.approx([c.score for c in other.cells], rel=1e-5)
    stores = [Store(tmp_path / str(n)) for n in (None, 3)]
    for module in one.modules:
        mine, yours = (store.load(module.address) for store in stores)
        for name, weight in (mine.weights | mine.head).items():
            torch.testing.assert_close(weight, (yours.weights | yours.head)[name], atol=1e-5, rtol=1e-5)
        assert plain(mine.manifest) == plain(yours.manifest)
        for look, same in zip(mine.manifest["dev"]["history"], yours.manifest["dev"]["history"], strict=True):
            assert look == pytest.approx(same, rel=1e-5)
    assert not any(
        m.trained for m in study(world, tmp_path / "tiny", tmp_path / "3", *expressions).run().modules
    )
    assert not list((tmp_path / "3" / "work").iterdir())


def test_which_modules_share_a_pass(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xadapt.study import together

    passes: list[list[str]] = []
    whole = together._train

    def seen(run: Any, modules: Any) -> None:
        passes.append([f"{m.shown} {m.seed}" for m in modules])
        whole(run, modules)

    monkeypatch.setattr(together, "_train", seen)
    more: dict[str, Any] = {"max_steps": 2, "together": 2, "seeds": (0, 1)}
    expressions = ("xnli", "mnli > xnli", "mnli@full > xnli", "fuse(mnli, xnli) > xnli", "xnli@bottleneck")
    study(world, tmp_path / "tiny", tmp_path / "store", *expressions, **more).run(baselines=False)
    assert passes == [["xnli 0", "xnli 1"], ["mnli 0", "mnli 1"]]


def test_a_module_that_fails_is_named_and_the_others_are_kept(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xadapt.train.optimisation import Optimisation

    whole = Optimisation.end

    def end(self: Optimisation, step: int, loss: float) -> float:
        return whole(self, step, float("nan") if (self.seed, step) == (1, 3) else loss)

    monkeypatch.setattr(Optimisation, "end", end)
    made = study(world, tmp_path / "tiny", tmp_path / "store", "xnli", together=3)
    with pytest.raises(UserError, match=r"xnli \(seed 1\): the loss is nan at step 3"):
        made.run()
    assert [made.has(module.address) for module in made.plan.modules] == [True, False, True]


def test_on_a_terminal_each_has_a_bar() -> None:
    shown = io.StringIO()
    bars = Bars(Console(file=shown, force_terminal=True, width=100))
    with bars.stage("one", 3) as first, bars.stage("two", 2) as second:
        first(1)
        second(2, loss=0.5)
    with bars.stage("three", 1) as third:
        third()
    assert "one" in shown.getvalue()
    assert "two" in shown.getvalue()
    assert "three" in shown.getvalue()


def test_the_number_is_one_that_means_something() -> None:
    with pytest.raises(UserError, match="--together 0"):
        Study("xnli", together=0)
