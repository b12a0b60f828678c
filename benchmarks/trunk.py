"""Modules in the top K layers: what lies below has no gradients, and from the second epoch on need not be
computed.

python benchmarks/trunk.py
"""

from __future__ import annotations

from dataclasses import dataclass

import tyro
from contenders import Contender, ours
from draws import Batches, in_random_order
from results import Found, Picture, Row, show
from setting import Setting

from xadapt import Backbone
from xadapt.common.measure import Spread, interleaved, ratios
from xadapt.mount import Part
from xadapt.stacks.methods import parse_method


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    batch: int = 16
    """items a step"""
    steps: int = 2
    """optimiser steps a round"""


def cached_trunk(backbone: Backbone, method: str, batches: Batches) -> Contender | None:
    """Rounds of training steps from the second epoch on: what the frozen layers below the module give for the
    items of a round is in the cache already (made before the clock starts), and reading it counts.

    None as long as there is no such cache.
    """
    return None


def tops(layers: int) -> list[int]:
    """A third, a half and two thirds of the layers: 4, 6 and 8 of 12."""
    return sorted({max(1, layers // 3), max(1, layers // 2), max(1, 2 * layers // 3)})


def measure(options: Options) -> Found:
    backbone = options.backbone()
    batches = in_random_order("xnli", backbone, batch=options.batch, steps=options.steps)
    contenders: dict[str, Contender] = {}
    for method in ("lora", *(f"lora(layers=top{k})" for k in tops(backbone.layers))):
        contenders[method] = ours(backbone, [Part("new", parse_method(method), None)], batches).train
        if method != "lora" and (cached := cached_trunk(backbone, method, batches)) is not None:
            contenders[f"{method}, trunk from the cache"] = cached
    rates = interleaved(contenders, rounds=options.rounds)
    over = ratios(rates, "lora")
    rows: list[Row] = [
        {
            "table": "training with modules in the top layers",
            "name": name,
            "examples/s": Spread.of(rates[name]),
            "over all layers": over[name],
        }
        for name in contenders
    ]
    return Found(options.facts(backbone), rows, [Picture(rows[0]["table"], "over all layers")])


if __name__ == "__main__":
    show("trunk", tyro.cli(Options, description=__doc__), measure)
