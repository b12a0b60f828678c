"""Packing against padding, at the lengths of real training sets.

    python benchmarks/lengths.py

A forward of the encoder with a head: padded to the longest that the set allows (128; SQuAD 384), to the
batch's longest, the same in batches that HF's ``group_by_length`` makes, and packed without padding. A set of
four endings has four sequences an item. ``tokens/s`` counts the tokens that are there, as grouped batches are
other ones; ``computed`` is how many are computed for one of these.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count

import tyro
from contenders import Contender, head_of, hf_forward, ours_inference
from draws import LENGTHS, Batches, grouped_by_length, in_random_order
from results import Found, Picture, Row, show
from setting import Setting

from xadapt.common.measure import Spread, interleaved, ratios
from xadapt.kinds.kind import Item
from xadapt.mount import mount


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    sizes: tuple[int, ...] = (16, 32)
    """items a batch"""
    steps: int = 4
    """batches a round"""


def sequences(drawn: Batches) -> Batches:
    """Each sequence an item of its own."""

    def batches(turn: int) -> list[list[Item]]:
        return [
            [Item(i.example, (s,), i.target) for i in batch for s in i.sequences] for batch in drawn(turn)
        ]

    return batches


def in_tokens(contender: Contender, batches: Batches) -> Contender:
    """The same, counted in the tokens that are there: rounds of other sequences can be compared."""
    turns = count()

    def round_() -> tuple[int, float]:
        _, seconds = contender()
        return sum(len(item) for batch in batches(next(turns)) for item in batch), seconds

    return round_


def computed(batches: Batches, length: int | None, rounds: int = 10) -> float:
    """Tokens that are computed over those that are there, padded to ``length`` or to each batch's longest."""
    all_ = [[len(item) for item in batch] for turn in range(1, rounds + 1) for batch in batches(turn)]
    return sum(len(batch) * (length or max(batch)) for batch in all_) / sum(map(sum, all_))


def measure(options: Options) -> Found:
    backbone, rows = options.backbone(), list[Row]()
    bare, head = mount(backbone, []), head_of(backbone)
    for name, about in json.loads(LENGTHS.read_text(encoding="utf-8")).items():
        longest = min(384 if name == "squad" else 128, backbone.max_length)
        for size in options.sizes:
            shuffled = sequences(in_random_order(name, backbone, batch=size, steps=options.steps))
            grouped = sequences(grouped_by_length(name, backbone, batch=size, steps=options.steps))
            ways = {
                f"padded to {longest}": (hf_forward(backbone, shuffled, length=longest), shuffled),
                "padded to the batch's longest": (hf_forward(backbone, shuffled), shuffled),
                "grouped by length": (hf_forward(backbone, grouped), grouped),
                "packed": (ours_inference(bare, head, shuffled), shuffled),
            }
            padding = {f"padded to {longest}": longest}
            rates = interleaved({way: in_tokens(*what) for way, what in ways.items()}, rounds=options.rounds)
            rows += [
                {"table": f"{name}: {about['what']}", "name": f"{way}, batches of {size}",
                 "tokens/s": Spread.of(rates[way]),
                 "over padding to the longest": ratios(rates, "padded to the batch's longest")[way],
                 "computed": 1.0 if way == "packed" else computed(batches, padding.get(way))}
                for way, (_, batches) in ways.items()
            ]  # fmt: skip
    pictures = [Picture(table, "tokens/s") for table in dict.fromkeys(row["table"] for row in rows)]
    return Found(options.facts(backbone), rows, pictures)


if __name__ == "__main__":
    show("lengths", tyro.cli(Options, description=__doc__), measure)
