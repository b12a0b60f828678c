"""Records of training runs in TensorBoard, Weights & Biases or MLflow, through accelerate's trackers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from accelerate.state import PartialState, is_initialized
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker

from xadapt.common.errors import UserError, nearest
from xadapt.common.launch import leads
from xadapt.common.progress import Advance, Training, Unwatched, Watch
from xadapt.grid.arrivals import Filling
from xadapt.study.results import Cell, Results

Tracker = Literal["tensorboard", "wandb", "mlflow"]
PROJECT = "xadapt"
INSTALL = {
    "tensorboard": 'pip install "xadapt[tensorboard]"',
    "wandb": "pip install wandb",
    "mlflow": "pip install mlflow",
}


class Tracked:
    """A watch that also keeps a record of each training: a run of its own, named by expression and seed,
    with all that determines the module as its configuration, and loss, learning rate and dev scores by step.
    ``results`` adds a run with the scores of a study.

    A tracker that fails in the middle is noted once, and training goes on without it.

    Args:
        to: where to: ``tensorboard``, ``wandb`` or ``mlflow``. The latter two are set up as they always are,
            by their own variables and files.
        folder: where TensorBoard's files go, a folder a run, and wandb's local ones.
        watch: what is told how far work is; None for nothing.

    Raises:
        UserError: an unknown tracker, or one that is not installed.
    """

    def __init__(self, to: Tracker, folder: Path | str, watch: Watch | None = None) -> None:
        if to not in INSTALL:
            known = get_args(Tracker)
            raise UserError(f"unknown tracker {to!r}{nearest(to, known)}", expected=" or ".join(known))
        package = find_spec(to)
        if package is None or package.origin is None:  # a mere folder of that name: wandb's records, say
            raise UserError(f"{to} is not installed", do=INSTALL[to])
        self.to, self.folder, self._watch = to, Path(folder), watch or Unwatched()
        if isinstance(watch, Filling):
            self.filling = watch.filling

    @contextmanager
    def stage(self, what: str, total: int | None) -> Iterator[Advance]:
        with self._watch.stage(what, total) as advance:
            yield advance

    def note(self, text: str) -> None:
        self._watch.note(text)

    @contextmanager
    def training(self, what: str, total: int | None, about: Training) -> Iterator[Advance]:
        """A stage that is kept as a run; its first step is where the module's checkpoint was."""
        step = 0
        name = f"{about.expression} seed {about.seed} {about.address[:8]}"
        with self._watch.stage(what, total) as advance, self._run(name, flat(about.determinants)) as run:

            def both(n: int = 1, **facts: float) -> None:
                nonlocal step
                step += n
                advance(n, **facts)
                run.log(facts, step)

            yield both

    def results(self, results: Results) -> None:
        """The scores of a study as one run; each is named by task, language, metric and expression, and its
        step is the seed. Of several processes only the one that leads tells of them."""
        if not leads():
            return
        several = len({(c.backbone, c.method) for c in results.cells}) > 1
        with self._run("scores", {"backbone": results.backbone, "data": results.data}) as run:
            for seed in dict.fromkeys(cell.seed for cell in results.cells):
                cells = [cell for cell in results.cells if cell.seed == seed]
                run.log({_name(cell, several): cell.score for cell in cells}, seed)

    @contextmanager
    def _run(self, name: str, config: Mapping[str, Any]) -> Iterator[_Run]:
        run = _Run(self, name, config)
        try:
            yield run
        finally:
            run.finish()


class _Run:
    """One run of a tracker, until it fails.

    Raises:
        UserError: it cannot be begun.
    """

    def __init__(self, tracked: Tracked, name: str, config: Mapping[str, Any]) -> None:
        self._tracked = tracked
        self._failed = False
        if not is_initialized():
            PartialState(cpu=True)  # accelerate's log asks for it
        try:
            tracked.folder.mkdir(parents=True, exist_ok=True)
            self._tracker = _tracker(tracked.to, name, tracked.folder)
            self._tracker.start()
            self._tracker.store_init_configuration(dict(config))
        except Exception as error:
            raise UserError(
                f"{tracked.to} cannot keep a record of '{name}': {error}",
                do="set it up, or leave --track out",
            ) from error

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._try(lambda: self._tracker.log({plain(k): v for k, v in values.items()}, step=step))

    def finish(self) -> None:
        self._try(self._tracker.finish)

    def _try(self, work: Any) -> None:
        if not self._failed:
            try:
                work()
            except Exception as error:
                self._failed = True
                self._tracked.note(f"{self._tracked.to} keeps no further record of this run: {error}")


def _tracker(to: Tracker, name: str, folder: Path) -> GeneralTracker:
    made: GeneralTracker
    match to:
        case "tensorboard":
            made = TensorBoardTracker(plain(name).replace("/", "_")[:200], folder)
        case "wandb":
            made = WandBTracker(PROJECT, name=name, dir=str(folder))
        case "mlflow":
            made = MLflowTracker(PROJECT, run_name=name)
    made.main_process_only = False  # only the process that leads has a watch at all
    return made


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Nested plain values as ``outer.inner``: what trackers take. Lists and nothing are written as JSON."""
    found: dict[str, str | int | float | bool] = {}
    for key, value in values.items():
        match value:
            case Mapping() if value:
                found |= flat(value, f"{prefix}{key}.")
            case str() | int() | float():
                found[f"{prefix}{key}"] = value
            case _:
                found[f"{prefix}{key}"] = json.dumps(value)
    return found


def plain(name: str) -> str:
    """A name that every tracker and every file system takes: letters, digits, ``_-. /``."""
    return re.sub(r"[^\w\-. /]+", "_", name.replace(" > ", " above "), flags=re.ASCII).strip()


def _name(cell: Cell, several: bool) -> str:
    """``several``: backbones or methods, so that these are in it too."""
    among = f"{cell.backbone}/{cell.method}/" if several else ""
    layer = "" if cell.layer is None else f" layer {cell.layer}"
    return f"{among}{cell.task}/{cell.lang}/{cell.metric}/{cell.expr}{layer}"
