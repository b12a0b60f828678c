"""What the layers below a stack's lowest module make of each item, kept on disk.

    ROOT/cache/<address>/     states.bin: (tokens, H) of all items one after the other
                              checks.npy: a CRC-32 an item; manifest.json

Nothing there depends on what is learned, so all modules, seeds, stacks and studies on one backbone read the
same: the address is a hash of backbone, type, number of layers and of all that determines the items
(``item_cache.items_address``). States are kept in the type that they are computed in, so that a run with
them gives what a run without them gives, to rounding in products. An entry is written whole or not at all,
in one pass over the items in an order of its own, and each item's bytes are checked when they are read.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.packing import budgeted
from xadapt.common.errors import UserError
from xadapt.common.files import TEMPORARY, file_digest, temporary
from xadapt.common.launch import processes
from xadapt.common.progress import Watch
from xadapt.kinds.flat import lengths_of
from xadapt.kinds.kind import Hidden, Item, Kind
from xadapt.mount import Mounted, mount
from xadapt.store.cache import Cache
from xadapt.store.store import Store, address_of
from xadapt.train.batches import BATCH_TOKENS, read

STATES, CHECKS = "states.bin", "checks.npy"
TRUNK_VERSION = 2  # raised when the same backbone and items would give other states
GIGABYTE = 10**9


def kept_type(backbone: Backbone) -> torch.dtype:
    """What the layers' output is in: on a CPU the backbone's own type; elsewhere autocast computes norms, and
    so what comes out of a layer, in float32."""
    return backbone.dtype if backbone.device.type == "cpu" else torch.float32


def bytes_a_token(backbone: Backbone) -> int:
    """What one token's states take on disk."""
    return backbone.config.hidden_size * kept_type(backbone).itemsize


def kept_depth(cache_gb: float, mounted: Mounted, kind: Kind) -> int:
    """After how many layers states are kept for a stack and a kind; 0 where there is nothing to keep: a
    module acts in the first layer, or the kind draws its tokens anew in each step, or reads another layer
    than the last."""
    layers = mounted.model.config.num_hidden_layers
    plain = type(kind).draw is Kind.draw and kind.layer(mounted.model.config) is None
    return mounted.lowest if cache_gb and plain and 0 < mounted.lowest < layers else 0


class WithStates(Sequence[Item]):
    """Items with the states of their tokens, read from the disk when an item is asked for.

    Attributes:
        lengths: (items,) tokens in all, int64.
    """

    def __init__(self, items: Sequence[Item], place: Path, depth: int, width: int, dtype: np.dtype) -> None:
        self._items, self._place, self._depth = items, place, depth
        self.lengths: np.ndarray = lengths_of(items)
        self._ends = np.concatenate([[0], np.cumsum(self.lengths)])
        shape = (int(self._ends[-1]), width)
        self._states = np.memmap(place / STATES, dtype=dtype, mode="r", shape=shape)
        self._checks = np.load(place / CHECKS, allow_pickle=False)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        states = np.asarray(self._states[self._ends[i] : self._ends[i + 1]])
        if zlib.crc32(states.data) != self._checks[i]:
            raise UserError(
                f"the kept states of item {i} are damaged",
                expected="what was written",
                do="remove this folder: it is made again",
                path=self._place,
            )
        return replace(self._items[i], hidden=Hidden(self._depth, states))

    def __iter__(self) -> Iterator[Item]:
        return (self[i] for i in range(len(self)))


