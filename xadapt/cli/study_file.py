"""A study as a file, TOML or YAML: the attributes of ``xadapt.Grid`` by their names.

    expressions = ["{target}", "mnli[{size}] > {target}"]   # gains are against the first of each target
    targets = ["xnli", "udpos"]                             # fill in {target}
    sizes = [1000, "all"]                                   # fill in {size}; "all": mnli without a size
    backbones = ["pocket"]                                  # hub ids, or folders in HF format
    methods = ["lora", "bottleneck"]                        # where an expression names none
    data = "pocket"                                         # pocket, hub, or a folder in XTREME's layout
    seeds = [0, 1, 2]
    languages = ["en", "de"]                                # all by default
    max_steps = 100                                         # and the other settings of `xadapt run`
    question = "Does more NLI data help?"                   # at the top of the report

Only ``expressions`` is needed. Places in the file are as on the command line: below the folder that the
command is run in. YAML says the same with colons.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from xadapt.common.errors import UserError, nearest
from xadapt.common.files import explained
from xadapt.study.overrides import Overrides


class _Form(NamedTuple):
    """What a value of the file must be."""

    said: str
    fits: Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _whole(value: Any) -> bool:
    return type(value) is int


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _some(each: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(map(each, value))


_TEXT = _Form("a text in quotes", _text)
_TEXTS = _Form('a list of texts, such as ["a", "b"]', _some(_text))
_WHOLE = _Form("a whole number", _whole)
_NUMBER = _Form("a number", _number)
_FORMS = {
    "question": _TEXT,
    "expressions": _TEXTS,
    "targets": _TEXTS,
    "sizes": _Form('a list of whole numbers and "all"', _some(lambda v: _whole(v) or _text(v))),
    "backbones": _TEXTS,
    "methods": _TEXTS,
    "data": _TEXT,
    "seeds": _Form("a list of whole numbers", _some(_whole)),
    "languages": _TEXTS,
    "split": _Form('"dev" or "test"', lambda v: v in ("dev", "test")),
    "store": _TEXT,
    "layer": _Form('a whole number or "every"', lambda v: _whole(v) or v == "every"),
    "items": _WHOLE,
    "lr": _NUMBER,
    "epochs": _WHOLE,
    "batch_size": _WHOLE,
    "max_steps": _WHOLE,
    "looks": _WHOLE,
    "dev_examples": _WHOLE,
    "max_length": _WHOLE,
    "device": _TEXT,
    "dtype": _Form('"auto", "float32" or "bfloat16"', lambda v: v in ("auto", "float32", "bfloat16")),
    "trained_in": _Form('"float32" or "bfloat16"', lambda v: v in ("float32", "bfloat16")),
    "threads": _WHOLE,
    "cache_gb": _NUMBER,
    "together": _WHOLE,
    "tasks": _TEXT,
    "intermediate": _TEXT,
}
_PLACES = {field.name for field in fields(Overrides)} & {"tasks", "intermediate"}


def read_study(path: Path) -> dict[str, Any]:
    """The keywords for ``xadapt.Grid`` that a file states, and its ``question``.

    Raises:
        UserError: no such file, neither TOML nor YAML, and all keys and values that a grid cannot have, at
            once, with their lines.
    """
    with explained(path, "read"):
        text = path.read_bytes().decode("utf-8", errors="replace")
    content = _content(path, text)
    problems = [error for key, value in content.items() if (error := _problem(path, text, key, value))]
    if "expressions" not in content:
        problems.append(
            UserError(
                "a study without expressions has nothing to run",
                expected='expressions = ["{target}", "mnli > {target}"], say',
                path=path,
            )
        )
    if problems:
        raise problems[0] if len(problems) == 1 else UserError("\n".join(map(str, problems)))
    return {key: Path(value) if key in _PLACES else value for key, value in content.items()}


def _content(path: Path, text: str) -> Mapping[str, Any]:
    if path.suffix.lower() in (".yaml", ".yml"):
        return _yaml(path, text)
    if path.suffix.lower() != ".toml":
        raise UserError(
            "what a study is written in is told by its name", expected="FILE.toml or FILE.yaml", path=path
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        raise UserError(f"not TOML: {error}", path=path, line=int(place[1]) if place else None) from error


def _yaml(path: Path, text: str) -> Mapping[str, Any]:
    import yaml  # transformers brings it

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise UserError(
            f"not YAML: {getattr(error, 'problem', None) or error}", path=path, line=line
        ) from error
    if not isinstance(content, dict):
        raise UserError("not a study", expected="keys and values, such as  targets: [xnli, udpos]", path=path)
    return {str(key): value for key, value in content.items()}


def _problem(path: Path, text: str, key: str, value: Any) -> UserError | None:
    line = _line(text, key)
    form = _FORMS.get(key)
    if form is None:
        return UserError(
            f"unknown key {key!r}{nearest(key, tuple(_FORMS))}",
            expected=f"some of {', '.join(_FORMS)}",
            path=path,
            line=line,
        )
    if not form.fits(value):
        return UserError(f"{key} is {value!r}", expected=form.said, path=path, line=line)
    return None


def _line(text: str, key: str) -> int | None:
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"""\s*\[?["']?{re.escape(key)}["']?\s*[\]=:.]""", line):
            return number
    return None
