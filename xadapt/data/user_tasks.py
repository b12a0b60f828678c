"""Tasks of a user's own: a TOML file with one ``[[task]]`` a row, checked as strictly as our rows are.

Keys are the attributes of ``xadapt.tasks.Task``, ``File`` and ``Hub``. Paths of files are absolute, or
relative to the TOML file. ``xadapt tasks show NAME`` prints a row of ours to start from. Example:

    [[task]]
    name = "stance"
    kind = "classify"
    role = "target"
    languages = ["en", "de"]
    train = "stance"
    metrics = ["accuracy"]
    labels = ["for", "against"]
    files.train = [{ path = "stance/train.tsv", reader = "pairs" }]
    files.test = [{ path = "stance/{lang}.tsv", reader = "pairs" }]
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from xadapt.common.errors import UserError, nearest
from xadapt.common.own import found, is_own
from xadapt.data.hub_rows import FIELDS
from xadapt.data.readers import KIND_READ, READERS, options_of
from xadapt.data.task_toml import as_table
from xadapt.data.text import text_of
from xadapt.stacks.combinations import KEYWORDS
from xadapt.stacks.methods import METHODS
from xadapt.tasks.catalogue import CATALOGUE, Catalogue
from xadapt.tasks.task import File, Hub, KindName, OwnTasks, Role, Task

SPLITS = ("train", "dev", "test")
KINDS, ROLES = get_args(KindName), get_args(Role)
NEEDED = ("name", "kind", "role", "languages", "metrics")
NAME = re.compile(r"[a-z][a-z0-9_]*")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")
# Words of expressions and options, which no task can be called.
RESERVED = frozenset((*KEYWORDS, *METHODS, "all"))

Check = Callable[[Any], str | None]  # what was expected instead; None where the value is right


def catalogue_with(tasks: OwnTasks | None) -> Catalogue:
    """Our tasks, and those of a user's own. Raises ``UserError`` as ``read_tasks``, of rows as of files."""
    if isinstance(tasks, Path | str | Task):
        tasks = (tasks,)
    catalogue: Catalogue = CATALOGUE
    rows = [row for row in tasks or () if isinstance(row, Task)]
    for file in tasks or ():
        if not isinstance(file, Task):
            catalogue = read_tasks(Path(file), catalogue)
    return _with_rows(rows, catalogue) if rows else catalogue


def read_tasks(path: Path, catalogue: Catalogue = CATALOGUE) -> Catalogue:
    """``catalogue`` with the rows of a user's file added.

    Raises:
        UserError: no such file, broken TOML, or rows that are not right: all that is wrong at once.
    """
    if not path.is_file():
        raise UserError("no such file", expected="a TOML file with [[task]] tables", path=path)
    try:
        content = tomllib.loads(text_of(path))
    except (ValueError, RecursionError) as error:  # a number may have more digits than Python reads
        found = re.search(r"line (\d+)", str(error))
        deep = isinstance(error, RecursionError)
        raise UserError(
            "broken TOML: nested too deeply to be read" if deep else f"broken TOML: {error}",
            do="see https://toml.io",
            path=path,
            line=int(found[1]) if found else None,
        ) from None
    tables = content.get("task")
    if (
        set(content) != {"task"}
        or not isinstance(tables, list)
        or not all(isinstance(t, dict) for t in tables)
    ):
        raise UserError(
            f"got {', '.join(map(repr, content)) or 'nothing'} at the top",
            expected="[[task]] tables and nothing else",
            do="write [[task]] (two brackets) above each task's lines",
            path=path,
        )
    problems: list[str] = []
    rows: dict[str, Task] = {}
    for number, table in enumerate(tables, 1):
        where = f"task {table['name']!r}" if isinstance(table.get("name"), str) else f"task number {number}"
        wrong = _wrong_task(table)
        if not wrong and (table["name"] in catalogue or table["name"] in rows):
            wrong = ["there is a task of this name already: choose another"]
        if wrong:
            problems += [f"{where}: {problem}" for problem in wrong]
        else:
            rows[table["name"]] = _task(table, path.absolute().parent)
    return _joined(catalogue, rows, problems, path)


def _with_rows(given: Sequence[Task], catalogue: Catalogue) -> Catalogue:
    """``catalogue`` with rows that were made in Python, as strictly checked as those of a file."""
    problems: list[str] = []
    rows: dict[str, Task] = {}
    for row in given:
        wrong = [f"parts of {row.name}: only ours have them"] if row.parts else _wrong_task(as_table(row))
        if not wrong and (row.name in catalogue or row.name in rows):
            wrong = ["there is a task of this name already: choose another"]
        problems += [f"task {row.name!r}: {problem}" for problem in wrong]
        rows[row.name] = row
    return _joined(catalogue, rows, problems, None)


