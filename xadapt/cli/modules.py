"""``xadapt modules``: what the store holds, and what can be done with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.filesize import decimal

from xadapt.cli.checks import check_store, words
from xadapt.cli.exchange import Export, Import, export_one, import_one
from xadapt.common.console import print_plain
from xadapt.common.errors import UserError
from xadapt.common.output import check_place, write_output

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.store.store import ModuleInfo, Store

LEFTOVERS = 5  # of what stopped runs have left, so many lines
Words = tyro.conf.Positional[tuple[str, ...]]


@dataclass(frozen=True)
class Ls:
    """List the modules, what tells them apart, and what stopped runs have left. 'ls' may be left out:
    'xadapt modules --task xnli'."""

    task: str | None = None
    """trained for one of these, such as xnli,udpos"""
    method: str | None = None
    """of one method: lora for every lora, "lora(r=16)" for those alone"""
    name: str | None = None
    """that have this name; * stands for anything"""
    since: str | None = None
    """made at that time or later: 2026-11-01, or 12h, 7d, 2w ago"""
    newest: int = 100
    """show so many of them; 0 for all"""
    json: Path | None = None
    """write all of them to this file as well; - for standard output, tables then go to standard error"""


@dataclass(frozen=True)
class Show:
    """Print what a module's manifest says, and what it stands on."""

    module: tyro.conf.Positional[str]
    """an address, its first digits, a name, or an expression such as "mnli > xnli" """
    seed: int | None = None
    """of an expression's module, where there are several"""
    json: Path | None = None
    """write the whole manifest to this file as well; - for standard output"""


@dataclass(frozen=True)
class Verify:
    """Read every file and check it against its manifest."""


@dataclass(frozen=True)
class Rm:
    """Remove modules; those that others stand on only with --force."""

    modules: Words
    """addresses, their first digits, names, or expressions"""
    force: bool = False
    """also what other modules stand on"""


@dataclass(frozen=True)
class Gc:
    """Remove the modules that no kept study, copy or name refers to, and what stopped runs have left."""

    dry_run: bool = False
    """show what would go and stop"""


@dataclass(frozen=True)
class Cp:
    """Copy modules, with all they stand on, to another store; verified at both ends."""

    modules: Words
    """addresses, their first digits, names, or expressions"""
    to: Path
    """the other store; made if it is not there"""


@dataclass(frozen=True)
class ListStudies:
    """List the studies whose modules 'gc' keeps."""


@dataclass(frozen=True)
class Forget:
    """Drop the records of studies; 'gc' may then take what only they kept."""

    studies: Words
    """keys, as 'studies' lists them"""


