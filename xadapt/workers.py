"""The same work on many parts, in order, in a few processes.

Processes are forked: what the work needs is there without being sent or loaded again, and a
script needs no ``__main__`` guard. A fork has only the thread that made it, so the work must not
call what keeps a pool of threads (torch, BLAS); a tokenizer's own is switched off in it. What a
process can't do, for whatever reason, is done here instead, so errors are raised where they can be
seen and a process that dies costs time and nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, TypeVar

STALLED = 600.0  # seconds without an answer after which a process is given up
LOOK = 2.0  # seconds between two looks whether the parent is still there
A = TypeVar("A")
B = TypeVar("B")

MANY_CORES = 8  # with fewer, one process and the threads of its tokenizer keep them busy


def processes(at_most: int = 8) -> int:
    """How many processes are of use here; 1 where they can't be forked safely, or would gain nothing.

    The tokenizer has threads of its own, and nine tenths of the work are in it: on two cores a million
    pairs took 79 s in one process and 89 s in two. It is the rest, in Python, that more processes share.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    return min(at_most, cores // 2) if cores >= MANY_CORES else 1


def in_order(work: Callable[[A], B], parts: Iterable[A], workers: int) -> Iterator[B]:
    """``work(part)`` for every part, in their order.

    Args:
        work: gives something that can be pickled, and never None.
        parts: read as they are needed, one ahead of each worker.
        workers: processes; with fewer than 2 the work is done here.
    """
    if workers < 2:
        yield from map(work, parts)
        return
    waiting = iter(parts)
    team = [_Worker(work) for _ in range(workers)]
    try:
        busy: deque[tuple[_Worker, A]] = deque()
        for worker, part in zip(team, islice(waiting, workers), strict=False):
            worker.begin(part)
            busy.append((worker, part))
        following = next(waiting, None)
        while busy:
            worker, part = busy.popleft()
            result = worker.result()
            if following is not None:  # before the result is used: nobody stands idle
                worker.begin(following)
                busy.append((worker, following))
            yield work(part) if result is None else result
            if following is not None:
                following = next(waiting, None)
    finally:
        for worker in team:
            worker.end()


class _Worker:
    """A forked process that does one part at a time."""

    def __init__(self, work: Callable[[A], B]) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(work, far, self._pipe, os.getpid()), daemon=True)
        with warnings.catch_warnings():
            # Python 3.12 warns of forks beside threads: see the module's first lines.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        far.close()
        self._well = True

    def begin(self, part: object) -> None:
        try:
            if self._well:
                self._pipe.send(part)
        except OSError:
            self._well = False

    def result(self) -> Any:
        """What came of the part; None where nothing did."""
        try:
            if self._well and self._pipe.poll(STALLED):
                return self._pipe.recv()
        except (EOFError, OSError):
            pass
        self._well = False
        return None

    def end(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()


def _serve(work: Callable[[A], B], pipe: Connection, near: Connection, parent: int) -> None:
    """Do what comes, until nothing comes or nobody is there to take it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    near.close()
    with suppress(EOFError, OSError):
        while True:
            # The other workers hold copies of the parent's end: its death does not close the pipe.
            while not pipe.poll(LOOK):
                if os.getppid() != parent:
                    return
            part = pipe.recv()
            try:
                done: B | None = work(part)
            except Exception:
                done = None  # the parent will meet the same, where it can be told
            pipe.send(done)
