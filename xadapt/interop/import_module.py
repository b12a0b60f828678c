"""A folder of another library becomes a module of the store, under a name that can stand in expressions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.files import explained, file_digest
from xadapt.common.identity import digest
from xadapt.interop.adapters_in import read_adapters
from xadapt.interop.folder import ForeignModule, read_config
from xadapt.interop.heads import FORMS, from_flex, from_hf, ordered
from xadapt.interop.peft_in import read_peft
from xadapt.kinds import kind_of
from xadapt.mount import Part, mount
from xadapt.mount.weights import fill, weights_file_of
from xadapt.stacks.combinations import KEYWORDS
from xadapt.stacks.methods import METHODS
from xadapt.store.integrity import address_of
from xadapt.store.records import check_name
from xadapt.store.store import Saved, Store
from xadapt.tasks import CATALOGUE, Task, task_named
from xadapt.tasks.languages import set_of

# Raised when the same folder would give other weights than before.
IMPORT_VERSION = 1


def import_module(
    folder: Path,
    store: Store,
    backbone: Backbone,
    *,
    task: str,
    name: str,
    labels: Sequence[str] | None = None,
    with_head: bool = True,
    any_base: bool = False,
) -> Saved:
    """Import a PEFT LoRA folder, or a bottleneck of the library ``adapters``.

    It is mounted once to prove that it fits and acts. Its address is a hash of the folder's content,
    the backbone and the task; the name leads to it, and keeps it from ``gc``.

    Args:
        backbone: in float32.
        task: whose kind, labels and metric it has.
        name: what expressions call it.
        labels: what the rows of its head stand for, in order; where the folder does not say.
        with_head: without, it can stand below other modules only.
        any_base: do not compare the name of the backbone that it was trained on.

    Raises:
        UserError: what cannot be represented, does not fit, changes nothing, or is pickled.
    """
    row = task_named(task)
    check_name(name)
    if name in (*CATALOGUE, *KEYWORDS, *METHODS):
        meaning = "a task" if name in CATALOGUE else "a word of expressions"
        raise UserError(
            f"{name!r} is {meaning}, so it cannot be the name of a module",
            expected="a name that is free",
            do="take another --name",
        )
    _check_set(name, store)
    if backbone.dtype != torch.float32:
        raise ValueError("a module is imported on a backbone in float32")
    foreign = _read(folder, backbone, with_head)
    if not any_base:
        _same_base(foreign, backbone, folder)
    head = _head(foreign, row, backbone, labels, folder) if with_head and foreign.head else {}
    mounted = mount(backbone, [Part(name, foreign.method, foreign.weights)])
    determinants: dict[str, Any] = {
        "imported": {"from": foreign.source, "version": IMPORT_VERSION, "content": _content(folder)},
        "backbone": backbone.fingerprint,
        "below": None,
        "task": {"name": row.name, "kind": row.kind, "labels": list(row.labels)},
        "method": str(foreign.method),
        "head": bool(head),
        "order": list(labels) if labels else None,
    }
    address = address_of(determinants)
    tensors = [*foreign.weights.values(), *head.values()]
    manifest = {
        "determinants": determinants,
        "expression": name,
        "task": row.name,
        "kind": row.kind,
        "labels": list(row.labels),
        "method": str(foreign.method),
        "seed": None,
        "backbone": {"name": backbone.name, "fingerprint": backbone.fingerprint},
        "data": {"source": f"imported from {foreign.source}", "folder": folder.name, "base": foreign.base},
        "training": {"seconds": 0.0, "steps": 0},
        "parameters": sum(t.numel() for t in tensors),
    }
    store.records.name(name, address)  # first, so that gc does not take the module at once
    if store.has(address):
        return store.load(address)
    return store.write(
        address,
        weights=foreign.weights,
        head=head,
        manifest=manifest,
        config=mounted.config,
        weights_file=weights_file_of(foreign.method),
    )


def _check_set(name: str, store: Store) -> None:
    """Refuse a name that could be read in two ways: ``mlm_de`` beside ``mlm[de]``, ``wiki`` beside
    ``wiki_de``."""
    own, names = set_of(name), store.records.names()
    if own in CATALOGUE:
        raise UserError(
            f"{name!r} reads as a module of the task {own}, in one language",
            expected="a name of a set of language modules, such as wiki in wiki_de",
            do="take another --name",
        )
    if clash := [other for other in names if other == own or set_of(other) == name]:
        raise UserError(
            f"{name!r} beside {clash[0]!r}: a module and a set of language modules would have one name",
            do="take another --name",
        )


def _read(folder: Path, backbone: Backbone, with_head: bool) -> ForeignModule:
    """The folder in whichever of the two formats it is."""
    with explained(folder, "read"):
        there = folder.is_dir() and (folder / "adapter_config.json").is_file()
    if not there:
        raise UserError(
            "not a module's folder",
            expected="adapter_config.json with adapter_model.safetensors (PEFT) or adapter.safetensors",
            path=folder,
        )
    if "peft_type" in read_config(folder / "adapter_config.json"):
        return read_peft(folder, backbone)
    return read_adapters(folder, backbone, with_head=with_head)


def _same_base(foreign: ForeignModule, backbone: Backbone, folder: Path) -> None:
    """Refuse a module that names another backbone. Names may differ in where the checkpoint lies."""
    own = backbone.name.rstrip("/").rpartition("/")[2].lower()
    if not foreign.base or foreign.base.rstrip("/").rpartition("/")[2].lower() != own:
        raise UserError(
            f"trained on {foreign.base!r}" if foreign.base else "the folder names no backbone",
            expected=f"{backbone.name!r}",
            do="name its backbone by --backbone; if this is the same checkpoint under another name, "
            "give --any-base",
            path=folder,
        )


def _head(
    foreign: ForeignModule, task: Task, backbone: Backbone, labels: Sequence[str] | None, folder: Path
) -> dict[str, Tensor]:
    if task.kind not in FORMS:
        raise UserError(
            f"{task.name} is of the kind {task.kind}, which has no head that could be imported",
            expected=f"a task of the kind {', '.join(FORMS)}",
            do="leave the head out by --no-head",
        )
    form = FORMS[task.kind]
    if foreign.flex is not None:
        head = from_flex(form, foreign.head, foreign.flex, folder)
    else:
        head = from_hf(form, foreign.head, folder)
    head = {key: tensor.float() for key, tensor in head.items()}
    head = ordered(form, head, task, labels or foreign.labels, folder)
    fill(dict(kind_of(task).head(backbone.config).named_parameters()), head, f"the head in {folder}")
    return head


def _content(folder: Path) -> str:
    """A hash of the files that a module can consist of."""
    with explained(folder, "read"):
        files = {
            path.name: file_digest(path)
            for path in sorted(folder.iterdir())
            if path.name in ("adapter_config.json", "head_config.json") or path.suffix == ".safetensors"
        }
    return digest(files)
