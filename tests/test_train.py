"""Training: it learns, it stops, it is a function of its seed, and being killed does not change it."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_backbone
from torch import Tensor

from xadapt.common.errors import UserError
from xadapt.common.randomness import generator, seeded
from xadapt.kinds import kind_of
from xadapt.mount import Element, Fused, Part, mount
from xadapt.mount.lora_fusion import NAME
from xadapt.stacks.methods import Bottleneck, Full, LoRA, Method
from xadapt.tasks import task_named
from xadapt.tasks.examples import Classified
from xadapt.train.loop import ModuleTraining, TaskInputs, Tick, Trained, trained
from xadapt.train.parallel import Alone
from xadapt.train.settings import Settings

TASK = task_named("xnli")
LEARNS = Settings(lr=1e-2, epochs=12, batch_size=16, looks=12)
SETTINGS = Settings(lr=3e-3, epochs=4, batch_size=8, looks=4, max_length=32)


def examples(count: int) -> list[Classified]:
    """The label is said by the second text's first word."""
    draw = generator("train test")
    words = {"entailment": "apple", "neutral": "park", "contradiction": "woman"}
    rows = []
    for i in range(count):
        label = TASK.labels[int(draw.integers(3))]
        rest = " ".join(draw.choice(["the", "old", "man", "eats", "red"], 4))
        rows.append(Classified(str(i), rest, f"{words[label]} {rest}", label))
    return rows


def run(
    method: Method = LoRA(r=4),  # noqa: B008
    *,
    seed: int = 0,
    settings: Settings = SETTINGS,
    checkpoint: Path | None = None,
    rows: int = 96,
    dropout: float = 0.1,
    die_at: int | None = None,
    batch_tokens: int = 16_384,
    below: Sequence[Element] = (),
    head_of: Trained | None = None,
    team: Alone | None = None,
    tick: Tick | None = None,
) -> Trained:
    """``below``: what the module stands on. ``head_of``: whose head it starts with."""
    backbone = tiny_backbone(hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    kind = kind_of(TASK)
    train_rows = examples(rows)
    items = kind.encode(train_rows, backbone.tokenizer, 32, training=True)
    mounted = mount(backbone, [*below, Part("a", method, None)], seed=(seed,))
    with seeded("head", seed):
        head = kind.head(backbone.config)
    if head_of is not None:
        head.load_state_dict(head_of.head)

    def die(step: int, total: int, facts: dict[str, float]) -> None:
        if step == die_at:
            raise KeyboardInterrupt

    return trained(
        ModuleTraining(
            mounted,
            [TaskInputs(TASK.name, kind, head, items, (train_rows[:48], items[:48]), "accuracy")],
            settings,
            seed=seed,
            checkpoint=checkpoint,
            checkpoint_seconds=0.0,
            batch_tokens=batch_tokens,
            tick=tick or die,
            team=team,
        )
    )


def same(a: Trained, b: Trained) -> bool:
    def equal(x: dict[str, Tensor], y: dict[str, Tensor]) -> bool:
        return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)

    return equal(a.weights, b.weights) and equal(a.head, b.head)


@pytest.mark.parametrize("method", [LoRA(r=4), Bottleneck(), Full()], ids=str)
def test_every_method_learns(method: Method) -> None:
    result = run(method, dropout=0.0, rows=192, settings=LEARNS)
    assert result.progress.best > 90


def test_a_run_is_a_function_of_its_seed() -> None:
    first = run(seed=1)
    torch.rand(7)  # what ran before does not matter
    assert same(first, run(seed=1))
    assert not same(first, run(seed=2))


@pytest.mark.parametrize("method", [LoRA(r=4), Full()], ids=str)
@pytest.mark.parametrize("at", [1, 13, 25, 47])
def test_a_run_that_is_cut_off_goes_on_to_the_same_bits(tmp_path: Path, method: Method, at: int) -> None:
    whole = run(method)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(method, checkpoint=path, die_at=at)
    rest = run(method, checkpoint=path)
    assert rest.resumed_at >= at - 1
    assert same(whole, rest)
    assert [h["step"] for h in whole.progress.history] == [h["step"] for h in rest.progress.history]


