"""Other weights into a mounted module: from memory, from the store with every proof, and mounted anew.

python benchmarks/swap.py
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro
from modules import parts_of, stored
from results import Found, Picture, Row, show
from setting import Setting

from xadapt import Backbone, Store
from xadapt.common.measure import Spread, side_by_side
from xadapt.mount import Part, mount

METHODS = ("lora", "lora(targets=qv)", "lora(layers=top4)", "bottleneck")
TABLE = "milliseconds to put other weights into a mounted module"


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    rounds: int = 9


def ways(backbone: Backbone, parts: list[Part], store: Store) -> dict[str, Callable[[], object]]:
    """Each call takes the other one of two modules."""
    mounted = mount(backbone, parts[:1])
    label = parts[0].label
    addresses = [
        stored(store, part.method, part.weights or {}, {}, mounted.config, part.label).address
        for part in parts
    ]
    one, two, three = (itertools.cycle((1, 0)) for _ in range(3))
    return {
        "from memory": lambda: mounted.swap(label, parts[next(one)].weights or {}),
        "from the store, proved": lambda: mounted.swap(label, store.load(addresses[next(two)]).weights),
        "mounted anew": lambda: mount(backbone, [parts[next(three)]]),
    }


def measure(options: Options) -> Found:
    backbone, rows = options.backbone(), list[Row]()
    for method in METHODS:
        with tempfile.TemporaryDirectory() as folder:
            found = ways(backbone, parts_of(backbone, method, 2), Store(Path(folder)))
            taken = side_by_side(found, rounds=options.rounds, device=str(backbone.device))
        columns = {way: Spread.of([1e3 * s for s in seconds]) for way, seconds in taken.items()}
        rows.append({"table": TABLE, "name": method, **columns})
    return Found(options.facts(backbone), rows, [Picture(TABLE, "from memory")])


if __name__ == "__main__":
    show("swap", tyro.cli(Options, description=__doc__), measure)
