"""A task is a row: what it is called, what it asks, where its examples lie, how it is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from xadapt.common.identity import fields_of
from xadapt.common.own import found, is_own, version_of

KindName = Literal["classify", "choose", "tag", "extract", "retrieve", "mlm"]
Role = Literal["intermediate", "target"]


@dataclass(frozen=True)
class File:
    """One split's file in a folder of data.

    Attributes:
        path: below the data folder, ``{lang}`` for the language and ``{iso3}`` for its
            three-letter code; a path with neither serves English only. ``*`` and ``[..]`` stand for
            what they do in a shell: all files that match, in order of their names.
            ``intermediate:`` in front means below the folder of intermediate tasks.
        reader: the name of a function in ``xadapt.data.readers``, or ``module.name`` of one's own;
            ``unusable`` for a file that is known and must not be read: ``options["why"]`` says so.
        options: that reader's keyword arguments (columns, header, label names...).
        beside: further files that the reader needs, all of them (the other half of parallel text).
        but: languages that this file must not serve.
        shared: one file holds every language of the task; the reader is told which one is wanted.
        pooled: the reader also gets this file in the other languages of the task that have it, after
            the one that is wanted: candidates in many languages.
    """

    path: str
    reader: str
    options: Mapping[str, object] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    shared: bool = False
    pooled: bool = False


@dataclass(frozen=True)
class Hub:
    """Where a task lies on the Hugging Face hub, script-free.

    Attributes:
        id: the dataset repository.
        config: its configuration, ``{lang}`` for the language, ``{iso3}`` for its
            three-letter code, ``{name}`` for its English name; None for the default one.
        splits: our split -> theirs; a split whose labels they withhold is left out.
        columns: our field -> their column; a dot leads into a nested one, a space parts several
            columns that make one list (the options of a choice).
        labels: their label (its name, or the value as a string) -> ours; empty where
            they are the same.
        revision: the pinned commit, or a branch where no commit is known.
        names: languages whose ``{name}`` they spell otherwise.
        absent: our split -> languages that they do not have it in.
        prefix: keeps the rows whose id starts with it, where one configuration holds
            all languages; ``{name}`` as above, in lower case.
        wording: their question -> the words that the model reads, where they have a code for it.
        unlabelled: whether single rows of train and dev may lack a label: they are dropped (SNLI's,
            on which its annotators did not agree).
        languages: what it has, where that is not the task's own list.
        file: the one file in Parquet that is read of a split too large to download, ``{lang}`` as above and
            ``*`` for anything; ``splits`` has that split alone.
        rows: so many rows are read, from the front of the split; None for all.
    """

    id: str
    config: str | None
    splits: Mapping[str, str]
    columns: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    revision: str = "main"
    names: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prefix: str | None = None
    wording: Mapping[str, str] = field(default_factory=dict)
    unlabelled: bool = False
    languages: tuple[str, ...] = ()
    file: str | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Task:
    """One row of the catalogue.

    Attributes:
        name: as it stands in expressions.
        kind: what it asks of the model: a ``KindName``, or ``module.name`` of a class of one's own.
        role: ``intermediate`` (English, below) or ``target`` (evaluated in many languages).
        summary: one line for ``xadapt tasks``.
        languages: where the task is evaluated, ISO 639-1; XTREME's own list, or XTREME-R's for
            the tasks that only it has. An intermediate task has the languages that its data is
            written in: English, but for running text.
        added: the languages that XTREME-R adds to a task of XTREME's.
        train: the task whose English training data it trains on: its own name, or
            another's (XQuAD trains on SQuAD v1.1); None where nothing is trained.
        trains_in: the languages that its training data is written in, not translated into.
        metrics: the first is the main one; ``accuracy``, ``f1``, ``exact_match``, ``map@20``.
        labels: the label set of ``classify`` and ``tag``, in head order.
        open_labels: the label set is what the training data has: ``labels`` is empty here and filled in
            (``xadapt.data.labels``) before the kind is built; other tags can occur and are never right.
        max_length: tokens a sequence, special tokens included.
        stride: tokens shared by two windows of one context (``extract``).
        unanswerable: whether a question may have no answer (SQuAD v2.0).
        epochs, batch_size: jiant's settings for the paper, XTREME-R's scripts' for its own tasks;
            examples a step.
        size: examples of its original training set, as published; None where there is none.
        files: split -> the files tried in order in a data folder.
        hub: where it lies on the hub, if it does there script-free.
        no_hub: why it has no hub row.
        translated: where the hub has its training data in other languages, by machine.
        parts: rows whose examples, one row after the other, are this task's: it has no files and
            no hub row of its own.
        licence, citation, url: of the data.
    """

    name: str
    kind: str
    role: Role
    summary: str
    languages: tuple[str, ...]
    train: str | None
    metrics: tuple[str, ...]
    added: tuple[str, ...] = ()
    trains_in: tuple[str, ...] = ("en",)
    labels: tuple[str, ...] = ()
    open_labels: bool = False
    max_length: int = 128
    stride: int = 0
    unanswerable: bool = False
    epochs: int = 3
    batch_size: int = 32
    size: int | None = None
    files: Mapping[str, tuple[File, ...]] = field(default_factory=dict)
    hub: Hub | None = None
    no_hub: str = ""
    translated: Hub | None = None
    parts: tuple[Task, ...] = ()
    licence: str = ""
    citation: str = ""
    url: str = ""

    @property
    def form(self) -> str:
        """The kind whose examples it has: its own, or the one that a class of a user's own serves.

        Raises:
            UserError: there is no such class.
        """
        return str(getattr(found(self.kind), "serves", "")) if is_own(self.kind) else self.kind


# Tasks of a user's own: a TOML file, a row, or several of these.
OwnTasks = Path | str | Task | Sequence[Path | str | Task]

# Fields of a row that no example, weight or score depends on ...
_ABOUT = frozenset({"name", "role", "summary", "size", "no_hub", "licence", "citation", "url"})
# ... where examples lie: their revision says which were found, and how they are read ...
_WHERE = frozenset({"languages", "added", "train", "trains_in", "files", "hub", "translated", "parts"})
# ... and settings, which can be set otherwise and are told apart where they are used.
_SETTINGS = frozenset({"max_length", "epochs", "batch_size"})


def asked(task: Task) -> dict[str, Any]:
    """What a task asks of the model, in plain values: the row's part of what determines a module or a score.
    Two tasks that ask the same on the same data are the same to the store, whatever they are called."""
    return _with_versions(fields_of(task, _ABOUT | _WHERE | _SETTINGS))


def reading_of(task: Task, file: File | None = None, hub: Hub | None = None) -> dict[str, Any]:
    """How examples are read by a row, in plain values: all that decides, beside the bytes, which examples
    there are. The place itself (a path, a repository and its commit) is left to whoever has been there."""
    row = fields_of(task, _ABOUT | _WHERE | _SETTINGS | {"metrics", "stride"})
    how: dict[str, Any] = {"row": _with_versions(row)}
    if file is not None:
        how["file"] = _with_versions(fields_of(file, {"path", "beside", "but", "pooled"}))
    if hub is not None:
        how["hub"] = fields_of(hub, {"id", "config", "splits", "revision", "absent", "languages"})
    return how


def _with_versions(row: dict[str, Any]) -> dict[str, Any]:
    """The same, with the version of a kind or reader of a user's own in its name."""
    own = {key: row[key] for key in ("kind", "reader") if key in row and is_own(row[key])}
    return row | {key: version_of(name) for key, name in own.items()}
