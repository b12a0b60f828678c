"""Work in several processes: the same results in the same order, whatever becomes of a process."""

from __future__ import annotations

import os
import sys
import time

import pytest

from xadapt.errors import UserError
from xadapt.workers import in_order, processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 25])
def test_results_come_in_order(workers: int, n: int) -> None:
    factor = 3  # a closure: nothing has to be sent
    assert list(in_order(lambda part: part * factor, range(n), workers)) == [3 * i for i in range(n)]


def test_the_work_is_done_elsewhere_and_large_parts_pass() -> None:
    found = list(in_order(lambda part: (os.getpid(), part), ["x" * 3_000_000] * 5, 2))
    assert {len(part) for _, part in found} == {3_000_000}
    others = {pid for pid, _ in found}
    assert len(others) == 2
    assert os.getpid() not in others


def test_a_process_that_dies_costs_nothing_but_time() -> None:
    here = os.getpid()

    def work(part: int) -> int:
        if part == 4 and os.getpid() != here:
            os._exit(1)
        return part + 1

    assert list(in_order(work, range(12), 2)) == list(range(1, 13))


def test_an_error_is_raised_here_as_it_is() -> None:
    def work(part: int) -> int:
        if part == 3:
            raise UserError("bad row", do="look", path="file.tsv", line=4)
        return part

    with pytest.raises(UserError, match=r"file\.tsv:4: bad row") as caught:
        list(in_order(work, range(9), 2))
    assert caught.value.line == 4


def test_processes_end_with_the_work() -> None:
    pids: set[int] = set()
    for pid in in_order(lambda part: os.getpid(), range(50), 2):
        pids.add(pid)
        if len(pids) == 2:
            break  # the rest is never asked for
    time.sleep(0.1)
    assert all(not os.path.exists(f"/proc/{pid}") for pid in pids)
    assert processes(2) in (1, 2)
