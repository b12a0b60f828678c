"""What a run would meet on this machine: packages, cores, devices, store, disk, hub; and what to do."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from xadapt.backbone.backbone import has_bf16
from xadapt.common.hub import hub_answers
from xadapt.store.store import Store
from xadapt.study.versions import outdated

ROOM = 2 * 2**30  # bytes that a disk should have left: checkpoints, encoded items, modules


@dataclass(frozen=True)
class Check:
    """Something that was looked at.

    Attributes:
        subject: what.
        found: how it is.
        do: what to do about it; empty where all is well.
        broken: nothing can run as it is; else it runs, but slower or with less.
    """

    subject: str
    found: str
    do: str = ""
    broken: bool = False


def checks(store: Path) -> Iterator[Check]:
    """One after another, the hub last: it may take ten seconds to be silent."""
    yield Check("system", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}")
    yield from packages()
    yield from _processors()
    yield from _store(store)
    yield _hub_cache()
    yield _hub()


def packages(name: str = "xadapt") -> Iterator[Check]:
    """What a distribution needs without its extras, against what is installed."""
    from packaging.requirements import Requirement

    found, wrong = [], []
    for text in metadata.requires(name) or ():
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            wrong.append((needed, "missing"))
            continue
        if needed.specifier.contains(version, prereleases=True):
            found.append(f"{needed.name} {version}")
        else:
            wrong.append((needed, version))
    yield Check(name, f"{metadata.version(name)} with {', '.join(found)}")
    for needed, version in wrong:
        yield Check(needed.name, version, f'pip install "{needed}"', broken=True)


def _processors() -> Iterator[Check]:
    cores, threads = _cores(), torch.get_num_threads()
    bf16 = "bf16 in hardware" if has_bf16(torch.device("cpu")) else "no bf16 in hardware"
    few = f"OMP_NUM_THREADS or --threads say so: {cores} would use them all" if threads < cores else ""
    yield Check("CPU", f"{cores} cores, {threads} threads, {_memory()}, {bf16}", few)
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(i)
            yield Check(f"cuda:{i}", f"{about.name}, {about.total_memory / 2**30:.0f} GiB")
    elif shutil.which("nvidia-smi"):
        do = "install the CUDA build of torch (https://pytorch.org), or see to the driver: nvidia-smi"
        yield Check("GPU", f"there may be one, but torch {torch.__version__} does not see it", do)
    else:
        yield Check("GPU", "none")


def _cores() -> int:
    """Those that this process may use, where the system says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "memory unknown"
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{pages / 2**30:.0f} GiB of memory"


def _store(path: Path) -> Iterator[Check]:
    if path.is_dir():
        store = Store(path)
        modules = store.modules()
        old = sum(map(outdated, modules))
        found = f"{len(modules):,} modules, {sum(m.bytes for m in modules) / 2**20:,.0f} MiB"
        left = store.leftovers(abandoned=True)
        does = []
        if old:
            found += f", {old} of an earlier version of the training"
            does.append("no plan asks for old ones: 'xadapt modules gc' once no study keeps them")
        if left:
            found += f", {len(left)} leftovers of stopped runs"
            does.append("the same command resumes them; 'xadapt modules gc' removes them")
        yield Check(f"store {path}", found, "; ".join(does))
        if not os.access(path, os.W_OK):
            yield Check(
                f"store {path}", "cannot be written", "see to its rights, or name another", broken=True
            )
    else:
        yield Check(f"store {path}", "none yet: the first run makes it")
    yield _room("disk of the store", path)


def _hub_cache() -> Check:
    from huggingface_hub import constants

    return _room("cache of the hub", Path(constants.HF_HUB_CACHE))


def _room(subject: str, path: Path) -> Check:
    there = path.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    do = "make room, or name a folder on another disk" if free < ROOM else ""
    return Check(subject, f"{path}, {free / 2**30:.0f} GiB free", do)


def _hub() -> Check:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return Check("hub", "not asked: HF_HUB_OFFLINE is set", "unset it, or use local folders")
    if hub_answers():
        return Check("hub", f"{constants.ENDPOINT} answers")
    do = "see to the connection, HF_ENDPOINT or a proxy; what is in its cache and in folders can be used"
    return Check("hub", f"{constants.ENDPOINT} does not answer", do)
