"""Outputs, predictions and scores of one head on one mounted stack: what the head says of each item, what the
kind makes of that for each example, and how good it is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from xadapt.backbone.packing import budgeted
from xadapt.kinds.candidates import as_pool
from xadapt.kinds.flat import lengths_of
from xadapt.kinds.kind import Item, Kind
from xadapt.kinds.metrics import Counts, score_of
from xadapt.mount import Mounted
from xadapt.tasks.examples import Example, Sought
from xadapt.train.batches import BATCH_TOKENS, Batch, read

# Vectors of all layers of a large pool go to a temporary file above this.
IN_MEMORY = 2**31

Tick = Callable[[int], None]
Known = dict[Sought, Any]  # candidate -> its output
Encoded = tuple[Sequence[Example], Sequence[Item]]  # examples and the items that encode them


def outputs_of(
    mounted: Mounted,
    head: nn.Module,
    kind: Kind,
    items: Sequence[Item],
    *,
    batch_tokens: int = BATCH_TOKENS,
    tick: Tick = lambda n: None,
) -> list[Any]:
    """The kind's outputs, one an item, in the items' order.

    Args:
        tick: called with the number of items done after each batch.
    """
    results: list[Any] = [None] * len(items)

    def keep(run: Sequence[int], batch: Batch) -> None:
        hidden = mounted.encode(batch.packed, kind.layer(mounted.model.config), batch.rows, batch.done)
        for i, output in zip(run, kind.outputs(head, hidden, batch.packed, batch.items), strict=True):
            results[i] = output

    _batches(mounted, head, kind, items, keep, batch_tokens, tick)
    return results


def predict(
    mounted: Mounted,
    head: nn.Module,
    kind: Kind,
    examples: Sequence[Example],
    items: Sequence[Item],
    *,
    tuning: Encoded | None = None,
    known: Known | None = None,
    tick: Tick = lambda n: None,
) -> list[Any]:
    """The kind's predictions for ``examples``, which ``items`` encode; no labels are needed."""
    (made,) = predict_layers(mounted, head, [kind], examples, items, tuning=tuning, known=known, tick=tick)
    return made


def pool_outputs(
    mounted: Mounted,
    head: nn.Module,
    kind: Kind,
    examples: Sequence[Example],
    items: Sequence[Item],
    known: Known,
    *,
    tick: Tick = lambda n: None,
) -> list[Any]:
    """``outputs_of`` for a kind that is ``pooled``: candidates in ``known`` are not encoded again. Afterwards
    it holds those of ``items`` and no others.

    Candidates share no batch with queries and go in the order of their ids, so that their outputs are the
    same bits whichever language is evaluated first.
    """
    pool = as_pool(examples)
    rows = [pool[item.example] for item in items]
    results = [known.get(row) for row in rows]
    candidates = [i for i, row in enumerate(rows) if row.side == "candidate"]
    new = sorted((i for i in candidates if results[i] is None), key=lambda i: rows[i].id)
    tick(len(candidates) - len(new))
    for part in (new, [i for i, row in enumerate(rows) if row.side == "query"]):
        outputs = outputs_of(mounted, head, kind, [items[i] for i in part], tick=tick)
        for i, output in zip(part, outputs, strict=True):
            results[i] = output
    known.clear()
    known.update((rows[i], results[i]) for i in candidates)
    return results


def layer_outputs(
    mounted: Mounted,
    head: nn.Module,
    kinds: Sequence[Kind],
    items: Sequence[Item],
    *,
    batch_tokens: int = BATCH_TOKENS,
    tick: Tick = lambda n: None,
) -> list[Sequence[Any]]:
    """The outputs of kinds that differ only in the layer that they read, from one pass over the items.

    Args:
        kinds: that read all tokens, and whose outputs are arrays, equally shaped for all items.

    Returns:
        For each kind what ``outputs_of`` gives.
    """
    layers = [_layer(kind, mounted) for kind in kinds]
    table: np.ndarray | None = None

    def keep(run: Sequence[int], batch: Batch) -> None:
        nonlocal table
        for number, hidden in enumerate(mounted.states(batch.packed, max(layers))):
            for k in (k for k, layer in enumerate(layers) if layer == number):
                rows = np.stack(kinds[k].outputs(head, hidden, batch.packed, batch.items))
                if table is None:
                    table = _empty_table((len(kinds), len(items), *rows.shape[1:]), rows.dtype)
                table[k, list(run)] = rows

    _batches(mounted, head, kinds[0], items, keep, batch_tokens, tick)
    return [] if table is None else list(table)


