"""Examples as items, kept on disk where they are many, so that the next start finds them.

    ROOT/cache/<address>/     one .npy a column of ``kinds.flat``, and manifest.json
    ROOT/locks/<address>.lock held by the process that encodes

The address is a hash of all that determines the items: the data's revision, what the task asks, the
tokenizer, lengths, and the code of readers and kinds. Items are kept only where that leaves room on the
disk for modules. Whatever is not whole is made again; nothing else ever refers to it, so the folder can
be removed at any time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

from xadapt.backbone.backbone import Backbone
from xadapt.common.files import file_digest, temporary
from xadapt.common.launch import leads
from xadapt.common.progress import Advance, Watch
from xadapt.common.workers import in_order, processes
from xadapt.data.lazy import Deferred
from xadapt.kinds import kind_of
from xadapt.kinds.candidates import encode_new
from xadapt.kinds.flat import Block, FlatItems, UnplainError, Writer, flatten, mapped
from xadapt.kinds.kind import TOGETHER, Item
from xadapt.store.cache import Cache, code_version
from xadapt.store.store import Store, address_of
from xadapt.tasks import Task, asked
from xadapt.tasks.examples import Example, Sought

MANY = 20_000  # examples from which on their items are kept on disk
SEVERAL = 50_000  # examples from which on starting processes pays

Notes = Mapping[str, Mapping[str, int]]  # language -> what the readers dropped or repaired
Pool = dict[Example, tuple[Sequence[int], ...]]  # texts that were encoded before -> their token ids


class Request(NamedTuple):
    """What is to be encoded.

    Attributes:
        task: whose kind encodes.
        data: what determines the examples; plain JSON.
        load: gives them, and what the readers noted of them.
        at_most: how many there can be, where that is known.
        shown: what they are called on the screen.
    """

    task: Task
    data: Mapping[str, Any]
    load: Callable[[], tuple[Sequence[Example], Notes]]
    at_most: int | None
    max_length: int
    training: bool
    shown: str


class Encoded(NamedTuple):
    """Examples and their items; where the items were found, the examples are read when they are asked for."""

    examples: Sequence[Example]
    items: Sequence[Item]
    notes: Notes


class Found(NamedTuple):
    """Items on disk, of how many examples they are, and what the readers noted of these."""

    examples: int
    items: FlatItems
    notes: Notes


def encoded(
    request: Request,
    backbone: Backbone,
    store: Store,
    progress: Watch,
    pool: Pool,
    *,
    workers: int | None = None,
) -> Encoded:
    """The examples and their items, from the disk where they are kept there.

    Args:
        pool: of the same task and length; texts of a retrieval pool that are encoded are added to it.
        workers: processes that encode what is kept on disk; None for as many as help.

    Raises:
        UserError: what loading and encoding raise.
    """
    address = None
    if kind_of(request.task).separable and (request.at_most is None or request.at_most >= MANY):
        address = items_address(request, backbone)
        if found := find(store.cache, address):
            return Encoded(Deferred(found.examples, lambda: request.load()[0]), found.items, found.notes)
    with progress.stage(f"read {request.shown}", None):
        examples, notes = request.load()
    if address is not None and len(examples) >= MANY and leads():
        waiting = f"waiting for another run that encodes {request.shown}"
        with store.lock(address, on_wait=lambda: progress.note(waiting)):
            found = find(store.cache, address)
            if found is None:
                if workers is None:
                    workers = processes() if len(examples) >= SEVERAL else 1
                try:
                    with progress.stage(f"encode {request.shown}", len(examples)) as advance:
                        blocks = in_order(_encoder(request, backbone), _parts(examples), workers)
                        _write(store.cache, address, blocks, len(examples), notes, advance)
                    found = find(store.cache, address)
                except (OSError, UnplainError) as error:
                    progress.note(f"{request.shown} is not kept on disk: {error}")
        if found is not None:
            return Encoded(examples, found.items, notes)
    with progress.stage(f"encode {request.shown}", None):
        return Encoded(examples, _in_memory(request, backbone, examples, pool), notes)


def items_address(request: Request, backbone: Backbone) -> str:
    """Where the items are kept: a hash of all that determines them."""
    kind = type(kind_of(request.task)).__name__  # which metrics there are decides only on the kind
    return address_of(
        {
            "version": code_version(),
            "tokenizer": backbone.tokenizer_digest,
            "task": asked(request.task) | {"metrics": kind},
            "data": request.data,
            "max_length": request.max_length,
            "training": request.training,
        }
    )


def find(cache: Cache, address: str) -> Found | None:
    """What is kept there; None where there is nothing, or nothing whole."""
    place = cache.root / address
    try:
        content = cache.content(address)
        if content is None:
            return None
        for name, sha256 in content["files"].items():
            if file_digest(place / name) != sha256:
                return None
        cache.used(address)
        return Found(content["examples"], mapped(place, content["forms"]), content["notes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _in_memory(request: Request, backbone: Backbone, examples: Sequence[Example], pool: Pool) -> list[Item]:
    kind = kind_of(request.task)

    def encode(some: Sequence[Example]) -> list[Item]:
        return kind.encode(some, backbone.tokenizer, request.max_length, training=request.training)

    if kind.pooled and not request.training and all(isinstance(e, Sought) for e in examples):
        return encode_new(examples, pool, encode)
    return encode(examples)


def _encoder(request: Request, backbone: Backbone) -> Callable[[tuple[int, list[Example]]], Block]:
    """From a run of examples, and the index of its first, to a block of items."""
    kind, tokenizer = kind_of(request.task), backbone.tokenizer

    def encode(part: tuple[int, list[Example]]) -> Block:
        first, some = part
        items = kind.encode(some, tokenizer, request.max_length, training=request.training)
        return flatten(items, first)

    return encode


def _write(
    cache: Cache, address: str, blocks: Iterable[Block], examples: int, notes: Notes, advance: Advance
) -> None:
    """Put items into the place of ``address``, whole or not at all; the caller holds its lock.

    Args:
        blocks: of ``TOGETHER`` examples each, encoded as they are asked for.
        examples: how many there are.

    Raises:
        OSError: the disk refuses.
        UnplainError: the kind's targets or notes are not what can be kept.
    """
    part = temporary(cache.root, address)
    try:
        for path in cache.abandoned():
            shutil.rmtree(path, ignore_errors=True)
        with closing(Writer(part)) as writer:
            done = 0
            for block in blocks:
                cache.check_room()
                writer.add(block)
                advance(min(TOGETHER, examples - done))
                done += TOGETHER
            counts, forms = writer.finish()
        files = {file.name: file_digest(file) for file in sorted(part.iterdir())}
        content = {"examples": examples, "counts": counts, "forms": forms, "notes": notes, "files": files}
        cache.put(address, part, content)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _parts(examples: Sequence[Example]) -> Iterator[tuple[int, list[Example]]]:
    """Runs of examples, each with the index of its first."""
    rest = iter(examples)
    first = 0
    while some := list(islice(rest, TOGETHER)):
        yield first, some
        first += len(some)
