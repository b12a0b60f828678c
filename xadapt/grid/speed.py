"""How fast this machine trains and evaluates: a short probe for each backbone, kind and method, kept.

    ROOT/cache/speeds/<address>.json

The address is a hash of all that the speed depends on: fingerprint, type, device, threads, machine, versions
of torch, kind, method, and the probe's own. It may be removed at any time: it is measured again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import cycle, islice
from typing import Any

import torch

from xadapt.common.files import read_json, write_json
from xadapt.common.measure import machine
from xadapt.kinds import kind_of
from xadapt.kinds.kind import Item
from xadapt.mount import Part, mount
from xadapt.stacks.methods import Method
from xadapt.store.store import address_of
from xadapt.study.module_loader import fold_for, new_head
from xadapt.study.state import Run
from xadapt.tasks import Task
from xadapt.train.evaluate import outputs_of
from xadapt.train.optimisation import Optimisation, TaskInputs
from xadapt.train.settings import Settings

VERSION = 2  # of the probe
STEPS, SECONDS = 5, 3.0  # of a probe, at most, behind a first step that is not counted


@dataclass(frozen=True)
class Speed:
    """Seconds a token, and those that each unit takes before its first.

    Attributes:
        looking: seconds a token of a look at dev, with the module as it is trained, not folded.
    """

    per_token: float
    fixed: float
    looking: float = 0.0


def training_speed(
    run: Run, task: Task, method: Method, items: Sequence[Item], dev: Sequence[Item], settings: Settings
) -> Speed:
    """Of a fresh module of ``method`` on tasks of this kind, unless it is known: steps on ``items``, looks at
    ``dev``, which are encoded as for evaluation (masked, or a text each where training has pairs)."""

    def measure() -> Speed:
        began = time.monotonic()
        fresh = Part("probe", method, None)
        mounted = mount(run.backbone, [fresh], seed=("probe",), fold=fold_for(run.backbone))
        head = new_head(run.backbone, kind_of(task), mounted)
        inputs = TaskInputs(task.name, kind_of(task), head, items, ([], []), task.metrics[0])
        steps = Optimisation(mounted, [inputs], settings, 0)
        fixed = time.monotonic() - began
        endless = cycle(items)

        def look(number: int) -> int:
            outputs_of(mounted, head, kind_of(task), dev)
            return sum(map(len, dev))

        def step(number: int) -> int:
            chosen = list(islice(endless, settings.batch_size))
            steps.step(number, STEPS + 1, chosen)
            return sum(map(len, chosen))

        return Speed(_seconds_a_token(run, step), fixed, _seconds_a_token(run, look))

    what = {"training": task.kind, "method": str(method), "batch": settings.batch_size}
    return _known_or(run, what, measure)


def evaluation_speed(run: Run, task: Task, items: Sequence[Item]) -> Speed:
    """Of the backbone on tasks of this kind; what is mounted is folded and costs next to nothing."""

    def measure() -> Speed:
        began = time.monotonic()
        kind = kind_of(task)
        mounted = mount(run.backbone, [])
        head = new_head(run.backbone, kind, mounted).to(run.backbone.device)
        fixed = time.monotonic() - began

        def once(number: int) -> int:
            outputs_of(mounted, head, kind, items)
            return sum(map(len, items))

        return Speed(_seconds_a_token(run, once), fixed)

    return _known_or(run, {"evaluation": task.kind}, measure)


def _seconds_a_token(run: Run, work: Callable[[int], int]) -> float:
    """``work(number)`` gives the tokens that it has gone through."""
    device = run.backbone.device
    work(0)  # the first takes longer
    began, tokens = time.monotonic(), 0
    for number in range(1, STEPS + 1):
        tokens += work(number)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if time.monotonic() - began > SECONDS:
            break
    return (time.monotonic() - began) / max(1, tokens)


def _known_or(run: Run, what: Mapping[str, Any], measure: Callable[[], Speed]) -> Speed:
    backbone = run.backbone
    on: dict[str, Any] = {
        **what,
        "probe": VERSION,
        "backbone": backbone.fingerprint,
        "dtype": backbone.dtype_name,
        "device": str(backbone.device),
        "threads": torch.get_num_threads(),
        "machine": machine(),
    }
    path = run.store.root / "cache" / "speeds" / f"{address_of(on)}.json"
    known = read_json(path) if path.is_file() else None
    names = [field.name for field in fields(Speed)]
    if known is not None and set(names) <= known.keys():
        return Speed(*(float(known[name]) for name in names))
    found = measure()
    write_json(path, asdict(found) | {"of": on})
    return found
