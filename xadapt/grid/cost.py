"""What the units of a grid would take: seconds and bytes, from what this machine was seen to do.

A module takes as long a step as modules like it took that the store holds from this machine: of the same
backbone, tasks, method and batch. Where there is none, and for evaluations, speeds come from probes
(``speed.py``), lengths from a sample of the real inputs. A training that English dev stops early takes less.

Seen on the pocket world, in CPU seconds of one thread on a busy machine: two trainings by a probe took 0.98
and 1.07 of their estimate, two by like ones in the store 0.96 and 1.28; ten evaluations took 1.2 to 1.9 of
theirs, which leave scoring out; disk 0.99. By the clock it depends on what else the machine does: two grids
took 1.2 and 1.7 of an earlier form of the estimate, while the load changed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch

from xadapt.common.errors import UserError
from xadapt.common.identity import digest
from xadapt.common.measure import machine
from xadapt.data.reading import sampled
from xadapt.grid.speed import evaluation_speed, training_speed
from xadapt.grid.work import Unit, Worker, evaluations_of, module_of
from xadapt.kinds import kind_of
from xadapt.kinds.kind import Item
from xadapt.store.integrity import peek
from xadapt.study.module_plan import ModulePlan, TrainingTask
from xadapt.study.plan import Evaluation
from xadapt.study.sizes import parameters_of
from xadapt.study.state import Run
from xadapt.tasks import Task

SAMPLE = 64  # examples that lengths are taken from
LANGUAGES = 3  # of an evaluation, that sizes are taken from
WRITING = 0.05  # seconds for a module or a cell on disk
OF_FILES = 12_000  # bytes of a module beside its weights
OF_CELL = 1_000  # and of a cell beside its counts, which take less than a byte an item and metric
# More that a training step takes for each module that a fuse below has: measured with nine.
FUSED = {"lora": 0.035, "bottleneck": 0.29, "full": 0.0}


class Cost(NamedTuple):
    """Of a unit, or of several."""

    seconds: float
    bytes: int

    @classmethod
    def of(cls, costs: Iterable[Cost]) -> Cost:
        """All together."""
        found = list(costs)
        return cls(sum(c.seconds for c in found), sum(c.bytes for c in found))


@dataclass(frozen=True)
class Amount:
    """How much there is of some data."""

    examples: int
    items: int
    tokens: int
    encoding: float  # seconds
    sample: Sequence[Item]


class Costs:
    """What units would take. What is read and measured for it is kept for the next unit."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.known: dict[str, Cost] = {}
        """of the units that were asked for, by key"""
        self._amounts: dict[tuple[Any, ...], Amount] = {}
        self._encoded: set[tuple[Any, ...]] = set()
        self._parameters: dict[tuple[Any, ...], int] = {}
        self.from_store = 0
        """of how many modules the time is that of like ones in the store"""

    def of(self, unit: Unit) -> Cost:
        """Of one unit; data that several units read are encoded with the first. Nothing where data are
        broken."""
        if unit.repeats:
            self.known[unit.key] = Cost(0.0, 0)
        if unit.key not in self.known:
            try:
                self.known[unit.key] = self._of(unit)
            except UserError:  # broken data: it will fail at once, and the run says why
                self.known[unit.key] = Cost(0.0, 0)
        return self.known[unit.key]

    def _of(self, unit: Unit) -> Cost:
        run = self._worker.run(unit.study)
        if unit.module is not None:
            return self._training(run, unit.study, module_of(run.plan, unit.module))
        costs = [self._evaluation(run, unit.study, e) for e in evaluations_of(run.plan, unit)]
        # Layers share a pass over the data.
        return Cost(max(c.seconds for c in costs), sum(c.bytes for c in costs))

    # -- training -----------------------------------------------------------------------------

    def _training(self, run: Run, study: int, module: ModulePlan) -> Cost:
        amounts = [self._training_data(run, study, training) for training in module.tasks]
        items = [amount.items for amount in amounts]
        cap = int(module.mixing["cap"]) if len(items) > 1 else max(items)
        steps = module.settings.steps(sum(min(count, cap) for count in items))
        fixed, seconds = WRITING, 0.0
        seen = self._seen(run).get(_like(module.determinants))
        if seen is not None:
            self.from_store += 1
            seconds = steps * statistics.median(seen)
        share = [min(count, cap) / sum(min(count, cap) for count in items) for count in items]
        for training, amount, part in zip(module.tasks, amounts, share, strict=True):
            task = training.task
            dev = self._amount(run, study, task, training.data, training.dev, "dev", training.max_length)
            fixed += self._encoding(
                amount, ("train", study, str(training.languages), training.data.name)
            ) + self._encoding(dev, ("dev", study, task.name, training.dev))
            if seen is None:
                speed = training_speed(run, task, module.method, amount.sample, dev.sample, module.settings)
                each = amount.tokens / amount.items * module.settings.batch_size
                looks = module.settings.looks * min(1.0, module.settings.dev_examples / dev.examples)
                seconds += steps * part * each * speed.per_token * _fusing(module)
                seconds += looks * dev.tokens * speed.looking
                fixed += speed.fixed / len(items)
        parameters = self._parameters_of(run, study, module)
        return Cost(seconds + fixed, 4 * parameters + OF_FILES)

    def _training_data(self, run: Run, study: int, training: TrainingTask) -> Amount:
        found = [
            self._amount(run, study, training.task, training.data, lang, "train", training.max_length)
            for lang in training.languages
        ]
        whole = _together(found)
        return whole if training.size is None else _scaled(whole, training.size)

    def _seen(self, run: Run) -> Mapping[str, list[float]]:
        """Seconds a step of the modules that this machine has trained as it would now, by what they are."""
        return self._steps(str(run.backbone.device), torch.get_num_threads())

    def _steps(self, device: str, threads: int) -> Mapping[str, list[float]]:
        found: dict[str, list[float]] = {}
        for manifest in self._manifests:
            training = manifest.get("training", {})
            here = (training.get("machine"), training.get("device"), training.get("threads"))
            if here == (machine(), device, threads) and training.get("steps"):
                each = training["seconds"] / training["steps"]
                found.setdefault(_like(manifest["determinants"]), []).append(each)
        return found

    @cached_property
    def _manifests(self) -> list[dict[str, Any]]:
        manifests = (peek(info.path) for info in self._worker.store.modules())
        return [manifest for manifest in manifests if manifest is not None]

    def _parameters_of(self, run: Run, study: int, module: ModulePlan) -> int:
        key = (study, module.method, *(t.task.name for t in module.tasks))
        if key not in self._parameters:
            self._parameters[key] = parameters_of(run.plan, module)
        return self._parameters[key]

    # -- evaluations --------------------------------------------------------------------------

    def _evaluation(self, run: Run, study: int, evaluation: Evaluation) -> Cost:
        task, data = evaluation.task, evaluation.asks
        languages = evaluation.languages
        # Reading all languages of a hub's data to know their sizes would be a download.
        some = languages[:: max(1, len(languages) // LANGUAGES)]
        splits = [evaluation.split]
        if kind_of(task).tuned and evaluation.split != "dev":
            splits.append("dev")
        seconds, size = 0.0, 0
        for split in splits:
            found = [
                self._amount(run, study, task, data, lang, split, evaluation.max_length) for lang in some
            ]
            if evaluation.sample is not None and split == evaluation.split:
                found = [
                    _scaled(a, evaluation.sample) if evaluation.sample < a.examples else a for a in found
                ]
            mean = len(languages) / len(some)
            speed = evaluation_speed(run, task, found[0].sample)
            seconds += mean * sum(amount.tokens for amount in found) * speed.per_token + speed.fixed
            seconds += mean * sum(
                self._encoding(amount, (split, study, data.name, lang))
                for amount, lang in zip(found, some, strict=True)
            )
            if split == evaluation.split:
                size = int(mean * sum(a.examples * len(task.metrics) // 4 + OF_CELL for a in found))
        return Cost(seconds + len(languages) * WRITING, size)

    # -- data ---------------------------------------------------------------------------------

    def _amount(
        self, run: Run, study: int, task: Task, data: Task, lang: str, split: str, max_length: int
    ) -> Amount:
        key = (study, task.name, data.name, lang, split, max_length)
        if key not in self._amounts:
            examples = run.source.load(data.name, lang, split)
            if not examples:
                raise UserError(f"{run.source.name} has no {split} examples of {data.name} in {lang}")
            some = sampled(examples, SAMPLE)
            began = time.monotonic()
            encode = kind_of(task).encode
            items = encode(some, run.backbone.tokenizer, max_length, training=split == "train")
            took = time.monotonic() - began
            whole = Amount(len(some), len(items), sum(map(len, items)), took, items)
            self._amounts[key] = _scaled(whole, len(examples))
        return self._amounts[key]

    def _encoding(self, amount: Amount, key: tuple[Any, ...]) -> float:
        if key in self._encoded:
            return 0.0
        self._encoded.add(key)
        return amount.encoding


def _scaled(amount: Amount, examples: int) -> Amount:
    share = examples / amount.examples
    return replace(
        amount,
        examples=examples,
        items=max(1, round(share * amount.items)),
        tokens=max(1, round(share * amount.tokens)),
        encoding=share * amount.encoding,
    )


def _together(found: Sequence[Amount]) -> Amount:
    return Amount(
        sum(a.examples for a in found),
        sum(a.items for a in found),
        sum(a.tokens for a in found),
        sum(a.encoding for a in found),
        [item for a in found for item in a.sample],
    )


def _like(determinants: Mapping[str, Any]) -> str:
    """What a module has in common with those whose steps take as long."""
    settings = determinants["settings"]
    if not isinstance(settings, Mapping):
        settings = asdict(settings)
    return digest(
        [
            *(determinants[key] for key in ("backbone", "dtype", "method")),
            [
                {k: v for k, v in lesson.items() if k not in ("size", "task")}
                for lesson in determinants["lessons"]
            ],
            [settings[key] for key in ("batch_size", "max_length", "dev_examples", "looks")],
            _fused(determinants["below"]),
        ]
    )


def _fused(below: Any) -> int:
    """How many modules the fuses in a description weigh."""
    if isinstance(below, Mapping):
        own = len(below["fuse"]) if "fuse" in below else 0
        return own + sum(map(_fused, below.values()))
    return sum(map(_fused, below)) if isinstance(below, list) else 0


def _fusing(module: ModulePlan) -> float:
    return 1 + FUSED.get(module.method.name, 0.0) * _fused(module.determinants["below"])
