"""Predictions and scores of one head on one mounted stack."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from xadapt.data.examples import Example
from xadapt.kinds.flat import lengths_of
from xadapt.kinds.kind import Item, Kind
from xadapt.mount import Mounted
from xadapt.packing import Packed, budgeted, pack

# Tokens in one forward pass: bounds memory, changes no result.
BATCH_TOKENS = 16_384

# Vectors of all layers of a large pool go to a temporary file above this.
IN_MEMORY = 2**31

Tick = Callable[[int], None]


def predict(
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

    def keep(run: Sequence[int], batch: Packed, chosen: Sequence[Item]) -> None:
        hidden = mounted.encode(batch, kind.layer(mounted.model.config))
        for i, output in zip(run, kind.outputs(head, hidden, batch, chosen), strict=True):
            results[i] = output

    _batches(mounted, head, items, keep, batch_tokens, tick)
    return results


def predictions(
    mounted: Mounted,
    head: nn.Module,
    kind: Kind,
    examples: Sequence[Example],
    items: Sequence[Item],
    *,
    tuning: tuple[Sequence[Example], Sequence[Item]] | None = None,
    tick: Tick = lambda n: None,
) -> list[Any]:
    """The kind's predictions for ``examples``, which ``items`` encode; no labels are needed."""
    (made,) = answers(mounted, head, [kind], examples, items, tuning=tuning, tick=tick)
    return made


def predict_layers(
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
        kinds: whose outputs are arrays, equally shaped for all items.

    Returns:
        For each kind what ``predict`` gives.
    """
    layers = [_layer(kind, mounted) for kind in kinds]
    table: np.ndarray | None = None

    def keep(run: Sequence[int], batch: Packed, chosen: Sequence[Item]) -> None:
        nonlocal table
        for number, hidden in enumerate(mounted.states(batch, max(layers))):
            for k in (k for k, layer in enumerate(layers) if layer == number):
                rows = np.stack(kinds[k].outputs(head, hidden, batch, chosen))
                if table is None:
                    table = _room((len(kinds), len(items), *rows.shape[1:]), rows.dtype)
                table[k, list(run)] = rows

    _batches(mounted, head, items, keep, batch_tokens, tick)
    return [] if table is None else list(table)


def evaluate(
    mounted: Mounted,
    head: nn.Module,
    kind: Kind,
    examples: Sequence[Example],
    items: Sequence[Item],
    *,
    language: str | None = None,
    tuning: tuple[Sequence[Example], Sequence[Item]] | None = None,
    tick: Tick = lambda n: None,
) -> dict[str, float]:
    """Metric -> 0..100 on ``examples``, which ``items`` encode.

    Args:
        tuning: dev examples of the same language and their items, for a kind that is ``tuned``; where they
            are the very ``examples``, the score is the best that a threshold can give.
    """
    (scores,) = evaluate_layers(
        mounted, head, [kind], examples, items, language=language, tuning=tuning, tick=tick
    )
    return scores


def evaluate_layers(
    mounted: Mounted,
    head: nn.Module,
    kinds: Sequence[Kind],
    examples: Sequence[Example],
    items: Sequence[Item],
    *,
    language: str | None = None,
    tuning: tuple[Sequence[Example], Sequence[Item]] | None = None,
    tick: Tick = lambda n: None,
) -> list[dict[str, float]]:
    """``evaluate`` for kinds that differ only in the layer that they read, in one pass over the data."""
    decided = answers(mounted, head, kinds, examples, items, tuning=tuning, tick=tick)
    return [
        kind.score(examples, predictions, language=language)
        for kind, predictions in zip(kinds, decided, strict=True)
    ]


def answers(
    mounted: Mounted,
    head: nn.Module,
    kinds: Sequence[Kind],
    examples: Sequence[Example],
    items: Sequence[Item],
    *,
    tuning: tuple[Sequence[Example], Sequence[Item]] | None = None,
    tick: Tick = lambda n: None,
) -> Iterator[list[Any]]:
    """For each kind one prediction an example. What must be fitted is fitted on ``tuning`` first.

    Raises:
        ValueError: a kind is ``tuned``, and there is nothing to tune it on.
    """

    def outputs(of: Sequence[Item]) -> list[Sequence[Any]]:
        if len(kinds) == 1:
            return [predict(mounted, head, kinds[0], of, tick=tick)]
        return predict_layers(mounted, head, kinds, of, tick=tick)

    found = outputs(items)
    tuned = any(kind.tuned for kind in kinds)
    if tuned and tuning is None:
        raise ValueError("this kind is tuned on dev examples, and there are none")
    dev = None if not tuned or tuning is None else found if tuning[1] is items else outputs(tuning[1])
    for k, kind in enumerate(kinds):
        ready = kind if dev is None or tuning is None else kind.fit(*tuning, dev[k])
        yield ready.decode(examples, items, found[k])


@torch.inference_mode()
def _batches(
    mounted: Mounted,
    head: nn.Module,
    items: Sequence[Item],
    keep: Callable[[Sequence[int], Packed, Sequence[Item]], None],
    batch_tokens: int,
    tick: Tick,
) -> None:
    """Hand all items to ``keep``, batch by batch: their indices, their sequences, the items."""
    mounted.model.eval()
    head.eval()
    # Items of like length share a batch: fewer attention calls.
    lengths = lengths_of(items)
    order = np.argsort(lengths, kind="stable").tolist()
    for run in budgeted(lengths[order].tolist(), batch_tokens):
        places = [order[i] for i in run]
        chosen = [items[i] for i in places]
        keep(places, pack([s for item in chosen for s in item.sequences]).to(mounted.device), chosen)
        tick(len(run))


def _layer(kind: Kind, mounted: Mounted) -> int:
    layer = kind.layer(mounted.model.config)
    return mounted.model.config.num_hidden_layers if layer is None else layer


def _room(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array; in a file without a name, gone with the array, where it is large."""
    if int(np.prod(shape)) * dtype.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype=dtype)
    return np.memmap(tempfile.TemporaryFile(), dtype=dtype, mode="w+", shape=shape)
