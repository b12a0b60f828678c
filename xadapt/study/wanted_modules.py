"""Modules of a store, by what people call them: an expression, a task, a method, a name, a time. No torch."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from xadapt.common.errors import UserError, nearest
from xadapt.stacks.methods import parse_method
from xadapt.stacks.parser import parse
from xadapt.stacks.stack import Stack
from xadapt.stacks.term import Term
from xadapt.store.maintenance import closure, resolve
from xadapt.store.store import Store
from xadapt.store.summary import ModuleInfo
from xadapt.study.choosing import listed
from xadapt.study.imported import filled, imported_as, imported_in, languages_of
from xadapt.tasks import CATALOGUE

SHOWN = 5  # of several modules that a word means
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def the_module(store: Store, word: str, seed: int | None = None, *, digits: int = 4) -> str:
    """The address of the one module that a word means: an address, the beginning of one, a name, or an
    expression.

    Args:
        seed: of an expression's module.
        digits: how many an address is named by at least.

    Raises:
        UserError: none, or several; what tells these apart is said.
    """
    return by_expression(word, store, seed=seed, only=True) or resolve(store, word, digits=digits)


def by_expression(
    word: str, store: Store, *, backbone: str | None = None, seed: int | None = None, only: bool = False
) -> str | None:
    """The address of the one module that a store has of an expression; None for what is no expression.

    Args:
        backbone: its name; by default any.
        seed: by default the lowest that the store has.
        only: without a seed, refuse several instead.

    Raises:
        UserError: none, or several that differ in more than the seed.
    """
    if word in store.records.names():
        return None
    try:
        wanted = parse(word).plain
    except UserError:
        if any(sign in word for sign in ">(["):
            raise
        return None
    if any(term.task not in CATALOGUE for term in wanted.parts if isinstance(term, Term)):
        imported = imported_in(store, CATALOGUE)
        wanted = filled(wanted, imported, CATALOGUE)
        if len(wanted) == 1 and (one := imported_as(imported, wanted.target, CATALOGUE)):
            return one.address
    plain = len(wanted.parts) == 1 and not any(sign in word for sign in "([@")
    modules = [] if plain and re.fullmatch(r"[0-9a-f]{4,20}", word) else store.modules()
    if plain and word not in CATALOGUE and word not in {info.task for info in modules}:
        return None  # an address or a name looks like a task's name
    modules = modules or store.modules()
    held = [info for info in modules if backbone in (None, info.backbone) and _is(info, wanted)]
    seeds = sorted({info.seed for info in held if info.seed is not None})
    if seed is None and not only:
        seed_wanted = next(iter(seeds), None)
        chosen = [info for info in held if info.seed == seed_wanted]
    else:
        chosen = [info for info in held if seed in (None, info.seed)]
    if len(chosen) == 1:
        return chosen[0].address
    if not chosen:
        raise UserError(
            f"'{word}'" + (f" of seed {seed}" if seed is not None else "") + f" is not in {store.root}",
            expected=f"a seed of {', '.join(map(str, seeds))}" if seeds else "a stack that was trained there",
            do=f'train it: xadapt run "{_evaluable(word, wanted)}", or name its store',
        )
    more = f"\n    and {len(chosen) - SHOWN} more" if len(chosen) > SHOWN else ""
    raise UserError(
        f"'{word}' means {len(chosen)} modules in {store.root}:"
        + "".join(f"\n    {_told_apart(info)}" for info in chosen[:SHOWN])
        + more,
        expected="one",
        do="give its address, or " + ("the seed" if len(seeds) > 1 and seed is None else "the backbone"),
    )


def exchanged_module(store: Store, word: str, address: str, language: str | None) -> str | None:
    """The address of what takes the place of the lowest module where ``word`` is an expression with
    ``lang(...)``; None where nothing does.

    Args:
        address: of the module that ``word`` means.
        language: whose language module is to stand there.

    Raises:
        UserError: no language for ``lang(...)``, or one without; none that was trained alike.
    """
    term = parse(word).exchanged if "lang(" in word else None
    if (term is None) is not (language is None):
        raise UserError(
            f"'{word}' stands on a language module: of which language?"
            if term
            else f"a language, {language}, for '{word}', which has no lang(...) and is the same in all",
            do="give language='de', say, or --lang de" if term else "leave it out",
        )
    if term is None or language is None or (language,) == term.reads:
        return None
    return _language_module(store, closure(store, [address])[0], term, language)


def _language_module(store: Store, address: str, term: Term, language: str) -> str:
    """The address of the module of another language: one that is trained as that of the term's own language,
    but for the language of its data; of imported ones the one of that name.

    Args:
        address: of the module of the term's own language.

    Raises:
        UserError: there is none.
    """
    imported = imported_in(store, CATALOGUE)
    if term.task not in CATALOGUE:
        found = {lang: imported[f"{term.task}_{lang}"].address for lang in languages_of(imported, term.task)}
    else:
        own = _but_language(store.manifest(address)["determinants"])
        alike = ((info, store.manifest(info.address)) for info in store.modules() if info.task == term.task)
        found = {
            "+".join(manifest["data"]["languages"]): info.address
            for info, manifest in alike
            if _but_language(manifest["determinants"]) == own
        }
    if language not in found:
        raise UserError(
            f"{store.root} has no {term.of(language)} that was trained as the {term.plain} below",
            expected=f"one of {', '.join(sorted(found))}",
            do="train it, with the study's own settings, or for what stands in its place open it by "
            "Study(...).predictor(language=...)",
        )
    return found[language]


def _but_language(determinants: Mapping[str, Any]) -> dict[str, Any]:
    """What determines a module, but for the language of its data."""
    lessons = [
        {name: value for name, value in lesson.items() if name not in ("train", "dev_in")}
        for lesson in determinants.get("lessons", ())
    ]
    return {**determinants, "lessons": lessons}


def select(
    modules: Iterable[ModuleInfo],
    names: Mapping[str, Sequence[str]],
    *,
    task: Sequence[str] | None = None,
    method: Sequence[str] | None = None,
    name: str | None = None,
    since: datetime.datetime | None = None,
) -> list[ModuleInfo]:
    """Those of the modules that are all that is asked for, in their order.

    Args:
        names: by address, those that the user gave.
        task: that they were trained for, one of these.
        method: one of these; ``lora`` is also ``lora(r=16)``.
        name: one of theirs; ``*`` stands for anything.
        since: when they were made, or later; with a time zone.

    Raises:
        UserError: no module has such a task, method or name.
    """
    every = list(modules)
    _known("task", task, {info.task for info in every})
    methods = {info.method for info in every}
    _known("method", method, methods | {one.partition("(")[0] for one in methods})
    if name is not None and not any(fnmatchcase(one, name) for some in names.values() for one in some):
        known = [one for some in names.values() for one in some]
        raise UserError(
            f"no module has the name {name!r}{nearest(name, known)}",
            expected=listed(known) if known else "a name: 'xadapt modules import' gives one",
        )
    return [
        info
        for info in every
        if (task is None or info.task in task)
        and (method is None or info.method in method or info.method.partition("(")[0] in method)
        and (name is None or any(fnmatchcase(one, name) for one in names.get(info.address, ())))
        and (since is None or _made(info) >= since)
    ]


def moment(text: str, option: str) -> datetime.datetime:
    """A time: ``2026-11-01``, ``2026-11-01T12:30`` by this clock, or ``90m``, ``12h``, ``7d``, ``2w`` ago.

    Raises:
        UserError: it is none of these.
    """
    if found := re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip(), re.ASCII):
        ago = datetime.timedelta(**{_UNITS[found[2]]: int(found[1])})
        return datetime.datetime.now(datetime.UTC) - ago
    try:
        return datetime.datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise UserError(
            f"{option} {text!r} is no time", expected="2026-11-01, 2026-11-01T12:30, or 90m, 12h, 7d, 2w ago"
        ) from None


def as_typed(info: ModuleInfo) -> str:
    """A module's expression as a user would write it for its method: without the method where it is that."""
    return (
        re.sub(rf"@{re.escape(info.method)}(?![(\w])", "", info.expression)
        if info.method
        else info.expression
    )


