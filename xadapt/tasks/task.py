"""A task is a row: what it is called, what it asks, where its examples lie, how it is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

KindName = Literal["classify", "choose", "tag", "extract", "retrieve", "mlm"]
Role = Literal["intermediate", "target"]


@dataclass(frozen=True)
class File:
    """One split's file in a folder of data.

    Attributes:
        path: below the data folder, ``{lang}`` for the language and ``{iso3}`` for its
            three-letter code; a path with neither serves English only.
            ``intermediate:`` in front means below the folder of intermediate tasks.
        reader: the name of a function in ``xadapt.data.readers``; ``unusable`` for a
            file that is known and must not be read: ``options["why"]`` says so.
        options: that reader's keyword arguments (columns, header, label names...).
        beside: a second file that the reader needs (the other half of parallel text).
        but: languages that this file must not serve.
    """

    path: str
    reader: str
    options: Mapping[str, object] = field(default_factory=dict)
    beside: str | None = None
    but: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hub:
    """Where a task lies on the Hugging Face hub, script-free.

    Attributes:
        id: the dataset repository.
        config: its configuration, ``{lang}`` for the language, ``{iso3}`` for its
            three-letter code, ``{name}`` for its English name; None for the default one.
        splits: our split -> theirs; a split whose labels they withhold is left out.
        columns: our field -> their column; a dot leads into a nested one.
        labels: their label (its name, or the value as a string) -> ours; empty where
            they are the same.
        revision: the pinned commit, or a branch where no commit is known.
        names: languages whose ``{name}`` they spell otherwise.
        absent: our split -> languages that they do not have it in.
        prefix: keeps the rows whose id starts with it, where one configuration holds
            all languages; ``{name}`` as above, in lower case.
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


@dataclass(frozen=True)
class Task:
    """One row of the catalogue.

    Attributes:
        name: as it stands in expressions.
        kind: what it asks of the model.
        role: ``intermediate`` (English, below) or ``target`` (evaluated in many languages).
        summary: one line for ``xadapt tasks``.
        languages: where the task is evaluated, ISO 639-1; XTREME's own list.
        train: the task whose English training data it trains on: its own name, or
            another's (XQuAD trains on SQuAD v1.1); None where nothing is trained.
        metrics: the first is the main one; ``accuracy``, ``f1``, ``exact_match``.
        labels: the label set of ``classify`` and ``tag``, in head order.
        open_labels: the label set is what the training data has (``tag``): ``labels`` is empty
            here and settled before the kind is built; other tags can occur and are never right.
        max_length: tokens a sequence, special tokens included.
        stride: tokens shared by two windows of one context (``extract``).
        unanswerable: whether a question may have no answer (SQuAD v2.0).
        epochs, batch_size: jiant's settings for the paper (PAPER.md); examples a step.
        files: split -> the files tried in order in a data folder.
        hub: where it lies on the hub, if it does there script-free.
        licence, citation, url: of the data.
    """

    name: str
    kind: KindName
    role: Role
    summary: str
    languages: tuple[str, ...]
    train: str | None
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()
    open_labels: bool = False
    max_length: int = 128
    stride: int = 0
    unanswerable: bool = False
    epochs: int = 3
    batch_size: int = 32
    files: Mapping[str, tuple[File, ...]] = field(default_factory=dict)
    hub: Hub | None = None
    licence: str = ""
    citation: str = ""
    url: str = ""
