"""A run's modules, loaded once from the store, mounted as its expressions say, and their heads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from xadapt.backbone.backbone import Backbone
from xadapt.common.randomness import seeded
from xadapt.kinds import kind_of
from xadapt.kinds.kind import Kind
from xadapt.kinds.word_head import WordHead
from xadapt.mount import Element, Fold, Mounted, Part, mount
from xadapt.mount.mount_spec import elements
from xadapt.mount.weights import check_backbone, fill
from xadapt.stacks.description import description
from xadapt.stacks.stack import Stack, trains, undropped
from xadapt.store.store import Saved
from xadapt.study.module_plan import ModulePlan
from xadapt.study.state import Run
from xadapt.tasks import Task


def load_module(run: Run, address: str) -> Saved:
    """A module, proven on its first load in this run.

    Raises:
        UserError: it is not there, not sound, or was trained on another backbone.
    """
    if address not in run.modules:
        saved = run.store.load(address)
        check_backbone(saved, run.backbone)
        run.modules[address] = saved
    return run.modules[address]


def load_elements(run: Run, stack: Stack | None, seed: int) -> list[Element]:
    """A stack as ``mount`` takes it; a fuse that nothing stands on yet is still to be trained."""
    return load_described(run, description(stack, run.plan.addresses[seed], seed))


def load_described(run: Run, described: Any) -> list[Element]:
    """What a description (``stacks.description``) says, as ``mount`` takes it."""
    return elements(described, partial(load_module, run))


def mount_stack(run: Run, stack: Stack | None, seed: int) -> Mounted:
    """A trained stack, folded; None for the bare backbone."""
    return mount(run.backbone, load_elements(run, stack, seed), fold=True)


def mount_fresh(run: Run, module: ModulePlan) -> Mounted:
    """A fresh module on top of what it stands on; with it the fusion directly below, if there is one."""
    below = load_elements(run, module.need.below, module.seed)
    fresh = Part(module.shown, module.method, None)
    return mount(run.backbone, [*below, fresh], seed=module.drawn_from, fold=fold_for(run.backbone))


def fold_for(backbone: Backbone) -> Fold:
    """How what lies below a module in training runs: inside the weights, or, where these are of bf16, beside
    them, so that a module learns on what was trained and not on what rounding left of it. In evaluation all
    is inside: it costs no time, and what rounding changes is less than bf16 changes anyway
    (benchmarks/quality.py)."""
    return True if backbone.dtype == torch.float32 else "cat"


def new_head(backbone: Backbone, kind: Kind, mounted: Mounted) -> nn.Module:
    """A fresh head; one that names words has the encoder's own, and starts as the checkpoint's."""
    head = kind.head(backbone.config)
    for part in head.modules():
        if isinstance(part, WordHead):
            words = mounted.model.embeddings.word_embeddings.weight
            part.tie(words, backbone.lm_head(), _as_heads_run(mounted.inverse))
    return head


def _as_heads_run(inverse: nn.Module | None) -> nn.Module | None:
    """An invertible adapter for a head, which runs in float32: a frozen one in bf16 is copied."""
    if inverse is None or all(p.dtype == torch.float32 for p in inverse.parameters()):
        return inverse
    return copy.deepcopy(inverse).float()


def trained_head(
    backbone: Backbone, kind: Kind, mounted: Mounted, weights: Mapping[str, Tensor], label: str
) -> nn.Module:
    """A head with a module's weights, on the backbone's device.

    Raises:
        UserError: weights missing or too many, or another shape; ``label`` says whose.
    """
    head = new_head(backbone, kind, mounted)
    fill(dict(head.named_parameters()), weights, f"head of {label}")
    return head.to(backbone.device)


def first_head(run: Run, module: ModulePlan, task: Task, mounted: Mounted) -> nn.Module:
    """The head that training starts with: a fresh one, named by seed, kind and labels, or where its kind
    ``continues`` that of the module directly below.

    Of a joint below it is the head of the one task of that kind. Where several tasks have one, or what is
    directly below is a merge or a fusion, whose modules have a head each for states that no longer are,
    the head is fresh; so it is on an imported module that came without one.
    """
    kind = kind_of(task)
    with seeded("head", module.seed, task.kind, *task.labels):
        head = new_head(run.backbone, kind, mounted)
    if kind.continues and (weights := _head_below(run, module, task.kind)):
        fill(dict(head.named_parameters()), weights, f"the head that '{module.shown}' starts with")
    return head


def _head_below(run: Run, module: ModulePlan, kind: str) -> Mapping[str, Tensor]:
    """By the head's own names; empty where there is none."""
    below = module.need.below
    if below is None or not trains(top := undropped(below.top)):
        return {}
    place = Stack((*below.parts[:-1], top))
    saved = load_module(run, run.plan.addresses[module.seed][place])
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
