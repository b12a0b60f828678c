"""Inference: throughput at XNLI's lengths, and latency by batch and length, against HF's own forward.

    python benchmarks/infer.py
    python benchmarks/infer.py --model pocket --lengths 16 64

Ours are evaluations' own: sorted by length, packed, with a head, mounted as an evaluation mounts them. HF's
batches are padded before the clock starts; ours are packed while it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import tyro
from contenders import Contender, head_of, hf_forward, ours_inference
from draws import in_random_order, of_length
from modules import parts_of
from results import Found, Picture, Row, show
from setting import Setting

from xadapt import Backbone
from xadapt.common.measure import Spread, interleaved, ratios
from xadapt.mount import mount

METHODS = {
    "LoRA": "lora",
    "LoRA on q and v": "lora(targets=qv)",
    "LoRA in the top 4 layers": "lora(layers=top4)",
    "bottleneck": "bottleneck",
}
THROUGHPUT, LATENCY = "throughput at XNLI's lengths", "latency, milliseconds a batch"


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    items: tuple[int, ...] = (128,)
    """items of a throughput's round"""
    batches: tuple[int, ...] = (1, 8, 64)
    """sequences at a time, of latency"""
    lengths: tuple[int, ...] = (16, 64, 128, 512)
    """tokens a sequence, of latency"""


def throughput(backbone: Backbone, options: Options) -> list[Row]:
    """Examples a second, ours by method, HF's by batch."""
    count, head = options.items[0], head_of(backbone)
    draws = {size: in_random_order("xnli", backbone, batch=size, steps=count // size)
             for size in (1, 16, 64) if count >= size}  # fmt: skip
    largest = draws[max(draws)]
    ways: dict[str, Contender] = {"bare encoder": ours_inference(mount(backbone, []), head, largest)}
    for name, method in METHODS.items():
        mounted = mount(backbone, parts_of(backbone, method, 1), fold=True)
        ways[name] = ours_inference(mounted, head, largest)
    for size, batches in draws.items():
        ways[f"HF forward, batches of {size}"] = hf_forward(backbone, batches)
    ways[f"HF forward, batches of {min(16, max(draws))}, sorted by length"] = hf_forward(
        backbone, draws[min(16, max(draws))], sort=True
    )
    rates = interleaved(ways, rounds=options.rounds, warmup=2)
    over = ratios(rates, "bare encoder")
    return [
        {"table": THROUGHPUT, "name": name, "examples/s": Spread.of(rates[name]), "over bare": over[name]}
        for name in ways
    ]


def latency(backbone: Backbone, options: Options) -> list[Row]:
    """Milliseconds, by batch and length."""
    rows: list[Row] = []
    merged, head = mount(backbone, parts_of(backbone, "lora", 1), fold=True), head_of(backbone)
    for size in options.batches:
        for tokens in (n for n in options.lengths if n <= backbone.max_length):
            batches = of_length(tokens, backbone, batch=size)
            ways = {
                "ours, merged": ours_inference(merged, head, batches),
                "HF": hf_forward(backbone, batches),
            }
            rates = interleaved(ways, rounds=options.rounds)
            rows += [
                {"table": LATENCY, "name": f"{way}, batch of {size}, {tokens} tokens", "tokens": tokens,
                 "way": f"{way}, batch of {size}",
                 "milliseconds": Spread.of([1e3 * size / r for r in rates[way]]),
                 "over HF": ratios(rates, "HF")[way]}
                for way in ways
            ]  # fmt: skip
    return rows


def measure(options: Options) -> Found:
    backbone = options.backbone()
    rows = throughput(backbone, options) + latency(backbone, options)
    pictures = [Picture(THROUGHPUT, "examples/s"), Picture(LATENCY, "milliseconds", x="tokens", by="way")]
    return Found(options.facts(backbone), rows, pictures)


if __name__ == "__main__":
    show("infer", tyro.cli(Options, description=__doc__), measure)
