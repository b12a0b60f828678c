"""Many machines: the units of a grid as tasks of a Ray cluster (docs.ray.io). Only this file knows Ray.

A unit is a task of Ray's, with CPUs and GPUs as its resources, so Ray places it, and runs it again where a
machine was lost with it: only what was lost is made again. The store lies where all machines see it, or stays
with the driver: modules then travel as bytes through Ray's object store (``carried``).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import secrets
import socket
import tarfile
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from xadapt.common.errors import UserError
from xadapt.common.files import explained
from xadapt.common.identity import digest
from xadapt.grid.work import Outcome, Unit, Worker
from xadapt.store.store import Store

if TYPE_CHECKING:
    from xadapt.grid.grid import Grid

ANSWER = 20.0  # seconds in which a cluster must answer
TRIES = 3  # of a task whose machine was lost, by Ray; carry_out gives it once more


@dataclass(frozen=True)
class _Made:
    """What comes back from another machine: the outcome, and where the store is not shared what it wrote."""

    outcome: Outcome
    module: bytes | None = None
    scores: Mapping[str, Mapping[str, Any]] | None = None


class OnRay:
    """The machines of a Ray cluster.

    Args:
        grid: names of backbones and data that every machine can open.
        address: of the cluster, ``host:port`` or ``auto``; None starts one on this machine.
        cpus, gpus: of one unit; gpus None is one where the cluster has some, none where it has not.
        carried: whether modules and scores travel through Ray, for stores that not all machines see.

    Raises:
        UserError: Ray is not installed, or the grid holds what no other process can have.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        address: str | None = None,
        cpus: int = 1,
        gpus: float | None = None,
        carried: bool = False,
    ) -> None:
        self._ray = _ray()
        self._sent = grid.sent()
        self._store = grid.store if isinstance(grid.store, Store) else Store(grid.store)
        self._address, self._cpus, self._gpus, self._carried = address, cpus, gpus, carried
        self._modules: dict[str, Any] = {}  # address -> reference to the bytes, where they travel
        self.places = 1

    def __enter__(self) -> Self:
        ray = self._ray
        self._own = not ray.is_initialized()
        if self._own:
            if self._address is None:
                ray.init(logging_level=logging.ERROR, include_dashboard=False, configure_logging=False)
            else:
                _connect(ray, self._address)
        try:
            there = ray.cluster_resources()
            gpus = (1 if there.get("GPU") else 0) if self._gpus is None else self._gpus
            by_cpu = int(there.get("CPU", 0) // self._cpus)
            self.places = min(by_cpu, int(there.get("GPU", 0) // gpus)) if gpus else by_cpu
            if self.places < 1:
                raise UserError(
                    f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs",
                    expected=f"{self._cpus} CPUs and {gpus:g} GPUs for one unit at least",
                    do="ask for fewer, or add machines",
                )
            # Measured: bits depend on the number of threads, so it is the same on every machine.
            sent = replace(self._sent, threads=self._sent.threads or self._cpus)
            if not self._carried:
                self._check_store()
                sent = replace(sent, store=self._store.root.resolve())
            self._grid = ray.put(sent)
            options = {"num_cpus": self._cpus, "num_gpus": gpus, "max_retries": TRIES}
            self._task = ray.remote(_do).options(**options)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._modules.clear()
        if self._own:
            self._ray.shutdown()

    def submit(self, unit: Unit) -> Future[Outcome]:
        """Hand the unit to the cluster."""
        needed = [(address, self._packed(address)) for address in unit.needs] if self._carried else []
        reference = self._task.remote(self._grid, unit, needed, self._carried)
        future: Future[Outcome] = Future()

        def done(found: Future[_Made]) -> None:
            try:
                future.set_result(self._taken(found.result()))
            except self._ray.exceptions.RayTaskError as error:
                future.set_exception(error)
            except self._ray.exceptions.RayError as error:  # its process or its machine is gone
                future.set_exception(BrokenExecutor(str(error)))
            except BaseException as error:
                future.set_exception(error)

        reference.future().add_done_callback(done)
        return future

    def _taken(self, made: _Made) -> Outcome:
        """The outcome, once what came with it is in the store."""
        address = made.outcome.unit.module
        if made.module is not None and address is not None and not self._store.has(address):
            _unpack(made.module, self._store)
        for key, cell in (made.scores or {}).items():
            self._store.write_scores(key, cell)
        return made.outcome

    def _packed(self, address: str) -> Any:
        if address not in self._modules:
            self._modules[address] = self._ray.put(_pack(self._store, address))
        return self._modules[address]

    def _check_store(self) -> None:
        """Refuse a store that a machine of the cluster does not see, before anything is trained."""
        ray, root = self._ray, self._store.root.resolve()
        mark = root / f"seen-{secrets.token_hex(8)}"
        with explained(mark):
            root.mkdir(parents=True, exist_ok=True)
            mark.touch()
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            look = ray.remote(num_cpus=0)(_sees)
            asked = {
                node["NodeManagerHostname"]: look.options(
                    scheduling_strategy=strategy(node_id=node["NodeID"], soft=False)
                ).remote(str(mark))
                for node in nodes
            }
            blind = [host for host, reference in asked.items() if not ray.get(reference)]
        finally:
            with contextlib.suppress(OSError):
                mark.unlink()
        if blind:
            raise UserError(
                f"{len(blind)} of {len(nodes)} machines do not see the store {root}: {', '.join(blind[:3])}",
                expected="a store on storage that all machines share",
                do="name one with --store, or let modules travel with --carry",
            )


# -- on a machine of the cluster ------------------------------------------------------------------

_workers: dict[str, Worker] = {}  # of this process: backbones stay open between its tasks


def _do(grid: Grid, unit: Unit, needed: list[tuple[str, Any]], carried: bool) -> _Made:
    """One unit. ``needed`` are the modules below it, where they travel: addresses and references to bytes."""
    key = digest([repr(grid), carried])
    if key not in _workers:
        torch.set_num_threads(grid.threads or 1)
        if carried:
            # One folder a machine and grid, shared by its processes; it goes with the machine.
            grid = replace(grid, store=Path(tempfile.gettempdir()) / f"xadapt-ray-{os.getuid()}-{key[:16]}")
        _workers[key] = Worker(grid)
    worker = _workers[key]
    if not carried:
        return _Made(worker.do(unit))
    import ray

    for address, reference in needed:
        with worker.store.lock(address):  # other processes of this machine may need it too
            if not worker.store.has(address):
                _unpack(ray.get(reference), worker.store)
    outcome = worker.do(unit)
    if outcome.failure is not None:
        return _Made(outcome)
    if unit.module is not None:
        return _Made(outcome, module=_pack(worker.store, unit.module))
    kept = {cell.key: worker.store.read_scores(cell.key) for cell in outcome.cells}
    return _Made(outcome, scores={key: cell for key, cell in kept.items() if cell is not None})


def _sees(mark: str) -> bool:
    """Whether this machine sees what the driver has just put into the store."""
    for _ in range(20):  # a shared file system may be seconds behind
        if Path(mark).exists():
            return True
        time.sleep(0.1)
    return False


def _pack(store: Store, address: str) -> bytes:
    """A module's folder, proven, as an archive."""
    path = store.load(address).path
    made = io.BytesIO()
    with explained(path, "read"), tarfile.open(fileobj=made, mode="w") as archive:
        archive.add(path, arcname=address)
    return made.getvalue()


def _unpack(data: bytes, store: Store) -> None:
    """Take a module in, proven."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(folder, filter="data")
        (path,) = Path(folder).iterdir()
        store.take_in(path)


# -- the cluster ------------------------------------------------------------------------------------


def _ray() -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent unasked
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise UserError("the engine ray needs Ray", do='pip install "xadapt[cluster]"') from error
    return ray


def _connect(ray: Any, address: str) -> None:
    """Join a cluster. Raises ``UserError`` where nothing answers within ``ANSWER`` seconds."""
    refused = UserError(
        f"no Ray cluster answers at {address}",
        expected="host:port of its head, such as 10.0.0.1:6379, or auto on one of its machines",
        do="start it with 'ray start --head', or look at address and firewall",
    )
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=ANSWER / 4).close()
        except (OSError, ValueError, OverflowError) as error:
            raise refused from error
    pool = ThreadPoolExecutor(1)
    try:
        joined = pool.submit(ray.init, address=address, logging_level=logging.ERROR, configure_logging=False)
        joined.result(timeout=ANSWER)
    except Exception as error:
        raise refused from error
    finally:
        pool.shutdown(wait=False)
