"""Examples from the Hugging Face hub, or a mirror of it (``HF_ENDPOINT``).

Only repositories of plain data; a dataset script is never run. The revisions are
pinned in the catalogue, so what was downloaded once is found again without a
connection. A test split whose labels the hub withholds is not in the catalogue's rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import PurePath
from typing import Any

from xadapt.data.examples import Example
from xadapt.data.hub_rows import REPORT, config_of, examples_of
from xadapt.data.reading import hold_out
from xadapt.errors import UserError
from xadapt.reach import hub_answers
from xadapt.tasks.catalogue import task_named
from xadapt.tasks.task import Hub, Task


class HubSource:
    """A ``Source``: what the catalogue's hub rows name. Nothing is asked of the hub before ``load``
    (and ``revision``, for a row that is pinned to no commit)."""

    name = "hub"

    def __init__(self) -> None:
        self._commits: dict[tuple[str, str], str] = {}
        self._online: bool | None = None  # asked once, at the first download

    def languages(self, task: str, split: str) -> tuple[str, ...]:
        """The task's languages in which the hub has ``split``, by the catalogue; training is in English."""
        row = task_named(task)
        if row.hub is None:
            return ()
        if split == "train":
            return ("en",) if "train" in row.hub.splits else ()
        if split not in row.hub.splits:
            return ("en",) if split == "dev" and "train" in row.hub.splits else ()
        return tuple(code for code in row.languages if code not in row.hub.absent.get(split, ()))

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        """Every example, in the hub's order.

        Raises:
            UserError: the hub has no such split, can't be reached, or has other columns or labels.
        """
        row, hub, part = self._row(task, language, split)
        if self._online is None:
            self._online = hub_answers()
        data = _download(hub, config_of(hub, language), hub.splits[part], self._online)
        examples = examples_of(row, hub, data, language, split)
        if "dev" in hub.splits or split == "test":
            return examples
        kept, held = hold_out(examples)
        return kept if split == "train" else held

    def revision(self, task: str, language: str, split: str) -> str:
        """``id@commit/configuration/split``; asks the hub only where the row is pinned to no commit.

        Raises:
            UserError: the hub has no such split, or has to be asked and can't be reached.
        """
        _, hub, part = self._row(task, language, split)
        key = (hub.id, hub.revision)
        if key not in self._commits:
            self._commits[key] = _commit(hub)
        held = "" if "dev" in hub.splits or split == "test" else {"train": "-kept", "dev": "-held"}[split]
        return (
            f"{hub.id}@{self._commits[key]}/{config_of(hub, language) or 'default'}/{hub.splits[part]}{held}"
        )

    def test_split(self, task: str) -> str:
        """``test`` where the hub has its labels, else ``dev``."""
        row = task_named(task)
        return "test" if row.hub is not None and "test" in row.hub.splits else "dev"

    def _row(self, task: str, language: str, split: str) -> tuple[Task, Hub, str]:
        """The rows, and the split to download: the training set where development is held out of it."""
        row = task_named(task)
        if language not in self.languages(task, split):
            has = "; ".join(
                f"{other}: {' '.join(self.languages(task, other))}"
                for other in ("train", "dev", "test")
                if self.languages(task, other)
            )
            where = f"no {split} split of {task} in {language!r} on the hub"
            hint = f"train on {row.train}, or " if split == "train" and row.train not in (None, task) else ""
            raise UserError(
                where,
                expected=has or f"nothing: the hub has {task} only as a script, which is never run",
                do=f"{hint}pass a folder with the original files ({row.url})",
            )
        assert row.hub is not None  # it has languages
        return row, row.hub, split if split in row.hub.splits else "train"


def _download(hub: Hub, config: str | None, split: str, online: bool) -> Any:
    """The dataset; from the local cache alone where not ``online``.

    Raises:
        UserError: for whatever keeps it from coming.
    """
    import datasets
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    what = f"{hub.id}{'' if config is None else f' ({config})'}, split {split}"
    try:
        with nullcontext() if online else _cache_only():
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


def _commit(hub: Hub) -> str:
    """The commit that the row's revision is. Raises ``UserError`` where the hub can't be asked."""
    if _is_commit(hub.revision):
        return hub.revision
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(hub.id, revision=hub.revision).sha)
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
