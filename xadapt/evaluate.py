"""Predictions and scores of one head on one mounted stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from xadapt.data.examples import Example
from xadapt.kinds.flat import lengths_of
from xadapt.kinds.kind import Item, Kind
from xadapt.mount import Mounted
from xadapt.packing import budgeted, pack

# Tokens in one forward pass: bounds memory, changes no result.
BATCH_TOKENS = 16_384


@torch.inference_mode()
def predict(
    mounted: Mounted,
    head: nn.Module,
    kind: Kind,
    items: Sequence[Item],
    *,
    batch_tokens: int = BATCH_TOKENS,
    tick: Callable[[int], None] = lambda n: None,
) -> list[Any]:
    """The kind's outputs, one an item, in the items' order.

    Args:
        tick: called with the number of items done after each batch.
    """
    mounted.model.eval()
    head.eval()
    layer = kind.layer(mounted.model.config)
    # Items of like length share a batch: fewer attention calls.
    lengths = lengths_of(items)
    order = np.argsort(lengths, kind="stable").tolist()
    results: list[Any] = [None] * len(items)
    for run in budgeted(lengths[order].tolist(), batch_tokens):
        chosen = [items[order[i]] for i in run]
        batch = pack([s for item in chosen for s in item.sequences]).to(mounted.device)
        hidden = mounted.encode(batch, layer)
        for i, output in zip(run, kind.outputs(head, hidden, batch, chosen), strict=True):
            results[order[i]] = output
        tick(len(run))
    return results


def predictions(
    mounted: Mounted,
    head: nn.Module,
    kind: Kind,
    examples: Sequence[Example],
    items: Sequence[Item],
    *,
    tick: Callable[[int], None] = lambda n: None,
) -> list[Any]:
    """The kind's predictions for ``examples``, which ``items`` encode; no labels are needed."""
    return kind.decode(examples, items, predict(mounted, head, kind, items, tick=tick))


def evaluate(
    mounted: Mounted,
    head: nn.Module,
    kind: Kind,
    examples: Sequence[Example],
    items: Sequence[Item],
    *,
    language: str | None = None,
    tick: Callable[[int], None] = lambda n: None,
) -> dict[str, float]:
    """Metric -> 0..100 on ``examples``, which ``items`` encode."""
    made = predictions(mounted, head, kind, examples, items, tick=tick)
    return kind.score(examples, made, language=language)
