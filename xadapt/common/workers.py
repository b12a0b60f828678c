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
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

STALLED = 600  # seconds after which a process ends that is not done with its part, or gets no other
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
        parts: read as they are needed, one more than there are workers.
        workers: processes; with fewer than 2 the work is done here.
    """
    if workers < 2:
        yield from map(work, parts)
        return
    waiting = iter(parts)
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, fork, initializer=_begin, initargs=(work,)) as team:
        busy = deque((part, _given(team, part)) for part in islice(waiting, workers + 1))
        while busy:
            part, future = busy.popleft()
            result = _result(future)
            # The next is given before the result is used: nobody stands idle.
            busy.extend((following, _given(team, following)) for following in islice(waiting, 1))
            yield work(part) if result is None else result


def _given(team: ProcessPoolExecutor, part: object) -> Future[Any] | None:
    """The part in the hands of the team; None where a process of it has died."""
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads: see the module's first lines.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return team.submit(_do, part)
        except BrokenProcessPool:
            return None


def _result(future: Future[Any] | None) -> Any:
    """What came of a part; None where nothing did."""
    try:
        return None if future is None else future.result()
    except Exception:
        return None  # doing it here meets the same error, where it can be told


# -- in a forked process ----------------------------------------------------------------------------

_work: list[Callable[[Any], Any]] = []  # what this process was forked for; empty in the parent


def _begin(work: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends a process wherever it hangs
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _work.append(work)
    signal.alarm(STALLED)


def _do(part: object) -> Any:
    signal.alarm(STALLED)  # runs on between two parts: a parent that was killed tells nobody
    return _work[-1](part)