Action = (
    Annotated[Ls, tyro.conf.subcommand("ls")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Rm, tyro.conf.subcommand("rm")]
    | Annotated[Gc, tyro.conf.subcommand("gc")]
    | Annotated[Cp, tyro.conf.subcommand("cp")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[ListStudies, tyro.conf.subcommand("studies")]
    | Annotated[Forget, tyro.conf.subcommand("forget")]
)


@dataclass(frozen=True)
class Modules:
    """Show what the store holds; prove, remove, copy, import and export modules."""

    action: Action = field(default_factory=Ls)
    store: Path = Path(".xadapt")
    """where modules and scores are kept"""


def modules(options: Modules, console: Console) -> None:
    """``xadapt modules ACTION``"""
    from xadapt.store.store import Store

    store = Store(options.store)
    check_store(options.store, reading=_reads(options))
    match options.action:
        case Ls():
            _ls(store, options.action, console)
        case Show():
            _show(store, options.action, console)
        case Verify():
            _verify(store, console)
        case Rm(named, force):
            _rm(store, named, force, console)
        case Gc(dry_run):
            _gc(store, dry_run, console)
        case Cp(named, to):
            check_store(to)
            _cp(store, named, Store(to), console)
        case Import() as wanted:
            import_one(store, wanted, console)
        case Export() as wanted:
            export_one(store, wanted, console)
        case ListStudies():
            _studies(store, console)
        case Forget(keys):
            _forget(store, keys, console)


def _reads(options: Modules) -> bool:
    """Whether there must be a store already: all but importing, and listing where none is named, need one."""
    if isinstance(options.action, Ls):
        return options.store != Modules().store
    return not isinstance(options.action, Import)


def _ls(store: Store, wanted: Ls, console: Console) -> None:
    from xadapt.report.module_tables import module_table, modules_json
    from xadapt.store.maintenance import bytes_in
    from xadapt.study.versions import outdated
    from xadapt.study.wanted_modules import moment, select

    if wanted.json is not None:
        check_place(wanted.json)
    if wanted.newest < 0:
        raise UserError(f"--newest {wanted.newest}", expected="how many to show; 0 for all")
    since = None if wanted.since is None else moment(wanted.since, "--since")
    names: dict[str, list[str]] = {}
    for name, address in store.records.names().items():
        names.setdefault(address, []).append(name)
    every = store.modules()
    found = select(
        every,
        names,
        task=None if wanted.task is None else words(wanted.task, "--task"),
        method=None if wanted.method is None else [wanted.method],
        name=wanted.name,
        since=since,
    )
    if wanted.json is not None:
        write_output(wanted.json, {"modules": modules_json(found, names)})
    shown = found[-wanted.newest :]
    console.print(module_table(shown, names, f"modules in {store.root}"))
    of = "" if len(found) == len(every) else f" of {len(every):,}"
    print_plain(console, f"{len(found):,}{of} modules, {decimal(sum(m.bytes for m in found))}")
    if older := len(found) - len(shown):
        say = f"{older:,} older ones are not shown: --newest 0 shows all; --task, --method, --since fewer"
        console.print(say, highlight=False)
    if old := sum(map(outdated, found)):
        console.print(
            f"{old:,} of an earlier version of the training: runs train what they need of them again"
        )
    left = store.leftovers()
    for path, what in left[:LEFTOVERS]:
        print_plain(console, f"also there: {path.relative_to(store.root)}, {decimal(bytes_in(path))}: {what}")
    if len(left) > LEFTOVERS:
        print_plain(console, f"and {len(left) - LEFTOVERS:,} more that stopped runs have left")


def _show(store: Store, wanted: Show, console: Console) -> None:
    from xadapt.report.sheet import Sheet
    from xadapt.store.maintenance import stands_on
    from xadapt.store.summary import facts
    from xadapt.study.wanted_modules import the_module

    address = the_module(store, wanted.module, wanted.seed, digits=1)
    if not store.has(address):
        raise UserError(
            f"the store has no module {address}", do="'xadapt modules' lists them", path=store.root
        )
    manifest = store.manifest(address)
    if wanted.json is not None:
        check_place(wanted.json)
        write_output(wanted.json, manifest)
    rows = {"address": address, **facts(manifest)}
    rows["stands on"] = ", ".join(stands_on(manifest)) or "the bare backbone"
    rows["names"] = ", ".join(n for n, a in store.records.names().items() if a == address)
    rows["kept by studies"] = ", ".join(s.key for s in store.records.all() if address in s.modules)
    for name, file in manifest["files"].items():
        rows[name] = f"{decimal(file['bytes'])}, sha256 {file['sha256'][:16]}..."
    sheet = Sheet("of the module", "its manifest says")
    for key, value in rows.items():
        if value:
            sheet.add(key, f"{value:,}" if type(value) is int else str(value))
    console.print(sheet)


def _verify(store: Store, console: Console) -> None:
    from rich.markup import escape

    results = store.verify()
    for address, expression, problem in results:
        state = "[green]ok[/]" if problem is None else "[red]broken[/]"
        console.print(f"{state}  {address}  {escape(expression)}")
        if problem is not None:
            console.print(f"        {problem}", markup=False)
    broken = sum(problem is not None for _, _, problem in results)
    console.print(f"{len(results)} modules, {broken} broken")
    if broken:
        raise UserError(
            f"{broken} of {len(results)} modules in {store.root} are broken",
            do="remove their folders; the next run trains them again",
        )


def _rm(store: Store, named: tuple[str, ...], force: bool, console: Console) -> None:
    from xadapt.store.maintenance import remove
    from xadapt.study.wanted_modules import the_module

    # All words are understood before the first module goes.
    addresses = dict.fromkeys(the_module(store, word) for word in _some(named))
    for address in addresses:
        remove(store, address, force=force)
        console.print(f"removed {address}")


def _gc(store: Store, dry_run: bool, console: Console) -> None:
    from xadapt.store.maintenance import gc

    swept = gc(store, dry_run=dry_run)
    would = "would remove" if dry_run else "removed"
    for module in swept.modules:
        console.print(f"{would} {_line(module)}", markup=False)
    for path in swept.leftovers:
        console.print(f"{would} {path.relative_to(store.root)}", markup=False)
    count = len(swept.modules)
    console.print(f"{would} {count} modules and {len(swept.leftovers)} leftovers, {decimal(swept.bytes)}")


def _cp(store: Store, named: tuple[str, ...], target: Store, console: Console) -> None:
    from xadapt.store.maintenance import copy
    from xadapt.study.wanted_modules import the_module

    for address in dict.fromkeys(the_module(store, word) for word in _some(named)):
        for each in copy(store, address, target):
            console.print(f"{each} is in {target.root}", markup=False)


def _studies(store: Store, console: Console) -> None:
    from xadapt.report.module_tables import kept_table

    console.print(kept_table(store.records.all(), f"studies that {store.root} keeps modules for"))


def _forget(store: Store, keys: tuple[str, ...], console: Console) -> None:
    for key in _some(keys):
        if not store.records.forget(key):
            raise UserError(
                f"{store.root} has no record of a study {key}", do="'xadapt modules studies' lists them"
            )
        console.print(f"forgot {key}; 'xadapt modules gc' removes what only it kept")


def _some(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words:
        raise UserError("nothing is named", expected="one or more", do="'xadapt modules' lists what there is")
    return words


def _line(module: ModuleInfo) -> str:
    return f"{module.address}  {module.expression}  (seed {module.seed}, {decimal(module.bytes)})"
