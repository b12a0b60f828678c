"""Code of a user's own, named as Python imports it: ``module.name``.

A reader, kind, method or merge that is not ours stands in rows and expressions under its name, a word with
a dot in it. So rows and expressions stay plain text that later runs and other processes read, and nothing
has to be entered anywhere. Modules are found where Python finds them: what is installed, ``PYTHONPATH``, the
folder of the script, and for the command line the working folder.

What such code does is part of a result, so addresses have its version: ``VERSION`` where its file states one,
else a hash of the file. What that file imports in turn is not looked at.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from xadapt.common.errors import UserError, nearest


def is_own(word: str) -> bool:
    """Whether a word names code of a user's own: none of ours has a dot."""
    return "." in word


def found(name: str) -> Any:
    """What ``module.name`` is.

    Raises:
        UserError: there is no such module, importing it fails, or it has nothing of that name to call.
    """
    home, _, word = name.rpartition(".")
    try:
        module = import_module(home)
    except Exception as error:  # a user's file may fail in any way
        if isinstance(error, ModuleNotFoundError) and error.name and f"{home}.".startswith(f"{error.name}."):
            raise UserError(
                f"{name!r}: there is no Python module {home!r}",
                expected=f"{home.replace('.', '/')}.py in this folder, or an installed package",
                do="run from the folder that has it, or name that folder in PYTHONPATH",
            ) from None
        raise UserError(f"{name!r}: importing {home!r} fails: {type(error).__name__}: {error}") from error
    if not hasattr(module, word):
        public = [one for one in vars(module) if not one.startswith("_")]
        raise UserError(f"{home!r} has no {word!r}{nearest(word, public)}", path=module.__file__)
    thing = getattr(module, word)
    if not callable(thing):
        raise UserError(
            f"{name!r} is {type(thing).__name__} {thing!r}",
            expected="a function or a class",
            path=module.__file__,
        )
    return thing


def version_of(name: str) -> str:
    """What identifies the code under a name, for addresses: ``module.name:VERSION``. Where the module has the
    thing from another, that one's version stands behind its own; Python's own modules, such as ``functools``
    of a ``partial``, say nothing of it.

    Raises:
        UserError: as ``found``; code that is in no file and states no version.
    """
    thing = found(name)
    homes = [name.rpartition(".")[0]]
    while isinstance(thing, partial):
        thing = thing.func
    made_in = str(getattr(thing, "__module__", None))
    in_file = getattr(sys.modules.get(made_in), "__file__", None)
    if in_file and made_in.partition(".")[0] not in sys.stdlib_module_names:
        homes.append(made_in)
    return ":".join([name, *(_version(name, thing, sys.modules[home]) for home in dict.fromkeys(homes))])


def _version(name: str, thing: object, home: ModuleType) -> str:
    if (stated := getattr(home, "VERSION", None)) is not None:
        return str(stated)
    if not getattr(home, "__file__", None):
        raise UserError(
            f"{name!r} is in no file, so nobody could say later what it did",
            expected=f"a file, or a line such as VERSION = 1 in {home.__name__}",
            do="raise the number whenever the code changes",
        )
    return _source_digest(thing, str(home.__file__))


@lru_cache(maxsize=256)
def _source_digest(thing: object, file: str) -> str:
    """Of what was imported: a file that is changed afterwards is not what runs."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]


@contextmanager
def failures_of(names: Iterable[str]) -> Iterator[None]:
    """What code under these names raises is said in one line, with where; other failures pass as they are."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a user's file may fail in any way
        homes = {name: sys.modules.get(name.rpartition(".")[0]) for name in names}
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            own = [n for n, home in homes.items() if getattr(home, "__file__", None) == frame.filename]
            if own:
                name = next((n for n in own if n.rpartition(".")[2] == frame.name), own[0])
                at = f"{Path(frame.filename).name}:{frame.lineno}"
                raise UserError(f"{name} fails: {type(error).__name__}: {error} ({at})") from error
        raise
