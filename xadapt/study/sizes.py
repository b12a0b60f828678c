"""What is known of an expression's parts before it is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from xadapt.backbone.backbone import Backbone
from xadapt.common.tensors import read_tensors
from xadapt.kinds import kind_of
from xadapt.mount import Part, mount, split_fusion
from xadapt.mount.weights import weights_file_of
from xadapt.stacks.methods import Full, inverts
from xadapt.stacks.places import Node, acting_layers, nodes
from xadapt.stacks.stack import Stack, is_fuse, methods_in, undropped
from xadapt.store.store import Store
from xadapt.study.module_plan import ModulePlan
from xadapt.study.plan import Evaluation, Plan
from xadapt.study.trunk_cache import bytes_a_token

State = Literal["frozen", "trains", "reused"]


@dataclass(frozen=True)
class Facts:
    """What is known of one thing that has weights.

    Attributes:
        state: ``trains`` when the stack is run, ``reused`` from the store, or ``frozen`` as the
            backbone is.
        parameters: how many, its head included.
        bytes: on disk.
        note: one more word, such as its address.
    """

    state: State
    parameters: int
    bytes: int
    note: str = ""


def facts_of_backbone(backbone: Backbone) -> Facts:
    """Facts of the encoder alone, as it lies in memory."""
    weights = list(backbone.model.parameters())
    return Facts(
        "frozen", sum(p.numel() for p in weights), sum(p.numel() * p.element_size() for p in weights)
    )


@dataclass(frozen=True)
class Trunk:
    """The layers below a stack's lowest module: they run without gradients, and their output can be kept.

    Attributes:
        depth: how many.
        layers: of the backbone, in all.
        token_bytes: what their output takes on disk for a token.
    """

    depth: int
    layers: int
    token_bytes: int

    @property
    def of_training(self) -> float:
        """Their share of a training step's products in layers: forward alone, where those above them have as
        many again in backward."""
        return self.depth / (self.depth + 2 * (self.layers - self.depth))

    @property
    def of_evaluation(self) -> float:
        """Their share of a forward pass."""
        return self.depth / self.layers


def trunk_of(stack: Stack, backbone: Backbone) -> Trunk:
    """What lies below all that the stack mounts. Raises ``UserError``: more layers than there are."""
    acting = [layer for node in nodes(stack) for layer in acting_layers(node, backbone.layers)]
    if any(map(inverts, methods_in(stack.parts))):  # an invertible adapter acts on the embeddings
        acting.append(0)
    return Trunk(min(acting, default=backbone.layers), backbone.layers, bytes_a_token(backbone))


def facts_of(plan: Plan, store: Store, evaluation: Evaluation) -> dict[Stack, Facts]:
    """Facts of everything with weights in the evaluation's stack, by place; sizes of what is not trained yet
    are those that it will have, of its head included. Nothing that is in the store is proven for this."""
    planned = {module.address: module for module in plan.modules}
    addresses = plan.addresses[evaluation.seed]
    facts: dict[Stack, Facts] = {}
    assert evaluation.stack is not None
    for node in _flat(nodes(evaluation.stack)):
        if node.module is None:
            continue
        address = addresses[node.module]
        there = store.has(address)
        if is_fuse(undropped(node.part)):
            if there:
                weights = read_tensors(store.path(address) / weights_file_of(planned[address].method))
                fusion = split_fusion(weights)[0].values()
                count, size = sum(t.numel() for t in fusion), sum(t.nbytes for t in fusion)
                facts[node.place] = Facts("reused", count, size, note=f"in {address}")
        elif there:
            manifest = store.manifest(address)
            size = sum(file["bytes"] for file in manifest["files"].values())
            facts[node.place] = Facts("reused", manifest["parameters"], size, note=address)
        else:
            count = parameters_of(plan, planned[address])
            facts[node.place] = Facts("trains", count, 4 * count, note=address)
    return facts


def _flat(found: Iterable[Node]) -> Iterator[Node]:
    for node in found:
        yield node
        for branch in node.branches:
            yield from _flat(branch.nodes)


def parameters_of(plan: Plan, module: ModulePlan) -> int:
    """Parameters that a module will have with its heads; its fusion's not counted."""
    if isinstance(module.method, Full):  # nothing of such a size is made to be counted
        count = sum(p.numel() for p in plan.backbone.model.parameters())
    else:
        fresh = mount(plan.backbone, [Part(module.shown, module.method, None)], seed=("count",))
        count = sum(p.numel() for p in fresh.trainable.values())
    heads = (kind_of(t.task).head(plan.backbone.config) for t in module.tasks)
    return count + sum(p.numel() for head in heads for p in head.parameters())
