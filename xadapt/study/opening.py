"""A trained stack opened as a predictor: from a store, a folder, or the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.own import is_own, version_of
from xadapt.interop import module as _module
from xadapt.kinds import kind_of
from xadapt.mount import Element, mount
from xadapt.stacks.parser import parse
from xadapt.stacks.stack import Stack
from xadapt.store.integrity import MANIFEST
from xadapt.store.maintenance import resolve
from xadapt.store.store import Store
from xadapt.study.module_loader import new_head, trained_head
from xadapt.study.predictor import Predictor
from xadapt.study.wanted_modules import by_expression, exchanged_module
from xadapt.tasks import CATALOGUE
from xadapt.tasks.task import Task


class Module(_module.Module):
    """A trained module with all it stands on. ``from_pretrained`` opens one, ``from_store`` takes one out."""

    def predictor(
        self,
        backbone: Backbone | str | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        lowest: Module | None = None,
    ) -> Predictor:
        """Texts in, answers out.

        Args:
            backbone: opened, or its name; by default the one that the module was trained on, by its name.
            lowest: what takes the place of the lowest module: the language module of another language.
            device, dtype: of a backbone that is named, as ``Backbone.from_pretrained`` has them.

        Raises:
            UserError: a joint of several tasks, a module without a head, another backbone.
        """
        backbone = self._backbone(backbone, device, dtype)
        task = task_of(self.manifest)
        kind = kind_of(task)
        elements = self.elements(backbone)
        if lowest is not None:
            elements = [*lowest.elements(backbone), *elements[1:]]
        mounted = mount(backbone, elements, fold=True)
        if not self.head and any(True for _ in kind.head(backbone.config).parameters()):
            raise UserError(
                f"'{self.expression}' ({self.address}) has no head",
                expected="a module that was imported or trained with its head",
                do="import it with its head, or train a target's module on top of it",
            )
        head = trained_head(backbone, kind, mounted, self.head, self.expression)
        length = min(task.max_length, backbone.max_length)
        return Predictor(self.expression, kind, mounted, head, backbone.tokenizer, length)

    def _backbone(self, wish: Backbone | str | None, device: str, dtype: str) -> Backbone:
        """That of the wish, by default the one that the module was trained on."""
        if isinstance(wish, Backbone):
            return wish
        name = wish or str(self.manifest["backbone"]["name"])
        return Backbone.from_pretrained(name, device=device, dtype=dtype)

    def embedding(
        self, expression: str, task: Task, backbone: Backbone | str | None, *, device: str, dtype: str
    ) -> Predictor:
        """Sentence vectors as a retrieval task, which trains nothing, finds them on top of it."""
        opened = self._backbone(backbone, device, dtype)
        return _embedding(expression, task, opened, self.elements(opened))


def _embedding(expression: str, task: Task, backbone: Backbone, elements: Sequence[Element]) -> Predictor:
    kind = kind_of(task)
    mounted = mount(backbone, elements, fold=True)
    head = new_head(backbone, kind, mounted).to(backbone.device)
    length = min(task.max_length, backbone.max_length)
    return Predictor(expression, kind, mounted, head, backbone.tokenizer, length)


def task_of(manifest: Mapping[str, Any]) -> Task:
    """What a module was trained for, as its own manifest says; the catalogue has what that leaves out.

    Raises:
        UserError: it was trained for several tasks.
    """
    name, determinants = str(manifest["task"]), manifest["determinants"]
    lessons = determinants.get("lessons", [{}])
    if len(lessons) != 1:
        raise UserError(
            f"'{manifest.get('expression')}' is trained for {len(lessons)} tasks at once",
            expected="a module of one task: which head is to answer?",
            do="train the target's module on top of it: 'joint(...) > xnli'",
        )
    lesson, row = lessons[0], CATALOGUE.get(name)
    kept: dict[str, Any] = {
        key: lesson.get(key, getattr(row, key, default))
        for key, default in (("stride", 0), ("unanswerable", False), ("max_length", 128))
    }
    metric = lesson.get("metrics") or (row.metrics[0] if row else "accuracy")
    kind = str(manifest["kind"])
    if is_own(kind) and (now := version_of(kind)) != lesson["kind"]:
        raise UserError(
            f"'{manifest.get('expression')}' was trained with other code of its kind: {lesson['kind']}",
            expected=f"what is here: {now}",
            do="bring that code back, or train it again",
        )
    labels = tuple(manifest["labels"])
    return Task(name, kind, "target", "", ("en",), name, (metric,), labels=labels, **kept)


def load(
    what: str | Path,
    *,
    store: Store | str | Path = ".xadapt",
    backbone: Backbone | str | None = None,
    seed: int | None = None,
    revision: str | None = None,
    language: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> Predictor:
    """A trained stack that takes texts and gives answers.

    Args:
        what: an expression, an address, its first digits or a name, as ``store`` has them; or a folder that
            ``Module.save_pretrained`` wrote, or a hub id such as ``user/module``.
        store: where modules are kept.
        backbone: opened, or its name; by default that of the module; ``pocket`` for one without modules.
        seed: of an expression's module; by default the lowest that the store has.
        revision: of a repository: a branch, tag or commit.
        language: of the texts, where an expression has ``lang(...)``: whose language module stands below.
        device, dtype: of a backbone that is not opened, as ``Backbone.from_pretrained`` has them.

    Raises:
        UserError: nothing that is called so, or several things; what ``Module.predictor`` refuses.
    """
    opened = store if isinstance(store, Store) else Store(store)
    if (stack := _retrieves(str(what))) is not None:
        task = CATALOGUE[stack.target.task]
        if stack.below is not None:
            below = _found(str(stack.below), opened, backbone, seed, revision)
            return below.embedding(str(what), task, backbone, device=device, dtype=dtype)
        name = backbone or "pocket"
        bare = (
            name if isinstance(name, Backbone) else Backbone.from_pretrained(name, device=device, dtype=dtype)
        )
        return _embedding(str(what), task, bare, [])
    module = _found(str(what), opened, backbone, seed, revision)
    lowest = exchanged_module(opened, str(what), module.address, language)
    exchanged = Module.from_store(opened, lowest) if lowest else None
    return module.predictor(backbone, device=device, dtype=dtype, lowest=exchanged)


def _retrieves(what: str) -> Stack | None:
    """An expression whose target trains nothing, such as ``mnli > tatoeba``; None for all else."""
    if what.rpartition(">")[2].strip() not in {t.name for t in CATALOGUE.values() if t.train is None}:
        return None
    return parse(what)


def _found(
    what: str, store: Store, backbone: Backbone | str | None, seed: int | None, revision: str | None
) -> Module:
    path = Path(what).expanduser()
    if (path / MANIFEST).is_file() or what.startswith(("/", "./", "../", "~")):
        return Module.from_pretrained(path)
    own = backbone.name if isinstance(backbone, Backbone) else backbone
    address = by_expression(what, store, backbone=own, seed=seed)
    if address is None and what.count("/") == 1 and " " not in what:
        return Module.from_pretrained(what, revision=revision)
    return Module.from_store(store, address or resolve(store, what))
