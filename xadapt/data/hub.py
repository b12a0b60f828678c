"""Examples from the Hugging Face hub, or a mirror of it (``HF_ENDPOINT``).

Only repositories of plain data; a dataset script is never run. The revisions are
pinned in the catalogue, so what was downloaded once is found again without a
connection. A test split whose labels the hub withholds is not in the catalogue's rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePath
from typing import Any

from xadapt.common.errors import UserError
from xadapt.common.hub import SECONDS, hub_answers
from xadapt.common.identity import digest
from xadapt.data.hub_rows import REPORT, config_of, examples_of, file_of
from xadapt.data.reading import added_up, hold_out, joined, revision_of
from xadapt.tasks.catalogue import CATALOGUE, Catalogue, task_named
from xadapt.tasks.examples import Example
from xadapt.tasks.task import Hub, Task, reading_of


class HubSource:
    """A ``Source``: what the catalogue's hub rows name. Nothing is asked of the hub before ``load``
    (and ``revision``, for a row that is pinned to no commit)."""

    name = "hub"
    generated = False

    def __init__(self, catalogue: Catalogue = CATALOGUE) -> None:
        self.catalogue = catalogue
        self._commits: dict[tuple[str, str], str] = {}
        self._online: bool | None = None  # asked once, when it is first needed
        self._notes: dict[tuple[str, str, str], dict[str, int]] = {}

    def languages(self, task: str, split: str) -> tuple[str, ...]:
        """The task's languages in which the hub has ``split``, by the catalogue: the row's own, then
        those that its training data is translated into."""
        return _languages(task_named(task, self.catalogue), split)

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        """Every example, in the hub's order.

        Raises:
            UserError: the hub has no such split, can't be reached, or has other columns or labels.
        """
        row = task_named(task, self.catalogue)
        return joined(row, lambda part: self._load(part, language, split))

    def revision(self, task: str, language: str, split: str) -> str:
        """``id@commit/configuration/split``, with a hash of how its rows are read; asks the hub only where
        the row is pinned to no commit.

        Raises:
            UserError: the hub has no such split, or has to be asked and can't be reached.
        """
        row = task_named(task, self.catalogue)
        return revision_of(row, lambda part: self._revision(part, language, split))

    def held_out(self, task: str, language: str) -> bool:
        """Whether ``dev`` is the end of the training set, for want of a split of its own; of a task in parts,
        whether that of any part is."""
        row = task_named(task, self.catalogue)
        parts = (part for part in row.parts or (row,) if language in _languages(part, "dev"))
        return any(_placed(part, language, "dev")[2] for part in parts)

    def test_split(self, task: str) -> str:
        """``test`` where the hub has its labels, else ``dev``."""
        row = task_named(task, self.catalogue)
        return "test" if row.hub is not None and "test" in row.hub.splits else "dev"

    def notes(self, task: str, language: str, split: str) -> dict[str, int]:
        """What was dropped or repaired, counted; empty where all was well, or before ``load``."""
        row = task_named(task, self.catalogue)
        return added_up(self._notes.get((part.name, language, split), {}) for part in row.parts or (row,))

    def _load(self, row: Task, language: str, split: str) -> Sequence[Example]:
        hub, part, held = _placed(row, language, split)
        data = _download(hub, language, hub.splits[part], self._answers())
        notes: dict[str, int] = {}
        examples = examples_of(row, hub, data, language, split, notes)
        self._notes[row.name, language, split] = notes
        if not held:
            return examples
        kept, out = hold_out(examples)
        return kept if split == "train" else out

    def _revision(self, row: Task, language: str, split: str) -> str:
        hub, part, held = _placed(row, language, split)
        key = (hub.id, hub.revision)
        if key not in self._commits:
            self._commits[key] = hub.revision if _is_commit(hub.revision) else _commit(hub, self._answers())
        suffix = {"train": "-kept", "dev": "-held"}[split] if held else ""
        where = config_of(hub, language) or "default"
        how = digest({"split": part, **reading_of(row, hub=hub)})[:8]
        return f"{hub.id}@{self._commits[key]}/{where}/{hub.splits[part]}{suffix}/{how}"

    def _answers(self) -> bool:
        if self._online is None:
            self._online = hub_answers()
        return self._online


def _languages(row: Task, split: str) -> tuple[str, ...]:
    if row.parts:
        first, *others = (_languages(part, split) for part in row.parts)
        return tuple(code for code in first if all(code in other for other in others))
    if row.hub is None:
        return ()
    codes: tuple[str, ...] = ()
    if split == "train" or (split == "dev" and "dev" not in row.hub.splits):  # dev: held out of train
        codes = row.trains_in if "train" in row.hub.splits else ()
    elif split in row.hub.splits:
        listed = row.hub.languages or (*row.languages, *row.added)
        codes = tuple(code for code in listed if code not in row.hub.absent.get(split, ()))
    if row.translated is None or split == "test":
        return codes
    return (*codes, *(code for code in row.translated.languages if code not in codes))


def _placed(row: Task, language: str, split: str) -> tuple[Hub, str, bool]:
    """Where the examples are, in which split of ours, and whether that one is the training set with its
    last part held out.

    Raises:
        UserError: the hub has no such split in this language.
    """
    if language not in _languages(row, split):
        splits = {name: _languages(row, name) for name in ("train", "dev", "test")}
        has = "; ".join(f"{name}: {' '.join(codes)}" for name, codes in splits.items() if codes)
        hint = f"train on {row.train}, or " if split == "train" and row.train not in (None, row.name) else ""
        raise UserError(
            f"no {split} split of {row.name} in {language!r} on the hub",
            expected=has or f"nothing: {row.no_hub or 'its row names no place there'}",
            do=f"{hint}pass a folder with the original files ({row.url})",
        )
    own = language in (*row.languages, *row.added, *row.trains_in)
    hub = row.hub if own else row.translated
    assert hub is not None  # it has languages
    part = split if split in hub.splits else "train"
    return hub, part, part == "train" and "dev" not in hub.splits


def _download(hub: Hub, language: str, split: str, online: bool) -> Any:
    """The dataset, or the one file of it that the row names; from the local cache alone where not ``online``.

    Raises:
        UserError: for whatever keeps it from coming.
    """
    import datasets
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    config, file = config_of(hub, language), file_of(hub, language)
    what = f"{hub.id}{'' if config is None else f' ({config})'}, split {split}"
    try:
        with nullcontext() if online else _cache_only():
            if file is not None:
                return datasets.Dataset.from_parquet(_one_file(hub, file, online))
            data = datasets.load_dataset(hub.id, config, split=split, revision=hub.revision)
    except (
        datasets.exceptions.DatasetNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    ) as error:
        raise UserError(
            f"the hub does not have {what} at revision {hub.revision}: {_first_line(error)}",
            do="check HF_ENDPOINT, and for a private mirror its token; or pass a folder (--data DIR)",
        ) from None
    except Exception as error:
        if not online or _is_connection(error):
            raise _unreachable(what, error) from None
        # ValueError: no such configuration; RuntimeError: a script; and what a broken file raises.
        raise UserError(
            f"could not read {what} from the hub: {_first_line(error)}",
            expected=f"plain data at revision {hub.revision}",
            do=REPORT,
        ) from error
    # Without a connection `datasets` takes whatever revision it finds in its cache.
    folders = {part for file in data.cache_files for part in PurePath(file["filename"]).parts}
    other = {folder for folder in folders if _is_commit(folder)} - {hub.revision}
    if _is_commit(hub.revision) and other:
        raise UserError(
            f"the local cache has {what} at another revision, {other.pop()}",
            expected=f"revision {hub.revision}",
            do="connect once, so that it can be downloaded; or pass a folder (--data DIR)",
        )
    return data


def _one_file(hub: Hub, pattern: str, online: bool) -> str:
    """Where the first file that matches lies, downloaded if need be. Raises what `huggingface_hub` does, and
    ``FileNotFoundError`` where none matches."""
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        hub.id,
        repo_type="dataset",
        revision=hub.revision,
        allow_patterns=pattern,
        local_files_only=not online,
    )
    if not (found := sorted(Path(folder).glob(pattern))):
        raise FileNotFoundError(f"no file {pattern}")
    return str(found[0])


@contextmanager
def _cache_only() -> Iterator[None]:
    """`datasets` without attempts at a hub that is known not to answer: it would wait half a minute
    for every language."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _is_commit(revision: str) -> bool:
    return len(revision) == 40 and set(revision) <= set("0123456789abcdef")


