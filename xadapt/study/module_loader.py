"""A study's modules, loaded once from the store, and mounted as its expressions say."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from xadapt.backbone.backbone import Backbone
from xadapt.common.randomness import seeded
from xadapt.kinds import kind_of
from xadapt.kinds.kind import Kind
from xadapt.kinds.mlm import WordHead
from xadapt.mount import Element, Fold, Mounted, Part, mount
from xadapt.mount.mount_spec import description, elements
from xadapt.mount.weights import check_backbone, fill
from xadapt.stacks.stack import Stack, inner, trains
from xadapt.store.store import Saved, Store
from xadapt.study.module_plan import ModulePlan
from xadapt.study.plan import Plan
from xadapt.tasks import Task


class Shelf:
    """What one run has loaded."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan, self.store = plan, store
        self.backbone: Backbone = plan.backbone
        self._loaded: dict[str, Saved] = {}

    def load(self, address: str) -> Saved:
        """A module, proved on its first load in this run."""
        if address not in self._loaded:
            saved = self.store.load(address)
            check_backbone(saved, self.backbone)
            self._loaded[address] = saved
        return self._loaded[address]

    def elements(self, stack: Stack | None, seed: int) -> list[Element]:
        """A stack as ``mount`` takes it; a fuse that nothing stands on yet is still to be trained."""
        return elements(description(stack, self.plan.addresses[seed], seed), self.load)

    @property
    def fold(self) -> Fold:
        """How what is trained runs: the cheapest way with the same outputs. In weights of bf16 a small
        update would be rounded away; there it stays beside the weight."""
        return True if self.backbone.dtype == torch.float32 else "cat"

    def mounted(self, stack: Stack | None, seed: int) -> Mounted:
        """A trained stack, folded; None for the bare backbone."""
        return mount(self.backbone, self.elements(stack, seed), fold=self.fold)

    def started(self, module: ModulePlan) -> Mounted:
        """A fresh module on top of what it stands on; with it the fusion directly below, if there is one."""
        below = self.elements(module.need.below, module.seed)
        fresh = Part(module.shown, module.method, None)
        return mount(self.backbone, [*below, fresh], seed=module.drawn_from, fold=self.fold)

    def head(self, kind: Kind, mounted: Mounted) -> nn.Module:
        """A fresh head; one that names words has the encoder's own, and starts as the checkpoint's."""
        head = kind.head(self.backbone.config)
        for part in head.modules():
            if isinstance(part, WordHead):
                part.tie(mounted.model.embeddings.word_embeddings.weight, self.backbone.lm_head())
        return head

    def first_head(self, module: ModulePlan, task: Task, mounted: Mounted) -> nn.Module:
        """The head that training starts with: a fresh one, named by seed, kind and labels, or where its kind
        ``continues`` that of the module directly below.

        Of a joint below it is the head of the one task of that kind. Where several tasks have one, or what is
        directly below is a merge or a fusion, whose modules have a head each for states that no longer are,
        the head is fresh; so it is on an imported module that came without one.
        """
        kind = kind_of(task)
        with seeded("head", module.seed, task.kind, *task.labels):
            head = self.head(kind, mounted)
        if kind.continues and (weights := self._head_below(module, task.kind)):
            fill(dict(head.named_parameters()), weights, f"the head that '{module.shown}' starts with")
        return head

    def _head_below(self, module: ModulePlan, kind: str) -> Mapping[str, Tensor]:
        """By the head's own names; empty where there is none."""
        below = module.need.below
        if below is None or not trains(top := inner(below.top)):
            return {}
        place = Stack((*below.parts[:-1], top))
        saved = self.load(self.plan.addresses[module.seed][place])
        if saved.manifest["kind"] == kind:
            return saved.head
        if saved.manifest["kind"] != "joint":
            return {}
        alike = [row["task"] for row in saved.manifest["determinants"]["lessons"] if row["kind"] == kind]
        prefix = f"{alike[0]}/" if len(alike) == 1 else None
        return {
            name.removeprefix(prefix): weight
            for name, weight in saved.head.items()
            if prefix is not None and name.startswith(prefix)
        }
