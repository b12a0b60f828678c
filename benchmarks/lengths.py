"""Packing against padding, at the lengths of real training sets.

    python benchmarks/lengths.py

A forward of the encoder with a head: padded to the longest that the set allows (128; SQuAD 384), to the
batch's longest, the same with the round's sequences sorted by length first, and packed without padding. A set
of four endings has four sequences an item. ``computed`` is how many tokens are computed for one that is
there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import tyro
from contenders import Contender, head_of, hf_forward, ours_inference
from draws import LENGTHS, Batches, in_random_order
from results import Found, Picture, Row, show
from setting import Setting

from xadapt import Backbone
from xadapt.common.measure import Spread, interleaved, ratios
from xadapt.kinds.kind import Item
from xadapt.mount import mount


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    sizes: tuple[int, ...] = (16, 32)
    """items a batch"""
    steps: int = 4
    """batches a round: what is sorted by length together"""


def sequences(name: str, backbone: Backbone, size: int, steps: int) -> Batches:
    """Batches of ``size`` items, each sequence an item of its own."""
    items = in_random_order(name, backbone, batch=size, steps=steps)

    def batches(turn: int) -> list[list[Item]]:
        return [
            [Item(i.example, (s,), i.target) for i in batch for s in i.sequences] for batch in items(turn)
        ]

    return batches


def computed(batches: Batches, rounds: int, way: str, longest: int) -> float:
    """Tokens that are computed over those that are there."""
    real = padded = 0
    for turn in range(1, rounds + 1):
        now = batches(turn)
        lengths, size = [len(item) for batch in now for item in batch], len(now[0])
        if way == "sorted by length":
            lengths.sort()
        runs = [lengths[i : i + size] for i in range(0, len(lengths), size)]
        real += sum(lengths)
        tops = [longest if way == f"padded to {longest}" else max(run) for run in runs]
        padded += (
            sum(lengths) if way == "packed" else sum(t * len(r) for t, r in zip(tops, runs, strict=True))
        )
    return padded / real


def measure(options: Options) -> Found:
    backbone, rows = options.backbone(), list[Row]()
    bare, head = mount(backbone, []), head_of(backbone)
    for name, about in json.loads(LENGTHS.read_text(encoding="utf-8")).items():
        longest = min(384 if name == "squad" else 128, backbone.max_length)
        for size in options.sizes:
            batches = sequences(name, backbone, size, options.steps)
            ways: dict[str, Contender] = {
                f"padded to {longest}": hf_forward(backbone, batches, length=longest),
                "padded to the batch's longest": hf_forward(backbone, batches),
                "sorted by length": hf_forward(backbone, batches, sort=True),
                "packed": ours_inference(bare, head, batches),
            }
            rates = interleaved(ways, rounds=options.rounds)
            rows += [
                {"table": f"{name}: {about['what']}", "name": f"{way}, batches of {size}",
                 "sequences/s": Spread.of(rates[way]),
                 "over padding to the longest": ratios(rates, "padded to the batch's longest")[way],
                 "computed": computed(batches, 20, way, longest)}
                for way in ways
            ]  # fmt: skip
    pictures = [Picture(table, "sequences/s") for table in dict.fromkeys(row["table"] for row in rows)]
    return Found(options.facts(backbone), rows, pictures)


if __name__ == "__main__":
    show("lengths", tyro.cli(Options, description=__doc__), measure)