def _commit(hub: Hub, online: bool = True) -> str:
    """The commit that a branch or tag is at. Raises ``UserError`` where the hub can't be asked."""
    from huggingface_hub import HfApi

    try:
        if not online:
            raise ConnectionError("it does not answer")
        return str(HfApi().dataset_info(hub.id, revision=hub.revision, timeout=SECONDS).sha)
    except Exception as error:
        raise _unreachable(f"the commit of {hub.id}@{hub.revision}", error) from None


def _is_connection(error: BaseException | None) -> bool:
    """Whether a connection is at the bottom of it: the libraries wrap it in several of their own."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    kinds = (ConnectionError, TimeoutError, LocalEntryNotFoundError, OfflineModeIsEnabled)
    clients = ("requests", "httpx", "aiohttp", "urllib3")
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        answered = getattr(error, "response", None) is not None  # the hub is there, and said no
        if isinstance(error, kinds) or (type(error).__module__.split(".")[0] in clients and not answered):
            return True
        error = error.__cause__ or error.__context__
    return False


def _unreachable(what: str, error: BaseException) -> UserError:
    import os

    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    return UserError(
        f"could not reach the hub at {endpoint} for {what}: {_first_line(error)}",
        expected="a connection, or the data in the local cache",
        do="check the connection (HF_HUB_OFFLINE must be unset), set HF_ENDPOINT to a mirror, "
        "or pass a folder with the data (--data DIR)",
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"