def evaluate(
    mounted: Mounted,
    head: nn.Module,
    kind: Kind,
    examples: Sequence[Example],
    items: Sequence[Item],
    *,
    language: str | None = None,
    tuning: Encoded | None = None,
    tick: Tick = lambda n: None,
) -> dict[str, float]:
    """Metric -> 0..100 on ``examples``, which ``items`` encode.

    Args:
        tuning: dev examples of the same language and their items, for a kind that is ``tuned``; where they
            are the very ``examples``, the score is the best that a threshold can give.
    """
    (counts,) = evaluate_layers(
        mounted, head, [kind], examples, items, language=language, tuning=tuning, tick=tick
    )
    return {metric: score_of(made) for metric, made in counts.items()}


def evaluate_layers(
    mounted: Mounted,
    head: nn.Module,
    kinds: Sequence[Kind],
    examples: Sequence[Example],
    items: Sequence[Item],
    *,
    language: str | None = None,
    tuning: Encoded | None = None,
    known: Known | None = None,
    tick: Tick = lambda n: None,
) -> list[dict[str, Counts]]:
    """What each example adds to the scores of ``evaluate``, for kinds that differ only in the layer that they
    read, in one pass over the data."""
    predictions = predict_layers(mounted, head, kinds, examples, items, tuning=tuning, known=known, tick=tick)
    return [
        kind.counts(examples, one, language=language) for kind, one in zip(kinds, predictions, strict=True)
    ]


def predict_layers(
    mounted: Mounted,
    head: nn.Module,
    kinds: Sequence[Kind],
    examples: Sequence[Example],
    items: Sequence[Item],
    *,
    tuning: Encoded | None = None,
    known: Known | None = None,
    tick: Tick = lambda n: None,
) -> Iterator[list[Any]]:
    """For each kind one prediction an example. What must be fitted is fitted on ``tuning`` first.

    Args:
        known: what the call before for the same stack, head and kind left of its pool, where the kind is
            ``pooled``; changed to this call's. Not used where several layers are read.

    Raises:
        ValueError: a kind is ``tuned``, and there is nothing to tune it on.
    """

    def outputs(rows: Sequence[Example], encoded: Sequence[Item]) -> list[Sequence[Any]]:
        if len(kinds) > 1:
            return layer_outputs(mounted, head, kinds, encoded, tick=tick)
        if kinds[0].pooled and known is not None:
            return [pool_outputs(mounted, head, kinds[0], rows, encoded, known, tick=tick)]
        return [outputs_of(mounted, head, kinds[0], encoded, tick=tick)]

    kinds = [kind.decoding_on(mounted.device) for kind in kinds]
    found = outputs(examples, items)
    if not any(kind.tuned for kind in kinds):
        fitted = list(kinds)
    elif tuning is None:
        raise ValueError("this kind is tuned on dev examples, and there are none")
    else:
        dev = found if tuning[1] is items else outputs(*tuning)
        fitted = [kind.fit(*tuning, one) for kind, one in zip(kinds, dev, strict=True)]
    for kind, one in zip(fitted, found, strict=True):
        yield kind.decode(examples, items, one)


@torch.inference_mode()
def _batches(
    mounted: Mounted,
    head: nn.Module,
    kind: Kind,
    items: Sequence[Item],
    keep: Callable[[Sequence[int], Batch], None],
    batch_tokens: int,
    tick: Tick,
) -> None:
    """Hand all items to ``keep``, batch by batch, with their indices."""
    mounted.model.eval()
    head.eval()
    # Items of like length share a batch: fewer attention calls.
    lengths = lengths_of(items)
    order = np.argsort(lengths, kind="stable").tolist()
    for run in budgeted(lengths[order].tolist(), batch_tokens):
        places = [order[i] for i in run]
        keep(places, read(kind, [items[i] for i in places], mounted.device))
        tick(len(run))


def _layer(kind: Kind, mounted: Mounted) -> int:
    layer = kind.layer(mounted.model.config)
    return mounted.model.config.num_hidden_layers if layer is None else layer


def _empty_table(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array; in a file without a name, gone with the array, where it is large."""
    if int(np.prod(shape)) * dtype.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype=dtype)
    return np.memmap(tempfile.TemporaryFile(), dtype=dtype, mode="w+", shape=shape)
