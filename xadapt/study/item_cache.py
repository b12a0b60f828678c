"""Examples as items, kept on disk where they are many, so that the next start finds them.

    ROOT/cache/<address>/     one .npy a column of ``kinds.flat``, and manifest.json
    ROOT/locks/<address>.lock held by the process that encodes

The address is a hash of all that determines the items: the data's revision, what the task asks, the
tokenizer, lengths, and the code of readers and kinds. Items are kept only where that leaves room on the
disk for modules. Whatever is not whole is made again;
nothing else ever refers to it, so the folder can be removed at any time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

from xadapt.backbone.backbone import Backbone
from xadapt.common.files import file_digest, json_text, read_json, sync, temporary
from xadapt.common.identity import digest
from xadapt.common.progress import Watch
from xadapt.common.workers import in_order, processes
from xadapt.data.lazy import Deferred
from xadapt.kinds import kind_of
from xadapt.kinds.flat import Block, FlatItems, UnplainError, Writer, flatten, mapped
from xadapt.kinds.kind import TOGETHER, Item
from xadapt.kinds.pools import encoded_once
from xadapt.store.cache import MANIFEST, code_version
from xadapt.store.store import Store, address_of
from xadapt.tasks import Task, asked
from xadapt.tasks.examples import Example, Sought

MANY = 20_000  # examples from which on their items are kept on disk
SEVERAL = 50_000  # examples from which on starting processes pays


Notes = Mapping[str, Mapping[str, int]]


class Wanted(NamedTuple):
    """What is to be encoded.

    Attributes:
        task: whose kind encodes.
        data: what determines the examples; plain JSON.
        load: gives them.
        at_most: how many there can be, where that is known.
        shown: what they are called on the screen.
        notes: gives what the readers dropped or repaired, by language; asked after ``load``, kept beside.
        noted: is told of it where the items are found and nothing is loaded.
    """

    task: Task
    data: Mapping[str, Any]
    load: Callable[[], Sequence[Example]]
    at_most: int | None
    max_length: int
    training: bool
    shown: str
    notes: Callable[[], Notes] = dict
    noted: Callable[[Notes], None] = lambda kept: None


class Encoder:
    """From examples to items.

    Args:
        many: from how many examples on the items are kept on disk.
        workers: processes that encode; None for as many as help.
    """

    def __init__(
        self, backbone: Backbone, store: Store, watch: Watch, *, many: int = MANY, workers: int | None = None
    ) -> None:
        self.backbone, self.store, self.watch = backbone, store, watch
        self.many, self.workers = many, workers
        self.cache, self.root = store.cache, store.cache.root
        # Task and length -> the texts of its pool, as every language's evaluation reads them.
        self._pools: dict[tuple[str, int], dict[Example, tuple[Sequence[int], ...]]] = {}

    def __call__(self, wanted: Wanted) -> tuple[Sequence[Example], Sequence[Item]]:
        """The examples and their items; examples that are only counted so far where the items were found.

        Raises:
            UserError: what loading and encoding raise.
        """
        address = None
        separable = kind_of(wanted.task).separable
        if separable and (wanted.at_most is None or wanted.at_most >= self.many):
            address = self.address(wanted)
            if found := self.find(address):
                wanted.noted(found.notes)
                return Deferred(found.examples, wanted.load), found.items
        with self.watch.stage(f"read {wanted.shown}", None):
            examples = wanted.load()
        if address is None or len(examples) < self.many:
            return examples, self._in_memory(wanted, examples)
        waiting = lambda: self.watch.note(f"waiting for another run that encodes {wanted.shown}")  # noqa: E731
        with self.store.lock(address, on_wait=waiting):
            found = self.find(address)
            if found is None:
                try:
                    self._write(address, wanted, examples)
                    found = self.find(address)
                except (OSError, UnplainError) as error:
                    self.watch.note(f"{wanted.shown} is not kept on disk: {error}")
        if found is None:
            return examples, self._in_memory(wanted, examples)
        return examples, found.items

    def address(self, wanted: Wanted) -> str:
        """Where the items are kept."""
        kind = type(kind_of(wanted.task)).__name__  # which metrics there are decides only on the kind
        return address_of(
            {
                "version": code_version(),
                "tokenizer": self.backbone.tokenizer_digest,
                "task": asked(wanted.task) | {"metrics": kind},
                "data": wanted.data,
                "max_length": wanted.max_length,
                "training": wanted.training,
            }
        )

    def find(self, address: str) -> Found | None:
        """What is kept there; None where there is nothing, or nothing whole."""
        place = self.root / address
        try:
            manifest = read_json(place / MANIFEST)
            if manifest is None or manifest["sha256"] != digest([address, manifest["content"]]):
                return None
            content = manifest["content"]
            for name, sha256 in content["files"].items():
                if file_digest(place / name) != sha256:
                    return None
            self.cache.used(address)
            return Found(content["examples"], mapped(place, content["forms"]), content["notes"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _in_memory(self, wanted: Wanted, examples: Sequence[Example]) -> list[Item]:
        kind, tokenizer = kind_of(wanted.task), self.backbone.tokenizer

        def encode(some: Sequence[Example]) -> list[Item]:
            return kind.encode(some, tokenizer, wanted.max_length, training=wanted.training)

        with self.watch.stage(f"encode {wanted.shown}", None):
            if kind.pooled and not wanted.training and all(isinstance(e, Sought) for e in examples):
                known = self._pools.setdefault((wanted.task.name, wanted.max_length), {})
                return encoded_once(examples, known, encode)
            return encode(examples)

    def _write(self, address: str, wanted: Wanted, examples: Sequence[Example]) -> None:
        """Encode into the place of ``address``, whole or not at all; the caller holds its lock.

        Raises:
            OSError: the disk refuses.
            UnplainError: the kind's targets or notes are not what can be kept.
        """
        kind, tokenizer = kind_of(wanted.task), self.backbone.tokenizer

        def work(part: tuple[int, list[Example]]) -> Block:
            first, some = part
            items = kind.encode(some, tokenizer, wanted.max_length, training=wanted.training)
            return flatten(items, first)

        workers = self.workers
        if workers is None:
            workers = processes() if len(examples) >= SEVERAL else 1
        place = self.root / address
        part = temporary(self.root, address)
        try:
            for path in self.cache.abandoned():
                shutil.rmtree(path, ignore_errors=True)
            with closing(Writer(part)) as writer:
                with self.watch.stage(f"encode {wanted.shown}", len(examples)) as advance:
                    done = 0
                    for block in in_order(work, _parts(examples), workers):
                        self.cache.check_room()
                        writer.add(block)
                        advance(min(TOGETHER, len(examples) - done))
                        done += TOGETHER
                counts, forms = writer.finish()
            content = {
                "version": code_version(),
                "examples": len(examples),
                "counts": counts,
                "forms": forms,
                "notes": wanted.notes(),
                "files": {file.name: file_digest(file) for file in sorted(part.iterdir())},
            }
            whole = {"content": content, "sha256": digest([address, content])}
            (part / MANIFEST).write_text(json_text(whole, indent=1), encoding="utf-8")
            for file in part.iterdir():
                sync(file)
            sync(part)
            if os.path.lexists(place):  # what 'find' refused
                shutil.rmtree(place)
            part.rename(place)
            sync(self.root)
        finally:
            shutil.rmtree(part, ignore_errors=True)


class Found(NamedTuple):
    """Items on disk, of how many examples they are, and what the readers noted of these."""

    examples: int
    items: FlatItems
    notes: Notes


def _parts(examples: Sequence[Example]) -> Iterator[tuple[int, list[Example]]]:
    """Runs of examples, each with the index of its first."""
    rest = iter(examples)
    first = 0
    while some := list(islice(rest, TOGETHER)):
        yield first, some
        first += len(some)
