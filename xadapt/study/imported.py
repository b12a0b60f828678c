"""Modules from elsewhere that stand in expressions under names of their own. No torch.

``wiki_de`` and ``wiki_en`` are also a set of language modules: ``wiki[de]``, ``wiki``, and ``lang(wiki)``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from xadapt.common.errors import UserError
from xadapt.stacks.methods import Method, parse_method
from xadapt.stacks.stack import Stack
from xadapt.stacks.term import Term
from xadapt.store.integrity import peek
from xadapt.store.store import Store
from xadapt.tasks import Catalogue, Task
from xadapt.tasks.languages import set_of


@dataclass(frozen=True)
class Imported:
    """A module from elsewhere that the store has under a name; it stands where a task stands.

    Attributes:
        address: where the store has it.
        task: the row of the task that it was imported for.
        method: what it is mounted as.
    """

    address: str
    task: Task
    method: Method


def imported_in(store: Store, catalogue: Catalogue) -> dict[str, Imported]:
    """The modules that the store has under names of their own."""
    named: dict[str, Imported] = {}
    for name, address in store.records.names().items():
        manifest = peek(store.path(address))
        if manifest is not None and manifest["task"] in catalogue:
            task = replace(catalogue[manifest["task"]], labels=tuple(manifest.get("labels", ())))
            named[name] = Imported(address, task, parse_method(manifest["method"]))
    return named


def imported_as(imported: Mapping[str, Imported], term: Term, catalogue: Catalogue) -> Imported | None:
    """The imported module that a term means, if it means one.

    Raises:
        UserError: its name is a task's as well; or that of a set without a module in its language.
    """
    name = term.task
    if name in catalogue:
        if name not in imported:
            return None
        raise UserError(
            f"{name!r} is both a task and an imported module ({imported[name].address})",
            expected="one thing of that name",
            do=f"rename the task in your file of tasks, or 'xadapt modules rm {name}' and import the "
            "module again under another --name",
        )
    if name in imported:
        return imported[name]
    found = {lang: imported[f"{name}_{lang}"] for lang in languages_of(imported, name)}
    if found and (len(term.reads) > 1 or term.reads[0] not in found):
        raise UserError(
            f"{term.plain} would be the imported module {name}_{'+'.join(term.reads)}, which is not there",
            expected=f"one of {', '.join(f'{name}_{lang}' for lang in found)}",
            do=f"import it under that name, or name the language that there is: {term.of(next(iter(found)))}",
        )
    return found.get(term.reads[0])


def filled(stack: Stack, imported: Mapping[str, Imported], catalogue: Catalogue) -> Stack:
    """The stack with the methods of imported modules, which nobody has to write."""

    def method_of(term: Term) -> Method | None:
        found = imported_as(imported, term, catalogue)
        return found.method if found else None

    return stack.with_methods_of(method_of) if imported else stack


def names_of(imported: Iterable[str]) -> tuple[str, ...]:
    """What expressions can call imported modules: their names, and those of sets of language modules."""
    every = tuple(imported)
    return (*every, *dict.fromkeys(stem for name in every if (stem := set_of(name))))


def languages_of(imported: Collection[str], name: str) -> tuple[str, ...]:
    """The languages of a set of language modules: ``de`` and ``en`` of ``wiki``."""
    return tuple(sorted(each.rpartition("_")[2] for each in imported if set_of(each) == name))
