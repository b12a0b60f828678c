"""Many processes on one store, sudden ends, and any order of operations."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from store_common import determinants, put, weights

from xadapt.common import files as disk
from xadapt.common.errors import UserError
from xadapt.common.tensors import save_checkpoint
from xadapt.store.store import Saved, Store, address_of

FORK = multiprocessing.get_context("fork")  # torch is loaded once


# -- many processes, and sudden ends ------------------------------------------------------------


def _write_many(root: Path, value: int) -> None:
    for n in range(50):
        put(Store(root), n, value)


def test_two_processes_that_write_the_same_modules_leave_one_of_each(store: Store) -> None:
    both = [FORK.Process(target=_write_many, args=(store.root, value)) for value in (1, 2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    checks = store.verify()
    assert len(checks) == 50
    assert [check.problem for check in checks if check.problem] == []
    assert store.leftovers() == []
    for n in range(50):
        assert store.load(address_of(determinants(n))).weights["a"].unique().numel() == 1


def _write_until_killed(root: Path, start: int) -> None:
    for n in range(start, start + 10_000):
        put(Store(root), n)


def test_a_process_killed_while_writing_leaves_no_broken_module(store: Store) -> None:
    draw = random.Random(0)
    for trial in range(12):
        process = FORK.Process(target=_write_until_killed, args=(store.root, trial * 10_000))
        process.start()
        while not store.has(address_of(determinants(trial * 10_000))):
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert [check for check in store.verify() if check.problem] == []
    assert len(store.modules()) >= 12


def _write_with_room_for(root: Path, size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        put(Store(root), 1)
    except UserError as error:
        os._exit(3 if "free some space" in str(error) else 4)
    os._exit(5)


@pytest.mark.parametrize("size", [0, 100, 200, 700])
def test_a_disk_that_fills_up_while_writing_is_said_and_leaves_nothing(store: Store, size: int) -> None:
    process = FORK.Process(target=_write_with_room_for, args=(store.root, size))
    process.start()
    process.join()
    assert process.exitcode == 3
    assert store.leftovers() == store.modules() == store.verify() == []


def test_what_a_killed_process_left_is_swept_when_it_is_old(store: Store, module: Saved) -> None:
    left = disk.temporary(module.path.parent, "x")
    put(store, 2)
    assert [path for path, _ in store.leftovers()] == [left]  # someone may be writing it
    os.utime(left, (0, 0))
    put(store, 3)
    assert store.leftovers() == []


def _train_once(root: Path, name: str) -> None:
    store, address = Store(root), address_of(determinants(1))
    waited = root / f"{name}.waited"
    with store.lock(address, on_wait=waited.touch):
        if not store.has(address):
            (root / f"{name}.trained").touch()
            while not list(root.glob("*.waited")):
                time.sleep(0.01)
            put(store, 1)


def test_of_two_runs_that_need_a_module_one_trains_and_the_other_waits(store: Store) -> None:
    store.root.mkdir(parents=True)
    both = [FORK.Process(target=_train_once, args=(store.root, name)) for name in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert len(list(store.root.glob("*.trained"))) == len(list(store.root.glob("*.waited"))) == 1
    assert store.has(address_of(determinants(1)))


def _hold(root: Path) -> None:
    with Store(root).lock("0" * 20):
        (root / "held").touch()
        time.sleep(60)


def test_a_process_that_dies_lets_go(store: Store) -> None:
    process = FORK.Process(target=_hold, args=(store.root,))
    process.start()
    while not (store.root / "held").exists():
        time.sleep(0.01)
    process.kill()
    with store.lock("0" * 20):
        process.join()


# -- any order of operations --------------------------------------------------------------------

WHAT = st.sampled_from(["write", "load", "remove", "break", "cell", "work", "done"])
OPERATIONS = st.lists(st.tuples(WHAT, st.integers(0, 3)), max_size=20)


@given(OPERATIONS)
def test_after_any_operations_the_store_holds_what_it_was_given(operations: list[tuple[str, int]]) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        store = Store(root)
        there: dict[int, bool] = {}  # module -> sound
        for what, n in operations:
            address = address_of(determinants(n))
            if what == "write" and there.get(n, True):
                put(store, n)
                there[n] = True
            elif what == "remove":
                assert store.remove(address) == (there.pop(n, None) is not None)
            elif what == "break" and n in there:
                with (store.path(address) / "head.safetensors").open("ab") as file:
                    file.write(b"x")
                there[n] = False
            elif what == "load" and there.get(n):
                assert torch.equal(store.load(address).weights["a"], weights(n)["a"])
            elif what == "load":
                with pytest.raises(UserError):
                    store.load(address)
            elif what == "cell":
                store.write_scores(address, {"n": n})
                assert store.read_scores(address) == {"n": n}
            elif what == "work":
                save_checkpoint(store.work(address) / "c", weights(n), {"n": n})
            elif what == "done":
                store.done(address)
            assert store.has(address) == (n in there)
        expected = {address_of(determinants(n)): sound for n, sound in there.items()}
        assert {check.address: check.problem is None for check in store.verify()} == expected
        assert {info.address for info in store.modules()} == set(expected)
    finally:
        shutil.rmtree(root)
