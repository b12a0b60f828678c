"""The words of a command line before they are read as options: what is short for something longer, and what
was likely meant."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from xadapt.cli.commands import COMMANDS
from xadapt.common.errors import UserError, nearest, shortened

_ALIKE = (("--seed", "--seeds"), ("--lang", "--langs", "--languages"))
_FLAGS = ("--plain", "-h", "--help")  # what stands before an action and takes no value


def tidied(words: Sequence[str]) -> list[str]:
    """The words with options in the spelling of the command, seeds in one (``0,1,2`` for ``0 1 2``), and the
    action that a command has by default.

    Raises:
        UserError: no such command or action.
    """
    words = list(_joined(words))
    at = next((i for i, word in enumerate(words) if not word.startswith("-")), None)
    if at is None:
        raise UserError("no command", expected="xadapt COMMAND ...", do="'xadapt --help' lists them")
    name = words[at]
    if name not in COMMANDS:
        raise UserError(
            f"no command {shortened(name)!r}{nearest(name, tuple(COMMANDS))}",
            expected=f"one of {', '.join(COMMANDS)}",
            do="'xadapt --help' says what they do",
        )
    actions = _actions(name)
    if not actions:
        return _spelt(words, COMMANDS[name])
    place = _action_at(words, at + 1)
    if place is None:
        helped = {"-h", "--help"} & set(words)
        return words if helped else [*words[: at + 1], next(iter(actions)), *words[at + 1 :]]
    if words[place] not in actions:
        raise UserError(
            f"'xadapt {name}' has no {shortened(words[place])!r}{nearest(words[place], tuple(actions))}",
            expected=f"one of {', '.join(actions)}",
            do=f"'xadapt {name} --help' says what they do",
        )
    return _spelt(words, actions[words[place]])


def unknown(word: str, words: Sequence[str], help_of: str) -> UserError:
    """What is to be said of a word that the command has no place for.

    Args:
        words: all, tidied.
        help_of: the text of the command's help, in which all its options are named.
    """
    command = "xadapt " + " ".join(named(words))
    do = f"'{command} --help' lists what there is"
    if not word.startswith("-"):
        return UserError(f"'{command}' has no place for {shortened(word)!r}", do=do)
    option = word.partition("=")[0]
    there = list(dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_of)))
    return UserError(f"'{command}' has no option {shortened(option)!r}{nearest(option, there)}", do=do)


def named(words: Sequence[str]) -> list[str]:
    """Command and action of tidied words."""
    at = next(i for i, word in enumerate(words) if not word.startswith("-"))
    place = _action_at(words, at + 1) if _actions(words[at]) else None
    return [words[at], *([] if place is None else [words[place]])]


def _joined(words: Sequence[str]) -> Iterator[str]:
    """``--seeds 0 1 2`` as ``--seeds 0,1,2``: no expression is a number."""
    seeds: list[str] | None = None
    for word in words:
        if seeds is not None and re.fullmatch(r"[0-9]+(,[0-9]+)*,?", word, re.ASCII):
            seeds.append(word.rstrip(","))
            continue
        if seeds:
            yield ",".join(seeds)
        seeds = [] if word in ("--seed", "--seeds") else None
        yield word
    if seeds:
        yield ",".join(seeds)


def _spelt(words: Sequence[str], command: Any) -> list[str]:
    """Options of which commands know one spelling each, in that of this command or action."""
    known = {field.name for field in fields(command)}
    spelt = []
    for word in words:
        option, sign, value = word.partition("=")
        group = next((group for group in _ALIKE if option in group), ())
        option = next((one for one in group if one.removeprefix("--") in known), option)
        spelt.append(option + sign + value)
    return spelt


def _action_at(words: Sequence[str], start: int) -> int | None:
    """Where the first word stands that is neither an option nor the value of one."""
    i = start
    while i < len(words):
        if not words[i].startswith("-"):
            return i
        i += 1 if words[i] in _FLAGS or "=" in words[i] else 2
    return None


def _actions(name: str) -> Mapping[str, Any]:
    """Actions of a command, the one that it has by default first; none where it is one itself."""
    field = next((f for f in fields(COMMANDS[name]) if f.name == "action"), None)
    if field is None:
        return {}
    hint = typing.get_type_hints(COMMANDS[name], include_extras=True)["action"]
    found = {one.__metadata__[0].name: one.__origin__ for one in typing.get_args(hint)}
    default = None if field.default_factory is MISSING else field.default_factory
    return dict(sorted(found.items(), key=lambda item: item[1] is not default))
