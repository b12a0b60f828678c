"""Items to measure on: random tokens at the lengths of real training sets, and batches of them.

``lengths.json`` holds how many sequences of each length the sets have (``count_lengths.py`` made it). Every
round has items of its own, drawn by its number, so that no single draw decides; within a round all contenders
get the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices

from xadapt import Backbone
from xadapt.common.randomness import generator, seed_of
from xadapt.kinds.kind import Item

LENGTHS: Path = Path(__file__).with_name("lengths.json")
GROUPED_FROM = 50  # batches that HF's Trainer sorts by length together, in a set that is large enough
Batches = Callable[[int], list[list[Item]]]  # a round's number, from 0 for the warm-up -> its batches


def length_set(name: str) -> dict[str, Any]:
    """A set's entry in ``lengths.json``."""
    found: dict[str, Any] = json.loads(LENGTHS.read_text(encoding="utf-8"))[name]
    return found


def drawn(name: str, count: int, backbone: Backbone, *key: object) -> list[Item]:
    """``count`` items with the lengths of the set ``name``, drawn by ``key``; targets of three labels.

    Where an item has several sequences (four endings), their lengths are drawn one by one. A backbone with
    few positions, such as pocket, cuts them.
    """
    about, draw = length_set(name), generator("benchmark", name, *key)
    lengths = np.array([int(length) for length in about["counts"]]).clip(max=backbone.max_length)
    shares = np.array(list(about["counts"].values()), dtype=float)
    each = int(about["sequences_an_item"])
    chosen = draw.choice(lengths, size=(count, each), p=shares / shares.sum())
    return [_item(i, row, backbone, draw) for i, row in enumerate(chosen)]


def _item(number: int, lengths: Sequence[int], backbone: Backbone, draw: np.random.Generator) -> Item:
    """One of random tokens between ``<s>`` and ``</s>``, a sequence a length."""
    top = backbone.config.vocab_size - 1
    rows = tuple([0, *draw.integers(4, top, max(0, n - 2)).tolist(), 2] for n in lengths)
    return Item(number, rows, target=int(draw.integers(3)))


def in_random_order(name: str, backbone: Backbone, *, batch: int, steps: int) -> Batches:
    """``steps`` batches a round, one in the warm-up, in the order of the draw, as a shuffled epoch has
    them."""

    def batches(turn: int) -> list[list[Item]]:
        items = drawn(name, batch * (steps if turn else 1), backbone, "round", turn)
        return [items[i : i + batch] for i in range(0, len(items), batch)]

    return batches


def grouped_by_length(name: str, backbone: Backbone, *, batch: int, steps: int) -> Batches:
    """``steps`` batches a round out of those that HF's Trainer makes with ``group_by_length``.

    HF sorts by length within runs of 50 batches, in smaller sets within less. A round of a few batches alone
    would hardly be sorted, which would slow the Trainer: so its own function groups a set of 200 batches, and
    a few of the batches that it makes are drawn.
    """

    def batches(turn: int) -> list[list[Item]]:
        items = drawn(name, batch * 4 * GROUPED_FROM, backbone, "grouped", turn)
        seeded = torch.Generator().manual_seed(seed_of("benchmark", "grouped", turn))
        order = get_length_grouped_indices([len(i) for i in items], batch, generator=seeded)
        groups = [[items[k] for k in order[i : i + batch]] for i in range(0, len(order), batch)]
        chosen = generator("benchmark", "groups", turn).choice(
            len(groups), steps if turn else 1, replace=False
        )
        return [groups[i] for i in chosen]

    return batches


def of_length(tokens: int, backbone: Backbone, *, batch: int) -> Batches:
    """A batch a round, all sequences equally long."""

    def batches(turn: int) -> list[list[Item]]:
        draw = generator("benchmark", "equal", tokens, turn)
        return [[_item(i, [tokens], backbone, draw) for i in range(batch)]]

    return batches
