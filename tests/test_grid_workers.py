"""A grid in several processes, and a grid that is killed: the same scores to the bit, and nothing twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_grid import grid

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.data.folder import Folder
from xadapt.grid.grid import Grid
from xadapt.store.store import Store
from xadapt.study import run as study_run
from xadapt.study.results import Results
from xadapt.tasks.examples import Example

FORK = multiprocessing.get_context("fork")  # torch is loaded once


class Deadly(Folder):
    """A folder that kills the process that reads some of its tasks, unless that is the one that planned:
    for udpos once, for xquad always."""

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        died = self.root.parent / f"{task} died"
        deadly = task == "squad_v1" or (task == "udpos" and not died.exists())
        if deadly and multiprocessing.parent_process() is not None:
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load(task, language, split)


def weights(results: Results, store: Path) -> dict[str, Any]:
    """Module -> the digests of its files."""
    return {m.address: Store(store).manifest(m.address)["files"] for m in results.modules}


def alike(results: Results) -> list[Any]:
    """All that two runs of one grid must have in common."""
    return [results.cells, [(m.expr, m.seed, m.address, m.parameters) for m in results.modules]]


def test_two_processes_give_what_one_gives_to_the_bit(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    made = grid(
        world, backbone, tmp_path / "1", "{target}", "mnli > {target}", "fuse(mnli, xquad) > {target}",
        targets=["xnli", "udpos"], seeds=[0, 1], threads=1,
    )  # fmt: skip
    one, two = made.run(workers=1), replace(made, store=tmp_path / "2").run(workers=2)
    assert alike(one) == alike(two)
    without_config = [
        {
            address: {n: f for n, f in files.items() if n.endswith("safetensors")}
            for address, files in w.items()
        }
        for w in (weights(one, tmp_path / "1"), weights(two, tmp_path / "2"))
    ]
    assert without_config[0] == without_config[1]
    assert two.failures == ()
    # What is there needs no process.
    began = time.monotonic()
    assert replace(made, store=tmp_path / "2").run(workers=64).cells == one.cells
    assert time.monotonic() - began < 5


def test_a_process_that_dies_is_replaced_and_its_unit_tried_once_more(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    (tmp_path / "xtreme").symlink_to(world / "xtreme")
    source = Deadly(tmp_path / "xtreme")
    results = grid(world, backbone, tmp_path / "store", "udpos", "xquad", data=source).run(workers=2)
    assert (tmp_path / "udpos died").exists()
    assert {cell.expr for cell in results.cells} == {"udpos"}
    killed, lost = results.failures
    assert killed.what == "train xquad (seed 0)"
    assert "was killed, twice over" in killed.error
    assert lost.error == "needs xquad (seed 0), which failed"
    assert [check.problem for check in Store(tmp_path / "store").verify()] == [None]


def test_what_no_other_process_can_have_is_refused(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    nameless = Backbone("mine", backbone.model, backbone.tokenizer)
    with pytest.raises(UserError, match="'mine' is in this process only"):
        grid(world, nameless, tmp_path, "tatoeba").run(workers=2)
    with pytest.raises(UserError, match="0 workers"):
        grid(world, backbone, tmp_path, "tatoeba").run(workers=0)


# -- sudden ends ------------------------------------------------------------------------------------


def _many_cells(world: Path, backbone: Backbone, store: Path) -> Grid:
    return grid(
        world, backbone, store, "{target}", "mnli > {target}", "mnli[9] > {target}", "squad_v1 > {target}",
        targets=["xnli", "udpos", "xquad"], seeds=[0, 1],
    )  # fmt: skip


def test_a_grid_that_is_killed_ten_times_ends_as_one_that_is_not(
    world: Path, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = _many_cells(world, backbone, tmp_path / "undisturbed")
    whole = undisturbed.run()
    assert len(whole.cells) >= 60
    killed, log, train = tmp_path / "killed", tmp_path / "log", study_run.train_module

    def train_and_log(run: Any, module: Any) -> None:
        train(run, module)
        with log.open("a") as file:
            file.write(f"{module.address}\n")

    monkeypatch.setattr(study_run, "train_module", train_and_log)
    draw = random.Random(0)
    for _ in range(10):
        process = FORK.Process(target=_many_cells(world, backbone, killed).run)
        process.start()
        # By what it has made, not by the clock: planning takes longest, and depends on the machine.
        enough, until = _lines(log) + draw.randrange(3), time.monotonic() + 60
        while _lines(log) < enough:
            assert time.monotonic() < until
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.3))
        assert process.is_alive(), "killed when it was over: this proves nothing"
        process.kill()
        process.join()
    before = _lines(log)
    assert 0 < before < len(whole.modules)
    results = _many_cells(world, backbone, killed).run()
    assert alike(results) == alike(whole)
    trained = log.read_text().splitlines()
    assert len(trained) == len(set(trained)), "none twice"
    # A kill can fall between a module's last file and its line of the log: it is in the store then.
    unlogged = {m.address for m in results.modules} - set(trained)
    assert len(unlogged) <= 10
    assert not any(m.trained for m in results.modules if m.address in unlogged)
    assert sum(not m.trained for m in results.modules) == before + len(unlogged)


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


STUDY = """\
expressions = ["{target}", "mnli > {target}", "mnli[9] > {target}", "squad_v1 > {target}"]
targets = ["xnli", "udpos", "xquad"]
seeds = [0, 1]
backbones = ["./backbone"]
data = "./xtreme"
max_steps = 2
batch_size = 8
threads = 1
"""


@pytest.mark.slow
def test_a_command_with_two_workers_is_killed_ten_times_and_goes_on(world: Path, tmp_path: Path) -> None:
    """The whole group of processes at once, as by a machine that goes down."""
    for name in ("backbone", "xtreme"):
        (tmp_path / name).symlink_to(world / name)
    (tmp_path / "study.toml").write_text(STUDY)

    def start(store: str, workers: int) -> subprocess.Popen[bytes]:
        words = [
            "study",
            "study.toml",
            "--store",
            store,
            "--workers",
            str(workers),
            "--json",
            f"{store}.json",
        ]
        command = [sys.executable, "-m", "xadapt", *words]
        return subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL)

    draw, made = random.Random(0), dict[str, str]()
    for _ in range(10):
        process = start("killed", 2)
        before = _made(tmp_path / "killed")
        while _made(tmp_path / "killed") == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.5))
        assert process.poll() is None, "killed when it was over: this proves nothing"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        made |= {m.address: m.created for m in Store(tmp_path / "killed").modules()}
    assert start("killed", 2).wait() == start("whole", 1).wait() == 0
    killed, whole = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("killed", "whole"))
    assert killed["cells"] == whole["cells"]
    assert len(whole["cells"]) >= 60
    after = {m.address: m.created for m in Store(tmp_path / "killed").modules()}
    assert after.items() >= made.items(), "what was there has stayed"
    assert sum(not m["trained"] for m in killed["modules"]) == len(made)


def _made(store: Path) -> int:
    return len(list(store.glob("modules/*/manifest.json"))) + len(list(store.glob("cells/**/*.json")))


def _trained_by(made: Grid, out: Any) -> None:
    out.put([m.address for m in made.run().modules if m.trained])


def test_two_that_run_at_once_train_each_module_once(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    out = FORK.Queue()
    made = grid(world, backbone, tmp_path, "xnli", "mnli > xnli", "mnli > udpos", seeds=[0, 1])
    both = [FORK.Process(target=_trained_by, args=(made, out)) for _ in range(2)]
    for process in both:
        process.start()
    trained = [address for _ in both for address in out.get(timeout=120)]
    for process in both:
        process.join()
    assert len(trained) == len(set(trained)) == len(Store(tmp_path).modules())
