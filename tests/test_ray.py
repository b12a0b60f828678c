"""A grid on a cluster of two machines, which are processes of this one."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xadapt.common.errors import UserError
from xadapt.grid.grid import Grid
from xadapt.grid.ray_engine import OnRay
from xadapt.study.results import Results

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'xadapt[cluster]'")

SEEDS = (0, 1, 2, 3, 4)


def grid(world: Path, store: Path, **more: Any) -> Grid:
    settings = {"seeds": SEEDS, "max_steps": 3, "batch_size": 8, "threads": 1, "device": "cpu"} | more
    expressions = ["xnli", "mnli > xnli", "udpos", "mnli > tatoeba", "mnli > udpos"]
    return Grid(
        expressions, backbones=[str(world / "backbone")], data=str(world / "xtreme"), store=store, **settings
    )


def weights(store: Path) -> dict[str, str]:
    """Address -> hash of the weights, of every module."""
    files = sorted(store.rglob("*.safetensors"))
    return {f.parent.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files if "work" not in f.parts}


def scores(results: Results) -> dict[tuple[str, int, str, str, str], float]:
    return {(c.expr, c.seed, c.task, c.lang, c.metric): c.score for c in results.cells}


@pytest.fixture(scope="module")
def here(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, dict[str, str]]:
    """The same grid in this process."""
    store = tmp_path_factory.mktemp("here")
    results = grid(world, store).run()
    assert len(results.modules) == 5 * len(SEEDS)
    return results, weights(store)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two machines of one CPU each beside a head that does no units."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("carried", [False, True], ids=["one store", "modules travel"])
def test_two_machines_give_the_bits_of_one_process(
    cluster: Any, here: tuple[Results, dict[str, str]], world: Path, tmp_path: Path, carried: bool
) -> None:
    asked = grid(world, tmp_path)
    results = asked.run(engine=OnRay(asked, address=cluster.address, carried=carried))
    assert results.failures == ()
    assert len(results.modules) == 25
    assert scores(results) == scores(here[0])
    assert weights(tmp_path) == here[1]
    again = grid(world, tmp_path).run()
    assert not any(m.trained for m in again.modules)


@pytest.mark.slow
@pytest.mark.parametrize("carried", [False, True], ids=["one store", "modules travel"])
def test_a_machine_that_is_lost_midway_loses_nothing(
    cluster: Any, here: tuple[Results, dict[str, str]], world: Path, tmp_path: Path, carried: bool
) -> None:
    asked = grid(world, tmp_path)
    lost = sorted(cluster.worker_nodes, key=lambda node: node.node_id)[0]

    def lose() -> None:
        while len(weights(tmp_path)) < 4:
            time.sleep(0.2)
        cluster.remove_node(lost, allow_graceful=False)

    thread = threading.Thread(target=lose, daemon=True)
    thread.start()
    results = asked.run(engine=OnRay(asked, address=cluster.address, carried=carried))
    thread.join(10)
    assert results.failures == ()
    assert scores(results) == scores(here[0])
    assert weights(tmp_path) == here[1]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "127.0.0.1", "127.0.0.1:x"])
def test_a_cluster_that_does_not_answer_is_one_message_within_20_seconds(
    world: Path, tmp_path: Path, address: str
) -> None:
    asked = grid(world, tmp_path)
    began = time.monotonic()
    with pytest.raises(UserError, match="no Ray cluster answers at"):
        asked.run(engine=OnRay(asked, address=address))
    assert time.monotonic() - began < 25
    assert not weights(tmp_path)


@pytest.mark.slow
def test_the_command_line_runs_a_study_on_ray(world: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        f'expressions = ["xnli", "mnli > xnli"]\nbackbones = ["{world / "backbone"}"]\n'
        f'data = "{world / "xtreme"}"\nmax_steps = 2\nthreads = 1\n'
    )
    words = ["study", "s.toml", "--engine", "ray", "--json", "out.json", "--store", "store"]
    done = subprocess.run(
        [sys.executable, "-m", "xadapt", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "out.json").read_text())["cells"]) == 6


def test_ray_that_is_not_installed_is_named(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"xadapt\[cluster\]"):
        OnRay(grid(world, tmp_path))
