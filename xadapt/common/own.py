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
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from xadapt.common.errors import UserError, nearest


def is_own(word: str) -> bool:
    """Whether a word names code of a user's own: none of ours has a dot."""
    return "." in word


def found(name: str) -> Any:
    """What ``module.name`` is.

    Raises:
        UserError: there is no such module, or importing it fails, or it has nothing of that name.
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
    return getattr(module, word)


def version_of(name: str) -> str:
    """What identifies the code under a name, for addresses: ``module.name:VERSION``.

    Raises:
        UserError: as ``found``; code that is in no file and states no version.
    """
    thing = found(name)
    home = sys.modules[thing.__module__]
    if (stated := getattr(home, "VERSION", None)) is not None:
        return f"{name}:{stated}"
    if not getattr(home, "__file__", None):
        raise UserError(
            f"{name!r} is in no file, so nobody could say later what it did",
            expected=f"a file, or a line such as VERSION = 1 in {home.__name__}",
            do="raise the number whenever the code changes",
        )
    return f"{name}:{_source_digest(thing, home.__file__)}"


@lru_cache(maxsize=256)
def _source_digest(thing: object, file: str) -> str:
    """Of what was imported: a file that is changed afterwards is not what runs."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
