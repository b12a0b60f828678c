"""Work in several processes: the same results in the same order, whatever becomes of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xadapt.common import workers
from xadapt.common.errors import UserError
from xadapt.common.workers import in_order, processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.mark.parametrize("several", [1, 2])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 25])
def test_results_come_in_order(several: int, n: int) -> None:
    factor = 3  # a closure: nothing has to be sent
    assert list(in_order(lambda part: part * factor, range(n), several)) == [3 * i for i in range(n)]


def test_the_work_is_done_elsewhere_and_large_parts_pass() -> None:
    def work(part: str) -> tuple[int, str]:
        time.sleep(0.05)  # so that no process is done with all of them before the other begins
        return os.getpid(), part

    found = list(in_order(work, ["x" * 3_000_000] * 5, 2))
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
    def work(part: int) -> int:
        time.sleep(0.01)
        return os.getpid()

    pids: set[int] = set()
    for pid in in_order(work, range(50), 2):
        pids.add(pid)
        if len(pids) == 2:
            break  # the rest is never asked for
    time.sleep(0.1)
    assert all(not os.path.exists(f"/proc/{pid}") for pid in pids)
    assert processes(2) in (1, 2)


def test_a_process_that_hangs_costs_nothing_but_time(monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()

    def work(part: int) -> int:
        if part == 3 and os.getpid() != here:
            time.sleep(3600)
        return part + 1

    monkeypatch.setattr(workers, "STALLED", 1)
    assert list(in_order(work, range(6), 2)) == list(range(1, 7))


def test_processes_end_when_the_parent_was_killed() -> None:
    script = (
        "import os, signal, time; from xadapt.common import workers; workers.STALLED = 1\n"
        "for pid in workers.in_order(lambda part: time.sleep(0.01) or os.getpid(), range(10**6), 2):\n"
        "    print(pid, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = {int(parent.stdout.readline()) for _ in range(20)}
        parent.kill()
    until = time.monotonic() + 20
    while any(map(running, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(running, pids))


def running(pid: int) -> bool:
    """Whether there is such a process, beside one that has ended and that nobody has asked after."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
