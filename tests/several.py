"""What ``test_parallel.py`` runs in one process and in two: small trainings, and errors of one process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from test_train import TASK, among_noise, examples
from test_train import run as run_one
from tiny import tiny_backbone

from xadapt.common.errors import UserError
from xadapt.common.launch import ElsewhereError
from xadapt.common.randomness import seeded
from xadapt.kinds import kind_of
from xadapt.mount import Fused, Part, mount
from xadapt.stacks.methods import Bottleneck, Full, LoRA
from xadapt.train.loop import ModuleTraining, TaskInputs, Trained, trained
from xadapt.train.parallel import Alone, Team, team_on
from xadapt.train.settings import Settings
from xadapt.train.task_sampling import schedule, shares

CPU = torch.device("cpu")
EVERY_STEP = Settings(lr=1e-3, epochs=1, batch_size=8, looks=100, patience=100, max_length=32)
SMALL = Settings(lr=1e-3, epochs=1, batch_size=1, max_steps=5, looks=5, patience=9, max_length=32)
STALE = Settings(lr=1e-9, epochs=4, batch_size=8, looks=100, patience=3)
PLAIN: dict[str, Any] = {"settings": EVERY_STEP, "dropout": 0.0, "rows": 64}


def mixture(team: Alone) -> Trained:
    """A module on top of a mixture of LoRAs, which is trained with it."""
    below = [among_noise(run_one(dropout=0.0, settings=SMALL, rows=16, team=team))]
    return run_one(LoRA(r=4), below=below, team=team, **PLAIN)


def attention(team: Alone) -> Trained:
    """The same with AdapterFusion, which adds a penalty to the loss."""
    trained = [
        run_one(Bottleneck(), seed=seed, dropout=0.0, settings=SMALL, rows=16, team=team) for seed in (1, 2)
    ]
    parts = tuple(Part(f"operand {i}", Bottleneck(), one.weights) for i, one in enumerate(trained))
    return run_one(Bottleneck(), below=[Fused("fuse", parts, None)], team=team, **PLAIN)


def joint(team: Alone) -> Trained:
    """Two tasks, so that in each step one of two heads has no gradient."""
    backbone = tiny_backbone()
    kind = kind_of(TASK)
    mounted = mount(backbone, [Part("a", LoRA(r=4), None)], seed=(0,))
    tasks = []
    for name, rows in {"one": examples(64), "other": examples(32)}.items():
        items = kind.encode(rows, backbone.tokenizer, 32, training=True)
        with seeded("head", name):
            head = kind.head(backbone.config)
        tasks.append(TaskInputs(name, kind, head, items, (rows[:16], items[:16]), "accuracy"))
    order = schedule(10, shares([64, 32], 64, 1.0), 0)
    return trained(ModuleTraining(mounted, tasks, EVERY_STEP, seed=0, order=order, team=team))


TRAININGS: dict[str, Callable[[Alone], Trained]] = {
    "lora": lambda team: run_one(LoRA(r=4), team=team, **PLAIN),
    "bottleneck": lambda team: run_one(Bottleneck(), team=team, **PLAIN),
    "full": lambda team: run_one(Full(), team=team, **PLAIN),
    "many micro-batches": lambda team: run_one(LoRA(r=4), team=team, batch_tokens=30, **PLAIN),
    "an item a step": lambda team: run_one(LoRA(r=4), team=team, settings=SMALL, dropout=0.0, rows=16),
    "stops early": lambda team: run_one(LoRA(r=4), team=team, settings=STALE, dropout=0.0),
    "mixture": mixture,
    "attention": attention,
    "joint": joint,
}


def outcome(result: Trained) -> dict[str, Any]:
    """What is compared; plain values and tensors."""
    p = result.progress
    return {
        "weights": {**result.weights, **{f"head {k}": t for k, t in result.head.items()}},
        "history": p.history,
        "stopped": (p.step, p.best, p.best_step, p.stale),
    }


def refused(work: Callable[[], object]) -> str:
    """The error's class and its message's last line."""
    try:
        work()
    except (UserError, ElsewhereError, ValueError) as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
    return "no error"


def errors(team: Team) -> dict[str, str]:
    """An error of one process, or of all, as this process meets it; after each they go on together."""

    def only(rank: int, error: Exception) -> Callable[[], None]:
        def work() -> None:
            if team.rank == rank:
                raise error

        return work

    def fail(step: int, total: int, facts: dict[str, float]) -> None:
        raise UserError("the tracker is full")

    large = Settings(lr=1e30, epochs=4, batch_size=8, clip=1e30)
    return {
        "not finite": refused(lambda: run_one(Full(), settings=large, team=team)),
        "tick": refused(lambda: run_one(settings=SMALL, team=team, tick=fail)),
        "first": refused(lambda: team.together(only(0, UserError("no data")))),
        "second": refused(lambda: team.together(only(1, UserError("no data")))),
        "defect of the first": refused(team.led(only(0, ValueError("a defect")))),
        "defect of the second": refused(lambda: team.together(only(1, ValueError("a defect")))),
        "none": refused(lambda: team.together(only(2, ValueError("a defect")))),
    }


def led(team: Team) -> dict[str, Any]:
    """One process leads: the others do what it calls for, and all have what came of it."""
    followed: list[str] = []

    def work() -> str:
        team.call("one")
        refused(lambda: team.together(lambda: fail("one")))
        team.call("two")
        team.together(lambda: None)
        return "all done"

    def fail(order: str) -> None:
        if order == "one":
            raise UserError("the first order cannot be done")

    def follow(order: str) -> None:
        followed.append(order)
        team.together(lambda: fail(order))

    def refuse() -> None:
        raise UserError("nothing can be led")

    value = team.lead(work, follow)
    return {"value": value, "followed": followed, "error": refused(lambda: team.lead(refuse, follow))}


def begin(out: Path, rank: int, count: int, port: int) -> None:
    """Do all of it in process ``rank`` of ``count``, and leave what was found in ``out``."""
    if count > 1:
        AcceleratorState._reset_state(
            reset_partial_state=True
        )  # of the process that this one was forked from
        torch.set_num_threads(1)
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "WORLD_SIZE": count}
        where |= {"LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count}
        os.environ.update({name: str(value) for name, value in where.items()})
    out.mkdir(exist_ok=True)
    team = team_on(CPU)
    found: dict[str, Any] = {name: outcome(training(team)) for name, training in TRAININGS.items()}
    if isinstance(team, Team):

        def stop(step: int, total: int, facts: dict[str, float]) -> None:
            if step == 5:
                raise UserError("stopped")

        path = out / "checkpoint.safetensors"
        refused(lambda: run_one(LoRA(r=4), team=team, checkpoint=path, tick=stop, **PLAIN))
        rest = run_one(LoRA(r=4), team=team, checkpoint=path, **PLAIN)
        found["resumed"] = outcome(rest) | {"at": rest.resumed_at}
        found["dropout"] = outcome(run_one(LoRA(r=4), team=team, settings=EVERY_STEP, dropout=0.3, rows=24))
        found |= {"draws": team.draws, "errors": errors(team), "led": led(team)}
        torch.distributed.destroy_process_group()
    torch.save(found, out / f"{rank}.pt")
