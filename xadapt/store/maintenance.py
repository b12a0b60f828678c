"""Keeping a store: what stands on what, removing, sweeping, copying to another store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xadapt.common.errors import UserError, nearest
from xadapt.store.integrity import peek
from xadapt.store.records import ADDRESS
from xadapt.store.store import ModuleInfo, Store


def stands_on(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules that a module was trained on or made of: all addresses among its determinants."""
    found: dict[str, None] = {}

    def look(value: object) -> None:
        if isinstance(value, str) and ADDRESS.fullmatch(value):
            found[value] = None
        elif isinstance(value, Mapping):
            for item in value.values():
                look(item)
        elif isinstance(value, list | tuple):
            for item in value:
                look(item)

    look(manifest["determinants"])
    return tuple(found)


def closure(store: Store, addresses: Iterable[str]) -> tuple[str, ...]:
    """These modules and all they stand on, lowest first; only what the store has is looked into."""
    found: dict[str, None] = {}

    def visit(address: str) -> None:
        if address not in found:
            manifest = peek(store.path(address))
            for below in stands_on(manifest) if manifest else ():
                visit(below)
            found[address] = None

    for address in addresses:
        visit(address)
    return tuple(found)


def resolve(store: Store, word: str, *, digits: int = 4) -> str:
    """The address that a user means: itself, its first digits, or a name.

    Args:
        digits: how many an address is named by at least; fewer do where nothing is changed.

    Raises:
        UserError: none, or several.
    """
    names = store.records.names()
    if word in names:
        return names[word]
    if ADDRESS.fullmatch(word):
        return word
    found = store.addresses(word) if len(word) >= digits else []
    if len(found) == 1:
        return found[0]
    least = f" ({digits} or more)" if digits > 1 else ""
    raise UserError(
        f"{word!r} means {len(found) or 'no'} modules in {store.root}{nearest(word, list(names))}",
        expected=f"an address, its first digits{least} as far as they are unique, or a name",
        do="'xadapt modules' lists what the store has",
    )


def remove(store: Store, address: str, *, force: bool = False) -> None:
    """Take a module away, and its names.

    Args:
        force: also where others stand on it; they stay, and a run that needs it trains it again.

    Raises:
        UserError: there is none, others stand on it, the disk refuses.
    """
    with store.records.held():
        above = [info for info in store.modules() if address in stands_on(peek(info.path) or _NOTHING)]
        if above and not force:
            shown = ", ".join(f"{info.address} ({info.expression})" for info in above[:3])
            raise UserError(
                f"{len(above)} modules stand on {address}: {shown}{'...' if len(above) > 3 else ''}",
                do="remove those first, or give --force",
            )
        there, named = store.remove(address), store.records.unname(address)
        if not there and not named:
            raise UserError(
                f"the store has no module {address}", do="'xadapt modules' lists them", path=store.root
            )


_NOTHING: Mapping[str, Any] = {"determinants": {}}


@dataclass(frozen=True)
class Swept:
    """What ``gc`` removed, or would remove.

    Attributes:
        modules: that no study, copy or name leads to.
        leftovers: checkpoints, temporaries and encoded items that nobody will come back for.
        bytes: of both, on disk.
    """

    modules: tuple[ModuleInfo, ...]
    leftovers: tuple[Path, ...]
    bytes: int


def gc(store: Store, *, dry_run: bool = False) -> Swept:
    """Remove the modules that no kept study refers to, and what stopped runs have left.

    Kept is what a record or a name leads to, with all that it stands on, and what a process holds
    the lock of. Temporaries younger than an hour, which someone may be writing, stay. Of encoded items
    goes what no code can reach any more (see ``Cache.unreachable``).

    Raises:
        UserError: a record is damaged, or there are modules and not one record: then nothing is
            known of what they are for, and nothing is removed.
    """
    with store.records.held():
        records, names, modules = store.records.all(), store.records.names(), store.modules()
        if modules and not records and not names:
            raise UserError(
                f"{store.root} has {len(modules)} modules and no record of a study, so all would be removed",
                do="run your studies again, which reuses the modules and writes the records; "
                "or remove modules by 'xadapt modules rm'",
            )
        roots = [*names.values(), *(address for record in records for address in record.modules)]
        kept = set(closure(store, roots))
        idle = tuple(m for m in modules if m.address not in kept and not store.locks.held(m.address))
        left = tuple(
            path
            for path, _ in store.leftovers(abandoned=True)
            if path.name not in kept and not (ADDRESS.fullmatch(path.name) and store.locks.held(path.name))
        )
        left += tuple(store.cache.unreachable())
        swept = Swept(idle, left, sum(m.bytes for m in idle) + sum(map(bytes_in, left)))
        if not dry_run:
            for module in reversed(idle):
                store.remove(module.address)
            for path in left:
                store.discard(path)
    return swept


def copy(store: Store, address: str, target: Store) -> tuple[str, ...]:
    """Copy a module and all it stands on to another store, lowest first, proven at both ends.

    What the target has already stays, and is proven too. The target keeps a record of the copy.

    Returns:
        the addresses, lowest first.

    Raises:
        UserError: a module is missing or unsound at either end, the disk refuses.
    """
    if store.root.resolve() == target.root.resolve():
        raise UserError("the store cannot be copied to itself", do="name another --to", path=store.root)
    manifest = store.load(address).manifest
    chain = closure(store, [address])
    with copying(target, str(manifest.get("expression", "")), chain):
        for each in chain:
            saved = store.load(each)
            if target.has(each):
                target.load(each)
            else:
                target.take_in(saved.path)
    return chain


@contextmanager
def copying(target: Store, expression: str, chain: Sequence[str]) -> Iterator[None]:
    """Modules come to ``target`` within the block: it keeps a record of them once all are there, and on an
    error none that was not there before. Its ``gc`` waits meanwhile.

    Args:
        expression: of the last of ``chain``, which are addresses, lowest first.
    """
    with target.records.held():
        before = {each for each in chain if target.has(each)}
        try:
            yield
            target.records.keep("copy", [expression], chain, held=True)
        except BaseException:
            with suppress(UserError):  # the error to tell of is the first one
                for each in reversed(chain):
                    if each not in before:
                        target.remove(each)
            raise


def bytes_in(path: Path) -> int:
    """The size of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    total = 0
    for file in files:
        try:
            total += file.lstat().st_size if not file.is_dir() or file.is_symlink() else 0
        except FileNotFoundError:  # being swept by another process
            continue
    return total
