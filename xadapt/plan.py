"""From expressions to what must be trained and evaluated; nothing is run here.

A module's address is a hash of all that determines its weights, so the plan of a
study is the same wherever and whenever it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from xadapt.backbone import BF16_WIDTH, Backbone
from xadapt.data.examples import Source
from xadapt.errors import UserError
from xadapt.kinds import kind_of
from xadapt.methods import Full, Method, layer_range
from xadapt.stack import Stack, parse
from xadapt.store import address_of
from xadapt.tasks import CATALOGUE, Task, task_named
from xadapt.train import Settings

# Raised when the same inputs would give other weights, or other scores, than before.
TRAINING_VERSION = 1
SCORING_VERSION = 2  # 2: Tatoeba is asked from English; F1 of answers without words

# Peak learning rates by method: for XLM-R's own widths (full: the paper's, PAPER.md section 1),
# and for encoders narrower than BF16_WIDTH, where they were tried on the pocket world.
WIDE = {"lora": 3e-4, "bottleneck": 1e-4, "full": 1e-5}
NARROW = {"lora": 3e-3, "bottleneck": 3e-3, "full": 5e-4}

# A run in the pocket world is a demonstration: so many steps at most, unless told otherwise.
POCKET_STEPS = 800


@dataclass(frozen=True)
class Overrides:
    """Settings that the user set; None leaves the task's and method's own. ``layer`` is for retrieval."""

    lr: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    max_steps: int | None = None
    max_length: int | None = None
    layer: int | None = None


@dataclass(frozen=True)
class ModuleStep:
    """One module that the study needs.

    Attributes:
        address: where the store keeps it.
        stack: the expression up to and including it, methods filled in.
        shown: the same as the user wrote it.
        below: the address of what it stands on; None for the bare backbone.
        task: whose head and kind it has.
        data: whose English training data it is trained on (``task.train``).
        determinants: everything that the address is a hash of.
    """

    address: str
    stack: Stack
    shown: str
    seed: int
    below: str | None
    task: Task
    data: Task
    method: Method
    settings: Settings
    determinants: Mapping[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """One expression, one seed, one target task, in its languages.

    Attributes:
        module: the address of the uppermost module; None for the bare backbone.
        layer: whose hidden states are read, as in HF's ``hidden_states``; None for the last.
    """

    expr: str
    seed: int
    task: Task
    languages: tuple[str, ...]
    split: str
    module: str | None
    max_length: int
    layer: int | None


@dataclass(frozen=True)
class Plan:
    """What a study consists of: modules in the order in which they can be trained, then cells."""

    backbone: Backbone
    source: Source
    modules: tuple[ModuleStep, ...]
    evaluations: tuple[Evaluation, ...]

    def chain(self, address: str | None) -> tuple[ModuleStep, ...]:
        """The modules from the backbone up to ``address``, lowest first."""
        known = {m.address: m for m in self.modules}
        chain: list[ModuleStep] = []
        while address is not None:
            chain.append(known[address])
            address = known[address].below
        return tuple(reversed(chain))


def make_plan(
    expressions: Sequence[str],
    *,
    backbone: Backbone,
    source: Source,
    method: Method,
    seeds: Sequence[int] = (0,),
    languages: Sequence[str] | None = None,
    split: str | None = None,
    overrides: Overrides | None = None,
    layers: Sequence[int] | None = None,
) -> Plan:
    """Work out what ``expressions`` need.

    Args:
        layers: hidden layers to evaluate at, each an evaluation of its own; None for the one that the
            kind reads, or ``overrides.layer``.
        languages: where to evaluate, of those that a task has; None for all of them.
        split: what to evaluate on; None for ``test`` where its labels are real, else ``dev``.

    Raises:
        UserError: all problems at once, one below the other.
    """
    overrides = overrides or Overrides()
    problems: list[UserError] = []
    modules: dict[str, ModuleStep] = {}
    evaluations: list[Evaluation] = []

    if not expressions:
        raise UserError("no expression", expected="one or more, such as 'xnli' or 'mnli > xnli'")
    stacks: dict[Stack, None] = {}
    for text in expressions:
        with _collecting(problems):
            stacks[parse(text, tuple(CATALOGUE))] = None
    for stack in stacks:
        target = task_named(stack.target.task)
        with _collecting(problems):
            chosen_split, chosen = _languages(target, source, languages, split)
            length = min(overrides.max_length or target.max_length, backbone.max_length)
            _check_tuning(target, source, chosen_split, chosen)
            read = _layers_read(target, backbone, [overrides.layer] if layers is None else layers)
            if layers is not None and None in read:
                raise UserError(
                    f"{target.name} is read at the last layer only",
                    expected="a task that compares vectors of the encoder as it is, such as tatoeba or bucc",
                )
            for seed in dict.fromkeys(seeds):
                steps = _steps(stack, seed, backbone, source, method, overrides)
                modules |= {step.address: step for step in steps}
                top = steps[-1].address if steps else None
                evaluations += [
                    Evaluation(str(stack), seed, target, chosen, chosen_split, top, length, layer)
                    for layer in read
                ]
    evaluated = {lang for e in evaluations for lang in e.languages}
    unknown = [lang for lang in languages or () if lang not in evaluated]
    if unknown and not problems:
        raise UserError(
            f"no target of these expressions has data in: {', '.join(unknown)}",
            expected=f"some of {', '.join(sorted(evaluated))}, or all",
            do="change --langs",
        )
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise UserError("\n".join(str(p) for p in problems))
    return Plan(backbone, source, tuple(modules.values()), tuple(evaluations))


@contextmanager
def _collecting(problems: list[UserError]) -> Iterator[None]:
    """Keep a problem, once, and go on."""
    try:
        yield
    except UserError as error:
        if str(error) not in map(str, problems):
            problems.append(error)


def _languages(
    task: Task, source: Source, wanted: Sequence[str] | None, split: str | None
) -> tuple[str, tuple[str, ...]]:
    """The split to evaluate on and the languages to do it in."""
    if task.role != "target":
        raise UserError(
            f"{task.name} is an intermediate task: it has no languages to transfer to",
            expected="a target task at the end of a stack",
            do=f"write '{task.name} > xnli', say; 'xadapt tasks' lists the targets",
        )
    split = split or source.test_split(task.name)
    available = source.languages(task.name, split)
    if not available:
        raise UserError(
            f"{source.name} has no {split} data for {task.name}",
            do="see 'xadapt tasks', or name another folder with --data",
        )
    if wanted is None:
        return split, available
    chosen = tuple(lang for lang in available if lang in wanted)
    if not chosen:
        raise UserError(
            f"{task.name} ({split}) has no data in: {', '.join(wanted)}",
            expected=f"some of {', '.join(available)}, or all",
            do="change --langs",
        )
    return split, chosen


def _layers_read(task: Task, backbone: Backbone, wanted: Sequence[int | None]) -> list[int | None]:
    """The layers that ``task`` is read at; None for the last, where it reads no other."""
    return [kind_of(task, layer).layer(backbone.config) for layer in wanted]


def _check_tuning(task: Task, source: Source, split: str, languages: Sequence[str]) -> None:
    """Refuse a split that cannot be scored because what must be fitted on dev cannot be."""
    if not kind_of(task).tuned or split == "dev":
        return
    without = [lang for lang in languages if lang not in source.languages(task.name, "dev")]
    if without:
        raise UserError(
            f"{task.name} ({split}) in {', '.join(without)}: {source.name} has no dev data in it",
            expected="a dev set in each language: the threshold above which a pair counts is fitted on it",
            do="add the dev files, leave these languages out with --langs, or take --split dev",
        )


def _steps(
    stack: Stack, seed: int, backbone: Backbone, source: Source, method: Method, overrides: Overrides
) -> list[ModuleStep]:
    filled = stack.with_method(method)
    steps: list[ModuleStep] = []
    for shown, prefix in zip(stack.prefixes(), filled.prefixes(), strict=True):
        term = prefix.target
        task = task_named(term.task)
        if task.train is None:
            if prefix != filled:
                raise UserError(
                    f"{task.name} has no training data, so nothing can stand on it in '{stack}'",
                    do=f"put {task.name} last",
                )
            if term.size is not None:
                raise UserError(f"{task.name} has no training data to take {term.size} examples of")
            break
        data = task_named(task.train)
        chosen = term.method or method
        if not isinstance(chosen, Full):
            layer_range(chosen.layers, backbone.layers)
        if "en" not in source.languages(data.name, "train"):
            raise UserError(
                f"{source.name} has no English training data for {data.name}"
                + (f", which {task.name} trains on" if data != task else ""),
                do="see 'xadapt tasks', name another folder with --data, or the intermediate tasks' "
                "folder with --intermediate",
            )
        settings = settings_for(task, data, chosen, backbone, source, overrides)
        below = steps[-1].address if steps else None
        determinants = {
            "training_version": TRAINING_VERSION,
            "backbone": backbone.fingerprint,
            "dtype": str(backbone.dtype).removeprefix("torch."),
            "below": below,
            "task": {
                "name": task.name,
                "kind": task.kind,
                "labels": list(task.labels),
                "stride": task.stride,
                "unanswerable": task.unanswerable,
            },
            "data": {
                "task": data.name,
                "language": "en",
                "train": source.revision(data.name, "en", "train"),
                "dev": source.revision(data.name, "en", "dev"),
                "size": term.size,
            },
            "method": str(chosen),
            "settings": asdict(settings),
            "seed": seed,
        }
        if task.kind == "mlm":  # its head starts as the checkpoint's, which the fingerprint leaves out
            determinants["lm_head"] = backbone.lm_head_digest()
        steps.append(
            ModuleStep(
                address=address_of(determinants),
                stack=prefix,
                shown=str(shown),
                seed=seed,
                below=below,
                task=task,
                data=data,
                method=chosen,
                settings=settings,
                determinants=determinants,
            )
        )
    return steps


def settings_for(
    task: Task, data: Task, method: Method, backbone: Backbone, source: Source, overrides: Overrides
) -> Settings:
    """The task's and the method's settings, with the user's in front of them."""
    rates = NARROW if backbone.config.hidden_size < BF16_WIDTH else WIDE
    settings = Settings(
        lr=rates[method.name],
        epochs=data.epochs,
        batch_size=data.batch_size,
        max_steps=POCKET_STEPS if source.name == "pocket" else None,
        max_length=min(task.max_length, backbone.max_length),
    )
    given = {k: v for k, v in asdict(overrides).items() if v is not None and k != "layer"}
    return replace(settings, **given)
