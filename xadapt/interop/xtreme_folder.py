"""A task's folder of predictions on the disk: whole or not at all, with where it comes from beside it."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xadapt.common.errors import UserError
from xadapt.common.files import explained, file_digest, json_text, read_json, sync, temporary
from xadapt.interop.xtreme_files import asked, file_of, folder_of, format_of
from xadapt.store.integrity import versions
from xadapt.tasks.examples import Example
from xadapt.tasks.task import Task

# evaluate.py opens the files that it knows by name and looks at no other.
PROVENANCE = "provenance.json"


def check_place(root: Path, task: Task, *, overwrite: bool) -> Path:
    """The folder that ``write_predictions`` will make, before anything is trained for it.

    Raises:
        UserError: the task has no official form, something is there already, or nothing can be written.
    """
    format_of(task)
    folder = root / folder_of(task)
    if folder.exists() and not overwrite:
        raise UserError(
            "there are predictions already",
            do="name another folder with --out, or replace them with --overwrite",
            path=folder,
        )
    above = root.absolute()
    while not os.path.lexists(above):  # a link that leads nowhere is no folder to make
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError("nothing can be written there", expected="a folder that can be written", path=root)
    return folder


def write_predictions(
    root: Path,
    task: Task,
    predicted: Mapping[str, tuple[Sequence[Example], Sequence[Any]]],
    provenance: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write ``root/<task>/test-<language>.<extension>`` for all languages and ``provenance.json``, at once.

    Args:
        predicted: language -> its examples and the kind's predictions for them.
        provenance: what made them; files, versions and the date are added.
        overwrite: replace the task's folder, with all languages in it.

    Returns:
        The files of predictions, in the order of ``predicted``.

    Raises:
        UserError: as ``check_place``, or the disk refuses; what was there before is there still.
    """
    folder = check_place(root, task, overwrite=overwrite)
    form = format_of(task)
    texts = {file_of(task, lang): form.write(examples, made) for lang, (examples, made) in predicted.items()}
    with explained(folder):
        part = temporary(root, folder.name)
        try:
            for name, text in texts.items():
                # bytes: no system puts its own line ends in
                (part / name).write_bytes(text.encode("utf-8"))
                sync(part / name)
            full = {
                **provenance,
                "task": task.name,
                "predictions": {lang: asked(examples) for lang, (examples, _) in predicted.items()},
                "files": {name: file_digest(part / name) for name in texts},
                "versions": versions(),
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
            (part / PROVENANCE).write_text(json_text(full, indent=1), encoding="utf-8")
            sync(part / PROVENANCE)
            _put(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return [folder / name for name in texts]


def split_of(folder: Path) -> str | None:
    """The split that a task's folder was predicted on, where it says so."""
    try:
        found = read_json(folder / PROVENANCE)
    except OSError:
        return None
    split = (found or {}).get("split")
    return split if isinstance(split, str) else None


def _put(part: Path, folder: Path) -> None:
    """Rename ``part`` to ``folder``; what was there is put back if that fails."""
    old = None
    if folder.exists():
        old = part.with_name(part.name + "-old")
        os.replace(folder, old)
    try:
        os.replace(part, folder)
    except OSError:
        if old is not None:
            os.replace(old, folder)
        raise
    sync(folder.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
