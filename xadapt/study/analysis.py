"""What the trained modules of an expression hold: a fusion's weights, and how alike the modules are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from xadapt.backbone.packing import Packed, budgeted, pack
from xadapt.common.errors import UserError
from xadapt.mount import interpret
from xadapt.mount.elements import method_of
from xadapt.stacks.methods import LoRA
from xadapt.stacks.places import Node, nodes
from xadapt.stacks.stack import Stack, is_fuse, method_names, trains, undropped
from xadapt.study.inputs import load_inputs
from xadapt.study.module_loader import load_elements, mount_stack
from xadapt.study.plan import Evaluation, Plan
from xadapt.study.state import Run
from xadapt.tasks import Task

LOOKED_AT = 64  # examples that attention and effects are averaged over


@dataclass(frozen=True)
class LayerValues:
    """Numbers by layer, of several named things.

    Attributes:
        subject: what they say something of: a fusion, as it is written; or all modules.
        measure: what they are, and what they were measured on.
        names: one a column.
        values: (layers, names), the lowest layer first; NaN where there is nothing.
    """

    subject: str
    measure: str
    names: tuple[str, ...]
    values: np.ndarray


def fusion_weights(run: Run, evaluation: Evaluation) -> list[LayerValues]:
    """What each fusion of the stack has learned: how much each operand counts, by layer.

    Raises:
        UserError: the stack has no fusion, or is not trained.
    """
    fusions = [
        (fuse, method_names([node.part])[0] == LoRA.name)
        for shown, node in as_written(evaluation)
        if is_fuse(fuse := undropped(shown.part))
    ]
    if not fusions:
        raise UserError(
            f"'{evaluation.expr}' has no fusion whose weights could be shown",
            expected="an expression with a fuse",
            do="show them for an expression such as fuse(mnli, squad_v1) > xnli",
        )
    refuse_untrained(run, evaluation)
    mounted = mount_stack(run, evaluation.stack, evaluation.seed)
    batch, on = _looked_at(run, evaluation) if mounted.fused else (None, "")
    # ``interpret.fusion_weights`` has LoRA's first, each sort in the order of the stack.
    fusions.sort(key=lambda fusion: not fusion[1])
    return [
        LayerValues(
            str(fuse),
            "coefficients" if of_lora else f"attention on {on}",
            tuple(str(operand.stack) for operand in fuse.operands),
            weights,
        )
        for (fuse, of_lora), (_, weights) in zip(
            fusions, interpret.fusion_weights(mounted, batch), strict=True
        )
    ]


def similarities(run: Run, evaluation: Evaluation) -> LayerValues:
    """How alike the modules of the stack are, two by two: cosines from -1 to 1.

    Every module that is trained counts, once, whole: as it was trained, whatever a drop leaves of it.
    LoRA modules are compared by their weights. Bottlenecks, full copies and modules of several methods have
    no common form, so what is compared is what each does, alone on the backbone, to a few examples.

    Raises:
        UserError: fewer than two modules, or the stack is not trained.
    """
    names = _modules(evaluation)
    if len(names) < 2:
        raise UserError(
            f"'{evaluation.expr}' has {len(names)} module{'s' * (len(names) != 1)} to compare",
            expected="an expression of two or more",
            do="compare those of an expression such as mnli > xnli or fuse(mnli, squad_v1) > xnli",
        )
    refuse_untrained(run, evaluation)
    modules = [load_elements(run, place, evaluation.seed)[-1] for place in names]
    if all(method_of(module) is LoRA for module in modules):
        cosines = interpret.similarity(run.backbone, modules)
        measure = "cosine of the LoRA updates B A"
    else:
        batch, on = _looked_at(run, evaluation)
        cosines = interpret.effect_similarity(run.backbone, modules, batch)
        measure = f"cosine of effects on hidden states, each module alone, after each layer, on {on}"
    pairs = list(combinations(range(len(modules)), 2))
    labels = list(names.values())
    return LayerValues(
        "how alike the modules are",
        measure,
        tuple(f"{labels[i]} · {labels[j]}" for i, j in pairs),
        np.stack([cosines[:, i, j] for i, j in pairs], axis=1),
    )


def as_written(evaluation: Evaluation) -> list[tuple[Node, Node]]:
    """The parts of what is mounted, lowest first: as the user wrote them, and with methods filled in."""
    if evaluation.stack is None:
        return []
    # What was written may have a target on top that trains nothing and is not mounted.
    return list(zip(nodes(Stack(evaluation.expr)), nodes(evaluation.stack), strict=False))


def refuse_untrained(run: Run, evaluation: Evaluation) -> None:
    """Raises ``UserError`` where a module of the plan is not in the store."""
    if missing := [module.shown for module in run.plan.modules if not run.store.has(module.address)]:
        raise UserError(
            f"not trained yet: {', '.join(missing)}",
            expected="a trained stack",
            do=f'run it first, with the same settings: xadapt run "{evaluation.expr}"',
        )


def dev_of(plan: Plan, evaluation: Evaluation) -> tuple[Task, str, tuple[str, ...]]:
    """Whose examples a target is looked at with, their split, and their languages.

    English dev, where the target has it; else that of the data it trains on (SQuAD's, for XQuAD); else dev
    in all its languages; a target without any (Tatoeba) has only its test set.
    """
    source, task = plan.source, evaluation.task
    own = source.languages(task.name, "dev")
    if "en" in own:
        return task, "dev", ("en",)
    trained_on = (
        t.data for module in plan.modules if module.address == evaluation.module for t in module.tasks
    )
    for data in trained_on:
        if "en" in source.languages(data.name, "dev"):
            return data, "dev", ("en",)
    if own:
        return task, "dev", own
    split = source.test_split(task.name)
    return task, split, source.languages(task.name, split)


def _looked_at(run: Run, evaluation: Evaluation) -> tuple[Packed, str]:
    """A batch of the target's examples, and which they are."""
    data, split, (lang, *_) = dev_of(run.plan, evaluation)
    _, items = load_inputs(
        run,
        evaluation.task,
        data,
        languages=[lang],
        split=split,
        max_length=evaluation.max_length,
        sample=LOOKED_AT,
    )
    (first, *_) = budgeted([len(item) for item in items], 16_384)
    batch = pack([s for i in first for s in items[i].sequences]).to(run.backbone.device)
    return batch, f"{len(first)} {split} items of {data.name} in {lang}"


def _modules(evaluation: Evaluation) -> dict[Stack, str]:
    """The places of all trained modules, and what to call each: its own part, or the whole place where
    two would have one name."""
    found: dict[Stack, Node] = {}
    for shown, node in _flat(as_written(evaluation)):
        if trains(node.part):
            found.setdefault(node.place, shown)
    count = Counter(str(shown.part) for shown in found.values())
    return {
        place: str(shown.part if count[str(shown.part)] == 1 else shown.place)
        for place, shown in found.items()
    }


def _flat(found: Iterable[tuple[Node, Node]]) -> Iterator[tuple[Node, Node]]:
    for shown, node in found:
        for ours, theirs in zip(shown.branches, node.branches, strict=True):
            yield from _flat(zip(ours.nodes, theirs.nodes, strict=True))
        yield shown, node