def _evaluable(word: str, wanted: Stack) -> str:
    """An expression that ``xadapt run`` takes and that trains the wanted one: a target on top."""
    try:
        row = CATALOGUE.get(wanted.target.task)
    except UserError:  # a combination or a language module
        return f"{word} > xnli"
    return word if row is None or row.role == "target" else f"{word} > xnli"


def _is(info: ModuleInfo, wanted: Stack) -> bool:
    """Whether a module is what an expression asks for, methods that it does not name being the module's."""
    try:
        return str(wanted.with_method(parse_method(info.method))) == info.expression
    except UserError:  # imported, by a method that has no word here
        return False


def _told_apart(info: ModuleInfo) -> str:
    seed = "" if info.seed is None else f"seed {info.seed}, "
    trained = "" if info.steps is None or info.lr is None else f", {info.steps:,} steps, lr {info.lr:g}"
    return f"{info.address} ({seed}{info.method} on {info.backbone}, {info.data}{trained}, dev {info.dev})"


def _known(what: str, wanted: Sequence[str] | None, known: set[str]) -> None:
    for word in wanted or ():
        if word not in known:
            raise UserError(
                f"no module has the {what} {word!r}{nearest(word, sorted(known))}",
                expected=f"one of {listed(sorted(known))}" if known else "a store with modules",
            )


def _made(info: ModuleInfo) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(info.created)
    except ValueError:  # written by hand
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)
