"""Two processes work on one store in random order, and are killed again and again."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import traceback
from pathlib import Path

import torch
from store_common import determinants, put, weights

from xadapt.common.errors import UserError
from xadapt.store.maintenance import copy, gc, remove
from xadapt.store.store import Store, address_of

FORK = multiprocessing.get_context("fork")  # torch is loaded once

OPERATIONS = 100  # of each of the two
KILLS = 6
KEPT = range(4)  # a study refers to them: once written they must stay
LOOSE = range(4, 8)  # may be removed by anyone at any time


def _work(root: Path, name: str) -> None:
    """Go on where the log ends; a line is written when an operation is over."""
    log = root / f"{name}.log"
    done = len(log.read_text().splitlines()) if log.exists() else 0
    store, other = Store(root / "store"), Store(root / "other")
    try:
        for i in range(done, OPERATIONS):
            draw = random.Random(f"{name}/{i}")
            what = draw.choice(["write", "write", "write", "load", "load", "rm", "gc", "cp"])
            n = draw.choice([*KEPT, *LOOSE] if what != "rm" else LOOSE)
            promised = (root / f"written-{n}").exists()
            try:
                _do(store, other, what, n)
            except UserError as error:
                # Only this may go wrong: the module was not written yet, or is removed meanwhile.
                missing = any(word in str(error) for word in ("no module", "No such file"))
                if not missing or (n in KEPT and promised):
                    raise
            if what == "write" and n in KEPT:
                (root / f"written-{n}").touch()
            with log.open("a") as file:
                file.write(f"{what} {n}\n")
    except BaseException:
        (root / f"{name}.failed").write_text(f"{i} {what} {n}\n{traceback.format_exc()}")
        os._exit(1)
    os._exit(0)


def _do(store: Store, other: Store, what: str, n: int) -> None:
    address = address_of(determinants(n))
    if what == "write":
        put(store, n)
    elif what == "load":
        assert torch.equal(store.load(address).weights["a"], weights(n)["a"])
    elif what == "rm":
        remove(store, address)
    elif what == "gc":
        gc(store)
    elif what == "cp":
        copy(store, address, other)


def test_two_processes_200_operations_and_several_kills_lose_and_break_nothing(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "store"), Store(tmp_path / "other")
    store.records.keep("run", ["kept"], [address_of(determinants(n)) for n in KEPT])
    draw = random.Random(0)
    running = {name: FORK.Process(target=_work, args=(tmp_path, name)) for name in "ab"}
    for process in running.values():
        process.start()
    kills = 0
    while running:
        time.sleep(draw.uniform(0.005, 0.05))
        for name, process in list(running.items()):
            if process.exitcode is None and kills < KILLS and draw.random() < 0.6:
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                process.join()
            if process.exitcode is None:
                continue
            assert not list(tmp_path.glob("*.failed")), next(tmp_path.glob("*.failed")).read_text()
            del running[name]
            if process.exitcode != 0:  # killed, not done
                running[name] = FORK.Process(target=_work, args=(tmp_path, name))
                running[name].start()
    assert kills >= 3  # a fast machine is done before all are
    done = [line.split()[0] for name in "ab" for line in (tmp_path / f"{name}.log").read_text().splitlines()]
    assert len(done) == 2 * OPERATIONS
    assert set(done) == {"write", "load", "rm", "gc", "cp"}

    for each in (store, other):
        assert [check for check in each.verify() if check.problem] == []  # none corrupt
        found = [info.expression for info in each.modules()]
        assert len(found) == len(set(found))  # none twice
    for n in KEPT:  # none lost
        assert torch.equal(store.load(address_of(determinants(n))).weights["a"], weights(n)["a"])
    gc(store)
    assert {info.address for info in store.modules()} == {address_of(determinants(n)) for n in KEPT}
    for path, _ in store.leftovers():
        os.utime(path, (0, 0))
    gc(store)
    assert store.leftovers() == []