def with_states(
    items: Sequence[Item],
    items_at: str,
    depth: int,
    kind: Kind,
    backbone: Backbone,
    store: Store,
    progress: Watch,
    *,
    at_most: float,
    shown: str,
) -> Sequence[Item]:
    """The items with what the backbone's first ``depth`` layers make of them; without where there is no room.

    Args:
        items_at: the address of the items.
        kind: which has encoded them.
        at_most: gigabytes that all entries of this store may take together.
        shown: what the items are called on the screen.
    """
    if not len(items):
        return items
    address = address_of(
        {
            "trunk": TRUNK_VERSION,
            "items": items_at,
            "backbone": backbone.fingerprint,
            "dtype": [backbone.dtype_name, str(kept_type(backbone))],
            "depth": depth,
        }
    )
    dtype = np.dtype("<u2" if kept_type(backbone) == torch.bfloat16 else "<f4")
    place, width = store.cache.root / address, backbone.config.hidden_size
    # Of several processes none would wait for the one that writes: they take what there is.
    if not _whole(store.cache, address) and processes() == 1:
        waiting = f"waiting for another run that keeps {shown}"
        with store.lock(address, on_wait=lambda: progress.note(waiting)):
            if not _whole(store.cache, address):
                size = int(lengths_of(items).sum()) * bytes_a_token(backbone)
                taken = kept_bytes(store.cache)
                if size + taken > at_most * GIGABYTE:
                    progress.note(
                        f"what layers 0 to {depth - 1} make of {shown} is not kept: it takes "
                        f"{size / GIGABYTE:.2f} GB, {taken / GIGABYTE:.2f} GB are kept already, and "
                        f"--cache-gb is {at_most:g}"
                    )
                    return items
                try:
                    with progress.stage(f"layers 0 to {depth - 1} on {shown}", len(items)) as advance:
                        _write(store.cache, address, items, depth, kind, backbone, advance)
                except OSError as error:
                    progress.note(f"what layers 0 to {depth - 1} make of {shown} is not kept: {error}")
    if not _whole(store.cache, address):
        return items
    try:
        store.cache.used(address)
        return WithStates(items, place, depth, width, dtype)
    except (OSError, ValueError):  # swept by another process meanwhile
        return items


def kept_bytes(cache: Cache) -> int:
    """What all entries of this kind take, in any version; those that are being written do not count."""
    total = 0
    for path in cache.root.glob(f"*/{STATES}"):
        with suppress(FileNotFoundError):  # removed by another process meanwhile
            total += 0 if path.parent.name.startswith(TEMPORARY) else path.stat().st_size
    return total


def _whole(cache: Cache, address: str) -> bool:
    place = cache.root / address
    try:
        content = cache.content(address)
        return (
            content is not None
            and (place / STATES).stat().st_size == content["bytes"]
            and (file_digest(place / CHECKS) == content["checks"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


@torch.inference_mode()
def _write(
    cache: Cache,
    address: str,
    items: Sequence[Item],
    depth: int,
    kind: Kind,
    backbone: Backbone,
    advance: Callable[[int], object],
) -> None:
    """Run the layers over all items, and put what comes out into the place of ``address``; the caller holds
    its lock. Raises OSError where the disk refuses, RuntimeError where the backbone was changed."""
    part = temporary(cache.root, address)
    lengths = lengths_of(items)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    checks = np.zeros(len(items), dtype=np.uint32)
    order = np.argsort(lengths, kind="stable").tolist()
    bare = mount(backbone, [])
    try:
        for path in cache.abandoned():
            shutil.rmtree(path, ignore_errors=True)
        with (part / STATES).open("w+b") as file:
            for run in budgeted(lengths[order].tolist(), BATCH_TOKENS):
                cache.check_room()
                places = [order[i] for i in run]
                batch = read(kind, [items[i] for i in places], backbone.device)
                rows = _bytes(bare.encode(batch.packed, depth).to(kept_type(backbone)))
                firsts, counts = batch.packed.starts.tolist(), batch.packed.lengths.tolist()
                at = 0
                for i, item in zip(places, batch.items, strict=True):
                    until = at + len(item.sequences)
                    own = np.concatenate(
                        [rows[f : f + n] for f, n in zip(firsts[at:until], counts[at:until], strict=True)]
                    )
                    at = until
                    file.seek(int(ends[i]) * own[:1].nbytes)
                    file.write(own.data)
                    checks[i] = zlib.crc32(own.data)
                advance(len(places))
        np.save(part / CHECKS, checks)
        content = {"bytes": (part / STATES).stat().st_size, "checks": file_digest(part / CHECKS)}
        backbone.verify()  # what a method of a user's own has changed must not outlive its process
        cache.put(address, part, content)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _bytes(hidden: Tensor) -> np.ndarray:
    """(T, H) as it is kept."""
    plain = hidden.detach().cpu().contiguous()
    return (plain.view(torch.uint16) if plain.dtype == torch.bfloat16 else plain).numpy()