def _joined(
    catalogue: Catalogue, rows: Mapping[str, Task], problems: list[str], path: Path | None
) -> Catalogue:
    """Ours and a user's rows, where nothing is wrong with these."""
    known = {**catalogue, **rows}
    for row in rows.values():
        problems += [f"task {row.name!r}: {problem}" for problem in _wrong_training(row, known)]
    if problems:
        raise UserError(
            "\n  ".join([f"{len(problems)} thing{'s' * (len(problems) > 1)} to put right", *problems]),
            do="`xadapt tasks show xnli` prints a whole row; `xadapt tasks` lists ours",
            path=path,
        )
    return MappingProxyType(known)


# --- from a table to a row ------------------------------------------------------------------------
def _task(table: Mapping[str, Any], folder: Path) -> Task:
    values: dict[str, Any] = {"summary": "a task of your own", "train": None}
    values |= {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    values["files"] = {
        split: tuple(_file(entry, folder) for entry in entries)
        for split, entries in table.get("files", {}).items()
    }
    if "hub" in table:
        values["hub"] = _hub(table["hub"])
    return Task(**values)


def _file(entry: Mapping[str, Any], folder: Path) -> File:
    # A brace in the folder's own name is no place for a language.
    base = str(folder).replace("{", "{{").replace("}", "}}")
    lists = {key: tuple(entry[key]) for key in ("but",) if key in entry}

    def placed(path: str) -> str:
        return path if Path(path).is_absolute() else f"{base}/{path}"

    beside = tuple(map(placed, entry.get("beside", ())))
    return File(**{**entry, **lists, "path": placed(entry["path"]), "beside": beside})


def _hub(table: Mapping[str, Any]) -> Hub:
    values = dict(table)
    if "languages" in values:
        values["languages"] = tuple(values["languages"])
    values["absent"] = {split: tuple(codes) for split, codes in values.get("absent", {}).items()}
    return Hub(**{"config": None, **values})


# --- what is wrong with a table -------------------------------------------------------------------
def _wrong_task(table: Mapping[str, Any]) -> list[str]:
    checks: dict[str, Check] = {
        "name": lambda v: (
            None if _is(v, NAME) and v not in RESERVED else "a word of a-z, 0-9 and _, no word of the grammar"
        ),
        "kind": _kind,
        "role": _one_of(ROLES),
        "summary": _text,
        "languages": _languages,
        "added": _languages,
        "trains_in": _languages,
        "train": _text,
        "metrics": _texts,
        "labels": lambda v: _texts(v) or (None if len(set(v)) == len(v) else "every label once"),
        "open_labels": _flag,
        "max_length": _above(0),
        "stride": _above(0),
        "unanswerable": _flag,
        "epochs": _above(0),
        "batch_size": _above(0),
        "files": lambda v: None if isinstance(v, dict) and v else "a table of splits",
        "hub": lambda v: None if isinstance(v, dict) else "a table",
        "licence": _text,
        "citation": _text,
        "url": _text,
    }
    problems = _wrong_keys(table, checks, NEEDED)
    if problems:
        return problems
    form, labelled = _form(table["kind"]), bool(table.get("labels") or table.get("open_labels"))
    if labelled != (form in ("classify", "tag")):
        problems.append(f"kind {form} {'has no labels' if labelled else 'needs labels, in head order'}")
    if form == "extract" and "stride" not in table:
        problems.append("kind extract needs a stride, such as 128")
    if "files" not in table and "hub" not in table:
        problems.append("it needs files, or a hub table")
    for split, entries in table.get("files", {}).items():
        if split not in SPLITS or not isinstance(entries, list) or not entries:
            problems.append(f"files.{split}: expected a list of files for {', '.join(SPLITS)}")
            continue
        for i, entry in enumerate(entries):
            problems += [f"files.{split}[{i}]: {problem}" for problem in _wrong_file(entry, form)]
    if "hub" in table:
        problems += [f"hub: {problem}" for problem in _wrong_hub(table["hub"], form)]
    return problems


def _wrong_file(entry: Any, kind: str) -> list[str]:
    if not isinstance(entry, dict):
        return ["expected a table such as { path = ..., reader = ... }"]
    checks: dict[str, Check] = {
        "path": _path,
        "reader": _reader,
        "options": lambda v: None if isinstance(v, dict) else "a table",
        "beside": lambda v: _texts(v) or next((wrong for one in v if (wrong := _path(one))), None),
        "but": _languages,
        "shared": _flag,
        "pooled": _flag,
    }
    problems = _wrong_keys(entry, checks, ("path", "reader"))
    if problems:
        return problems
    if (made := KIND_READ.get(entry["reader"], kind)) != kind:
        fitting = ", ".join(name for name, reads in KIND_READ.items() if reads == kind)
        return [f"reader {entry['reader']} is for the kind {made}, this task is of kind {kind}: {fitting}"]
    parameters = options_of(entry["reader"])
    takes = [p.name for p in parameters]
    given = entry.get("options", {})
    problems += [
        f"reader {entry['reader']} has no option {name!r}{nearest(name, takes)}"
        for name in given
        if name not in takes
    ]
    problems += [
        f"reader {entry['reader']} needs options.{p.name}"
        for p in parameters
        if p.default is p.empty and p.name in takes and p.name not in given
    ]
    return problems


def _wrong_hub(table: Mapping[str, Any], kind: str) -> list[str]:
    words: Check = lambda v: (  # noqa: E731
        None
        if isinstance(v, dict) and all(isinstance(one, str) for one in v.values())
        else "a table of texts"
    )
    checks: dict[str, Check] = {
        "id": lambda v: None if isinstance(v, str) and v.count("/") == 1 else "owner/name",
        "config": _text,
        "splits": lambda v: (
            words(v) or (None if v and set(v) <= set(SPLITS) else f"some of {', '.join(SPLITS)}")
        ),
        "columns": words,
        "labels": words,
        "revision": lambda v: None if _is(v, re.compile("[0-9a-f]{40}")) else "a commit: 40 hex digits",
        "names": words,
        "absent": lambda v: (
            None if isinstance(v, dict) and not any(map(_languages, v.values())) else "lists of codes"
        ),
        "prefix": _text,
        "wording": words,
        "unlabelled": _flag,
        "languages": _languages,
        "file": _text,
        "rows": _above(0),
    }
    problems = _wrong_keys(table, checks, ("id", "splits", "columns", "revision"))
    if kind == "mlm" and "prefix" in table:
        problems.append("prefix selects rows by their id, and running text has none")
    if not problems and (lost := sorted(FIELDS[kind] - set(table["columns"]))):
        problems.append(f"columns names none for {', '.join(lost)}")
    return problems


def _wrong_training(row: Task, known: Catalogue) -> list[str]:
    """What is wrong with the task that it trains on, which may stand in the same file."""
    if row.train is None:
        return [] if row.role == "target" else ["an intermediate task trains on itself: train = its name"]
    if row.train not in known:
        return [f"train = {row.train!r} is no task{nearest(row.train, list(known))}"]
    other = known[row.train]
    if other.kind != row.kind or other.labels != row.labels:
        return [f"it trains on {other.name}, which has another kind or other labels"]
    if not (other.parts or "train" in other.files or (other.hub and "train" in other.hub.splits)):
        return [f"it trains on {other.name}, which has no training data"]
    return []


def _wrong_keys(table: Mapping[str, Any], checks: Mapping[str, Check], needed: Sequence[str]) -> list[str]:
    problems = [f"unknown key {key!r}{nearest(key, list(checks))}" for key in table if key not in checks]
    problems += [f"no {key!r}" for key in needed if key not in table]
    for key, value in table.items():
        if key in checks and (expected := checks[key](value)):
            problems.append(f"{key} = {value!r}, expected {expected}")
    return problems


def _is(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _one_of(words: Iterable[str]) -> Check:
    return lambda v: None if v in words else f"one of {', '.join(words)}"


def _kind(value: Any) -> str | None:
    if not (isinstance(value, str) and is_own(value)):
        return None if value in KINDS else f"one of {', '.join(KINDS)}, or module.name of a class of your own"
    try:
        return None if _form(value) in KINDS else f"a class that serves one of {', '.join(KINDS)}"
    except UserError as error:
        return f"a class of your own: {error.got}"


def _form(kind: str) -> str:
    """The kind whose examples a kind reads."""
    return str(getattr(found(kind), "serves", "")) if is_own(kind) else kind


def _reader(value: Any) -> str | None:
    if not (isinstance(value, str) and is_own(value)):
        return _one_of((*READERS, "module.name of a function of your own"))(value)
    try:
        return None if callable(found(value)) else "a function"
    except UserError as error:
        return f"a function of your own: {error.got}"


def _above(least: int) -> Check:
    return lambda v: None if type(v) is int and v > least else f"a whole number above {least}"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else "a text"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _texts(value: Any) -> str | None:
    right = isinstance(value, list) and value and all(isinstance(v, str) and v for v in value)
    return None if right else "a list of texts"


def _languages(value: Any) -> str | None:
    right = isinstance(value, list) and len(set(map(str, value))) == len(value)
    return None if right and all(_is(v, LANGUAGE) for v in value) else "a list of codes such as en, each once"


def _path(value: Any) -> str | None:
    if _text(value):
        return "a path"
    try:
        named = {name for _, name, _, _ in string.Formatter().parse(value) if name is not None}
    except ValueError:
        named = {"?"}
    if named <= {"lang", "iso3"} and not set(value) & set("*[]"):
        return None
    return "one path, absolute or relative to this file, in braces only {lang} or {iso3}"
