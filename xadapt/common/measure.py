"""Speed, memory and size, measured so that the figures can be put side by side."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from xadapt.common.identity import digest


@dataclass(frozen=True)
class Spread:
    """Median and range of a few rounds, in the unit of what was measured."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def interleaved(
    contenders: Mapping[str, Callable[[], tuple[int, float]]], *, rounds: int, warmup: int = 1
) -> dict[str, list[float]]:
    """Items per second of each contender, one value a round.

    Every round runs each contender once, in turn and in a turning order, so that what
    the machine does meanwhile falls on all alike. A contender does a fixed piece of
    work and returns how many items that was and how many seconds it took: see ``timed``.
    """
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(-warmup, rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            items, seconds = contenders[name]()
            if turn >= 0:
                rates[name].append(items / seconds)
    return rates


def timed(work: Callable[[], int], device: str) -> Callable[[], tuple[int, float]]:
    """``work``, which returns how many items it did, with the seconds it took."""

    def run() -> tuple[int, float]:
        synchronise(device)
        began = time.perf_counter()
        items = work()
        synchronise(device)
        return items, time.perf_counter() - began

    return run


def side_by_side(
    ways: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int = 1, device: str = "cpu"
) -> dict[str, list[float]]:
    """Seconds that each way to do the same takes, one value a round, in turns as ``interleaved`` has it."""

    def once(way: Callable[[], object]) -> Callable[[], tuple[int, float]]:
        return timed(lambda: len((way(),)), device)

    rates = interleaved({name: once(way) for name, way in ways.items()}, rounds=rounds, warmup=warmup)
    return {name: [1 / rate for rate in values] for name, values in rates.items()}


def ratios(rates: Mapping[str, list[float]], over: str) -> dict[str, Spread]:
    """Each contender's rate over that of ``over``, round by round: medians and ranges."""
    return {
        name: Spread.of([a / b for a, b in zip(values, rates[over], strict=True)])
        for name, values in rates.items()
    }


def synchronise(device: str) -> None:
    """Wait for the device, where it runs apart from the host."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peak_bytes(device: str) -> int:
    """The most memory that this process has held: on a GPU torch's own peak, else resident memory."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a process inherits it from the one that started it.
        (peak,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak) * 1024
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def peak_of(command: Sequence[str]) -> int:
    """Bytes: what a process of its own prints in its last line, ``peak_bytes`` of the work it was started
    for.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return int(done.stdout.strip().splitlines()[-1])


def device_name(device: str) -> str:
    """What figures were measured on, to be stated beside them: the GPU's name, or how many threads the CPU
    has."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads > 1)}"


@cache
def machine() -> str:
    """What speed depends on of this machine, as a digest: its name is nobody's business."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return digest([platform.node(), platform.machine(), os.cpu_count(), gpu, torch.__version__])[:12]
