"""Who does the units of a grid: this process, or several.

An engine has so many places and takes a unit for each free one; what it gives back is a future, so an engine
on other machines needs no more than these two. The order, and what a failure means for the rest, is
``carry_out``'s, the same for all.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

import torch

from xadapt.common.errors import UserError
from xadapt.common.progress import Unwatched
from xadapt.grid.work import Outcome, Unit, Worker

if TYPE_CHECKING:
    from xadapt.grid.grid import Grid

KILLED = (
    "the process that did it was killed, twice over; mostly that is the system, when the memory is full: "
    "fewer workers, or a smaller --batch-size, need less"
)


class Engine(Protocol):
    """Does units. Within its ``with`` block it has what it needs; behind it nothing of it is left."""

    places: int
    """how many units it does at once"""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def submit(self, unit: Unit) -> Future[Outcome]:
        """Begin a unit; never called while all places are taken. The future's exception is a
        ``BrokenExecutor`` where whoever had the unit is gone: it is then given once more."""
        ...


def carry_out(units: Sequence[Unit], engine: Engine) -> Iterator[Outcome]:
    """Have units done, and give what comes of each as it comes.

    Of those whose needs are there the first is begun first. What needs a unit that failed fails too; what
    none of ``units`` makes is taken to be there.
    """
    waiting = {unit.key: unit for unit in units}
    unmade = set(waiting)
    running: dict[Future[Outcome], Unit] = {}
    failed: dict[str, Unit] = {}
    again: set[str] = set()
    while waiting or running:
        for unit in list(waiting.values()):
            if lost := next((failed[key] for key in unit.after if key in failed), None):
                failed[unit.key] = waiting.pop(unit.key)
                yield unit.failed(f"needs {lost.expr} (seed {lost.seed}), which failed")
            elif len(running) < engine.places and unmade.isdisjoint(unit.after):
                running[engine.submit(waiting.pop(unit.key))] = unit
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            unit = running.pop(future)
            try:
                outcome = future.result()
            except BrokenExecutor:
                if unit.key not in again:
                    again.add(unit.key)
                    waiting = {unit.key: unit} | waiting
                    continue
                outcome = unit.failed(KILLED)
            if outcome.failure:
                failed[unit.key] = unit
            else:
                unmade.discard(unit.key)
            yield outcome


class Here:
    """This process."""

    places = 1

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._worker.verify()

    def submit(self, unit: Unit) -> Future[Outcome]:
        """The unit is done when this returns; an interrupt passes through."""
        future: Future[Outcome] = Future()
        future.set_result(self._worker.do(unit))
        return future


class Processes:
    """Several processes of this machine, each with its share of the cores and, in turn, one of the GPUs.

    They are spawned: a script that uses them needs its ``if __name__ == "__main__":``. Each opens what it
    needs once and keeps it. One that dies takes only its unit with it, and is replaced.

    Args:
        grid: names of backbones and data, or what can be opened again or sent.

    Raises:
        UserError: it holds a backbone, or data, that no other process can have.
    """

    def __init__(self, grid: Grid, workers: int) -> None:
        self.places = workers
        sent = grid.sent()
        # Measured: two processes that take all cores each are ten times slower than two that share them.
        threads = grid.threads or max(1, torch.get_num_threads() // workers)
        gpus = _gpus() if sent.device in ("auto", "cuda") else []
        sent = replace(sent, threads=threads)
        self._workers = [_Process(sent, gpus[n % len(gpus)] if gpus else None) for n in range(workers)]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        try:
            for worker in self._workers:
                worker.begun.result()
        except BrokenExecutor as error:
            self.__exit__(error)
            raise UserError(
                "the processes that are to share the work cannot be started",
                expected='a script that begins its work below  if __name__ == "__main__":',
                do="put it there, or take one worker",
            ) from error
        except BaseException as error:
            self.__exit__(error)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                proofs = [worker.prove() for worker in self._workers if worker.lives]
                for proof in proofs:
                    proof.result()
            else:
                for worker in self._workers:
                    worker.kill()
        finally:
            for worker in self._workers:
                worker.end()

    def submit(self, unit: Unit) -> Future[Outcome]:
        """Hand the unit to a free process."""
        return next(worker for worker in self._workers if worker.free).submit(unit)


def _gpus() -> list[str]:
    """The names by which processes are shown one GPU each; none where there is none to be seen."""
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    count = torch.cuda.device_count()
    return seen[:count] or [str(number) for number in range(count)]


class _Process:
    """One process, and the unit that it has in hand: a pool of one, so that nobody dies with it."""

    def __init__(self, grid: Grid, gpu: str | None) -> None:
        self._grid, self._gpu = grid, gpu
        self._current: Future[Outcome] | None = None

    @property
    def free(self) -> bool:
        return self._current is None or self._current.done()

    @property
    def lives(self) -> bool:
        """False where it died with what it had in hand."""
        if self._current is None or not self._current.done():
            return True
        return not isinstance(self._current.exception(), BrokenExecutor)

    def start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(self._grid, self._gpu))
        self.begun = self._pool.submit(os.getpid)

    def submit(self, unit: Unit) -> Future[Outcome]:
        if not self.lives:
            self._pool.shutdown()
            self.start()
        self._current = self._pool.submit(_do, unit)
        return self._current

    def prove(self) -> Future[None]:
        """Begin to prove the backbones that it worked with unchanged."""
        return self._pool.submit(_verify)

    def kill(self) -> None:
        """What it has written is whole, and its locks go with it: it may be killed at any moment."""
        if not self.lives:
            return  # the number may be another process's by now
        with suppress(BrokenExecutor, ProcessLookupError):
            os.kill(self.begun.result(), signal.SIGKILL)

    def end(self) -> None:
        """Wait until it is gone."""
        self._pool.shutdown(cancel_futures=True)


# -- in a spawned process ---------------------------------------------------------------------------


class _Noted(Unwatched):
    """Keeps what is noted, for the process that shows it."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


_hands: list[tuple[Worker, _Noted]] = []  # what this process was spawned for; empty elsewhere


def _begin(grid: Grid, gpu: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us ends us
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before CUDA looks: the others' memory is not ours
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if grid.threads is not None:
        torch.set_num_threads(grid.threads)
    noted = _Noted()
    _hands.append((Worker(grid, noted), noted))


def _end_with_parent() -> None:
    """A parent that was killed tells nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(unit: Unit) -> Outcome:
    worker, noted = _hands[-1]
    outcome = replace(worker.do(unit), notes=tuple(noted.texts))
    noted.texts.clear()
    return outcome


def _verify() -> None:
    _hands[-1][0].verify()
