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
from xadapt.data.settling import Settler
from xadapt.errors import UserError
from xadapt.kinds import kind_of
from xadapt.methods import Full, Method, layer_range
from xadapt.stack import Stack, Term, parse
from xadapt.store import address_of
from xadapt.tasks import CATALOGUE, Catalogue, Task, task_named
from xadapt.tasks.languages import LANGUAGES
from xadapt.train import Settings

# Raised when the same inputs would give other weights, or other scores, than before.
TRAINING_VERSION = 1
SCORING_VERSION = 1

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
    catalogue: Catalogue = CATALOGUE,
) -> Plan:
    """Work out what ``expressions`` need.

    Args:
        languages: where to evaluate, of those that a task has; None for all of them.
        split: what to evaluate on; None for ``test`` where its labels are real, else ``dev``.
        catalogue: the tasks, those of a user's own among them; ``source`` must have the same.

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
    untrained = {task.name for task in catalogue.values() if task.train is None}
    for text in expressions:
        with _collecting(problems):
            stacks[parse(text, tuple(catalogue), untrained=untrained, languages=LANGUAGES)] = None
    settler = Settler(source)
    for stack in stacks:
        target = task_named(stack.target.task, catalogue)
        with _collecting(problems):
            chosen_split, chosen = _languages(target, source, languages, split)
            target = settler.settled(target)
            length = min(overrides.max_length or target.max_length, backbone.max_length)
            layer = kind_of(target, overrides.layer).layer(backbone.config)
            for seed in dict.fromkeys(seeds):
                steps = _steps(stack, seed, backbone, settler, method, overrides, catalogue)
                modules |= {step.address: step for step in steps}
                top = steps[-1].address if steps else None
                evaluations.append(
                    Evaluation(str(stack), seed, target, chosen, chosen_split, top, length, layer)
                )
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


def _steps(
    stack: Stack,
    seed: int,
    backbone: Backbone,
    settler: Settler,
    method: Method,
    overrides: Overrides,
    catalogue: Catalogue,
) -> list[ModuleStep]:
    source = settler.source
    filled = stack.with_method(method)
    _refuse_unbuilt(filled)
    steps: list[ModuleStep] = []
    for shown, prefix in zip(stack.prefixes(), filled.prefixes(), strict=True):
        term = prefix.target
        task = task_named(term.task, catalogue)
        if task.train is None:
            if prefix != filled:
                raise UserError(
                    f"{task.name} has no training data, so nothing can stand on it in '{stack}'",
                    do=f"put {task.name} last",
                )
            if term.size is not None:
                raise UserError(f"{task.name} has no training data to take {term.size} examples of")
            break
        data = task_named(task.train, catalogue)
        chosen = term.method or method
        if not isinstance(chosen, Full):
            layer_range(chosen.layers, backbone.layers)
        if "en" not in source.languages(data.name, "train"):
            raise UserError(
                f"{source.name} has no English training data for {data.name}"
                + (f", which {task.name} trains on" if data.name != task.name else ""),
                do="see 'xadapt tasks', name another folder with --data, or the intermediate tasks' "
                "folder with --intermediate",
            )
        task, data = settler.settled(task), settler.settled(data)
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


def _refuse_unbuilt(stack: Stack) -> None:
    """What can be written but not yet trained must not pass for something else."""
    for part in stack:
        if not isinstance(part, Term) or part.languages:
            raise UserError(
                f"{part} can be written, but not be trained yet in this version",
                do="for now, use 'a > b > target', sizes as in a[10000] and methods as in a@lora(r=16)",
            )
    methods = {term.method.name for term in stack if isinstance(term, Term) and term.method} - {Full.name}
    if len(methods) > 1:
        raise UserError(
            f"{stack}: LoRA and bottleneck modules in one stack cannot be trained yet in this version",
            do="take one of them for all terms",
        )


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