def among_noise(right: Trained) -> Fused:
    """A mixture, still to be trained, of a module and two others: the same values in another order."""

    def shuffled(seed: int) -> dict[str, Tensor]:
        draw = torch.Generator().manual_seed(seed)
        return {
            k: w.flatten()[torch.randperm(w.numel(), generator=draw)].view_as(w)
            for k, w in right.weights.items()
        }

    weights = (shuffled(1), right.weights, shuffled(2))
    operands = tuple(Part(f"operand {i}", LoRA(r=4), w) for i, w in enumerate(weights))
    return Fused("fuse", operands, None)


def test_a_mixture_finds_the_module_that_is_right_among_noise() -> None:
    """At a LoRA's own rate of 3e-4, at which its coefficients would stay within 0.02 of 1/3."""
    right = run(dropout=0.0, rows=192, settings=LEARNS)
    few = Settings(lr=3e-4, epochs=12, batch_size=16, looks=1)
    mixed = run(dropout=0.0, rows=192, settings=few, below=[among_noise(right)], head_of=right)
    coefficients = mixed.weights[NAME]
    noise, found, other = coefficients.mean(dim=0).tolist()
    assert found > 0.5
    assert max(noise, other) < 0.3
    assert bool((coefficients.argmax(dim=1) == 1).all()), "in every layer"


def test_a_mixture_that_is_cut_off_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    below = [among_noise(run(settings=LEARNS))]
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(below=below, checkpoint=path, die_at=13)
    rest = run(below=below, checkpoint=path)
    assert rest.resumed_at >= 12
    assert same(run(below=below), rest)


def test_micro_batches_give_the_gradient_of_the_whole_batch() -> None:
    one = run(dropout=0.0, settings=Settings(lr=1e-3, epochs=1, batch_size=16, looks=1))
    many = run(dropout=0.0, settings=Settings(lr=1e-3, epochs=1, batch_size=16, looks=1), batch_tokens=30)
    for name, weight in one.weights.items():
        torch.testing.assert_close(weight, many.weights[name], atol=2e-4, rtol=0)


def test_it_stops_when_dev_gets_no_better_and_keeps_the_best() -> None:
    settings = Settings(lr=1e-9, epochs=40, batch_size=8, looks=40, patience=3)
    result = run(settings=settings)
    assert result.progress.step < settings.steps(96)
    assert result.progress.stale == 3
    assert result.progress.best == max(h["accuracy"] for h in result.progress.history)


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(UserError, match="nothing to train on"):
        run(rows=0)


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(UserError, match="lower the learning rate"):
        run(Full(), settings=Settings(lr=1e30, epochs=4, batch_size=8, clip=1e30))


def trained_into(folder: Path, began: Event) -> None:
    torch.set_num_threads(1)
    settings = Settings(lr=3e-3, epochs=6, batch_size=8, looks=6, max_length=32)
    began.set()
    result = run(checkpoint=folder / "checkpoint.safetensors", rows=150, settings=settings)
    save_file({**result.weights, **{"head." + k: t for k, t in result.head.items()}}, folder / "part")
    (folder / "part").rename(folder / "module.safetensors")


def test_sigkill_at_any_moment_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process trains and writes a checkpoint after every step; it is killed again and again."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])  # imported once, not in each process

    def start(folder: Path) -> tuple[ForkServerProcess, Event]:
        folder.mkdir(exist_ok=True)
        began = processes.Event()
        process = processes.Process(target=trained_into, args=(folder, began))
        process.start()
        return process, began

    def whole(folder: Path) -> bytes:
        if not (folder / "module.safetensors").exists():
            process, _ = start(folder)
            process.join(timeout=120)
            assert process.exitcode == 0
        return (folder / "module.safetensors").read_bytes()

    draw = random.Random(0)
    killed = 0
    for _ in range(4):
        process, began = start(tmp_path / "killed")
        assert began.wait(timeout=120)
        time.sleep(draw.uniform(0.3, 1.5))
        killed += process.is_alive()
        process.kill()
        process.join()
    assert killed >= 1
    assert whole(tmp_path / "killed") == whole(tmp_path / "undisturbed")
