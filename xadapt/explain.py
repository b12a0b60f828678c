"""What is known of an expression's parts before, and after, it is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from rich.table import Table
from rich.text import Text

from xadapt.errors import UserError
from xadapt.kinds import kind_of
from xadapt.mount import Part, mount, split_fusion
from xadapt.mount.interpret import fusion_weights
from xadapt.needs import Node, nodes
from xadapt.packing import budgeted, pack
from xadapt.parts import Stack, inner, is_fuse
from xadapt.plan import Evaluation, Plan
from xadapt.prepared import Data
from xadapt.results import Unwatched
from xadapt.shelf import Shelf
from xadapt.steps import ModuleStep
from xadapt.store import Store
from xadapt.tree import Facts

LOOKED_AT = 64  # dev examples that the attention of a fusion is averaged over
SHADES = " ░▒▓█"


def facts_of(plan: Plan, store: Store, evaluation: Evaluation) -> dict[Stack, Facts]:
    """Facts of everything with weights in the evaluation's stack, by place; sizes of what is not trained yet
    are those that it will have, of its head included."""
    steps = {step.stack: step for step in plan.modules if step.seed == evaluation.seed}
    addresses = plan.addresses[evaluation.seed]
    facts: dict[Stack, Facts] = {}
    assert evaluation.stack is not None
    for node in _flat(nodes(evaluation.stack)):
        if node.module is None:
            continue
        address = addresses[node.module]
        there = store.has(address)
        if is_fuse(inner(node.part)):
            if there:
                fusion = split_fusion(store.load(address).weights)[0].values()
                count, size = (
                    sum(t.numel() for t in fusion),
                    sum(t.numel() * t.element_size() for t in fusion),
                )
                facts[node.place] = Facts("reused", count, size, note=f"in {address}")
        elif there:
            saved = store.load(address)
            size = sum(f.stat().st_size for f in saved.path.iterdir())
            facts[node.place] = Facts("reused", saved.manifest["parameters"], size, note=address)
        else:
            count = _count(plan, steps[node.place])
            facts[node.place] = Facts("trains", count, 4 * count, note=address)
    return facts


def fusion_tables(plan: Plan, store: Store, evaluation: Evaluation) -> Iterator[Table]:
    """A heat map for each fusion of the stack: modules by layers.

    Raises:
        UserError: the stack has no fusion, or is not trained.
    """
    if evaluation.stack is None or not any(is_fuse(inner(n.part)) for n in nodes(evaluation.stack)):
        raise UserError(
            f"'{evaluation.expr}' has no fusion whose weights could be shown",
            do="show them for an expression such as fuse(mnli, squad_v1) > xnli",
        )
    missing = [step.shown for step in plan.modules if not store.has(step.address)]
    if missing:
        raise UserError(
            f"not trained yet: {', '.join(missing)}", do=f'run it first: xadapt run "{evaluation.expr}"'
        )
    shelf = Shelf(plan, store)
    mounted = shelf.mounted(evaluation.stack, evaluation.seed)
    task = evaluation.task
    data = Data(plan.source, plan.backbone, store, Unwatched())
    step = next(s for s in plan.modules if s.address == evaluation.module)
    lesson = step.lessons[0]
    _, items = data.encoded(
        task, lesson.data, languages=["en"], split="dev", max_length=lesson.max_length, limit=LOOKED_AT
    )
    (run, *_) = budgeted([len(item) for item in items], 16_384)
    batch = pack([s for i in run for s in items[i].sequences]).to(plan.backbone.device)
    fused = {str(n.part): n for n in nodes(evaluation.stack) if is_fuse(inner(n.part))}
    for label, weights in fusion_weights(mounted, batch).items():
        node = fused.get(label)
        names = [str(b.nodes[-1].part) for b in node.branches] if node else []
        yield heat_map(
            f"{label}: weight by layer, on {len(run)} English dev items of {task.name}", names, weights
        )


def heat_map(title: str, names: Iterable[str], weights: np.ndarray) -> Table:
    """A table of numbers with a shade each.

    Args:
        weights: (layers, modules); NaN where there is nothing.
    """
    table = Table(title=Text(title), title_justify="left")
    table.add_column("module")
    for layer in range(len(weights)):
        table.add_column(str(layer), justify="right")
    largest = float(np.nanmax(np.abs(weights))) or 1.0
    for name, row in zip(names, weights.T, strict=False):
        table.add_row(Text(name), *(_shaded(float(w), largest) for w in row))
    return table


def _shaded(weight: float, largest: float) -> str:
    if np.isnan(weight):
        return "·"
    return f"{weight:.2f} {SHADES[round(abs(weight) / largest * (len(SHADES) - 1))]}"


def _flat(found: Iterable[Node]) -> Iterator[Node]:
    for node in found:
        yield node
        for branch in node.branches:
            yield from _flat(branch.nodes)


def _count(plan: Plan, step: ModuleStep) -> int:
    """Parameters that a module will have with its heads; its fusion's not counted."""
    fresh = mount(plan.backbone, [Part(step.shown, step.method, None)], seed=("count",))
    heads = (kind_of(lesson.task).head(plan.backbone.config) for lesson in step.lessons)
    return sum(p.numel() for p in fresh.trainable.values()) + sum(
        p.numel() for head in heads for p in head.parameters()
    )
