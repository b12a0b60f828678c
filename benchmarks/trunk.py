"""Modules in the top K layers: what lies below has no gradients, and from the second epoch on need not be
computed.

python benchmarks/trunk.py
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import tyro
from contenders import RATE, Contender, classify, head_of, in_turns, ours
from draws import Batches, in_random_order
from results import Found, Picture, Row, show
from setting import Setting

from xadapt import Backbone, Store
from xadapt.common.measure import Spread, interleaved, ratios
from xadapt.common.progress import Unwatched
from xadapt.kinds.kind import Item
from xadapt.mount import Part, mount
from xadapt.stacks.methods import parse_method
from xadapt.study.trunk_cache import WithStates, kept_depth, with_states
from xadapt.train.optimisation import Optimisation, TaskInputs
from xadapt.train.settings import Settings

LIMIT = 100.0  # gigabytes: a round takes a few megabytes


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    batch: int = 16
    """items a step"""
    steps: int = 2
    """optimiser steps a round"""


def cached_trunk(backbone: Backbone, method: str, batches: Batches) -> Contender | None:
    """Rounds of training steps from the second epoch on: what the frozen layers below the module give for the
    items of a round is on disk already (made before the clock starts, so in the system's cache too), and
    reading and checking it counts. None where a module acts in the first layer.
    """
    mounted = mount(backbone, [Part("new", parse_method(method), None)], seed=("benchmark",))
    head, kind = head_of(backbone), classify()
    depth = kept_depth(LIMIT, mounted, kind)
    if not depth:
        return None
    task = TaskInputs("xnli", kind, head, (), ((), ()), "accuracy")
    run = Optimisation(mounted, [task], Settings(lr=RATE, epochs=1, batch_size=1), seed=0)
    folder = TemporaryDirectory()
    store, turns = Store(Path(folder.name)), itertools.count()

    def prepared(now: list[list[Item]]) -> list[tuple[WithStates, range]]:
        items = [item for batch in now for item in batch]
        kept = with_states(
            items,
            f"round {next(turns)}",
            depth,
            kind,
            backbone,
            store,
            Unwatched(),
            at_most=LIMIT,
            shown="a round",
        )
        assert isinstance(kept, WithStates), "there was no room on the disk"
        ends = list(itertools.accumulate(map(len, now), initial=0))
        return [(kept, range(a, b)) for a, b in itertools.pairwise(ends)]

    def steps(now: list[tuple[WithStates, range]]) -> None:
        for step, (kept, places) in enumerate(now):
            run.step(step, len(now), [kept[i] for i in places])

    contender = in_turns(batches, str(backbone.device), steps, prepared)
    return lambda: (contender(), folder)[0]  # the folder lives as long as the contender


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
