"""What a stack costs to run and to switch, against the bare encoder.

    python benchmarks/inference.py                   # XLM-R base's shape, random weights
    python benchmarks/inference.py --model pocket

Every way to run one and nine modules: as their library runs them (peft, adapters), as one concatenated
LoRA, folded into copies of the weights, a fusion as adapters computes it and in its cheap form. All see the
same batches, in turns, at a single sequence and at many; beside the time stand what is held beyond the
backbone and how far the outputs are from the library's own. Then the time to put other weights into a
mounted stack, from memory and from the store. The last line is the result as JSON.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.table import Table
from setting import Setting, stored
from torch import Tensor

from xadapt import Backbone, Mounted, Packed, Store, pack
from xadapt.common.console import wide
from xadapt.common.measure import Spread, interleaved, ratios, synchronise, timed
from xadapt.common.randomness import generator
from xadapt.mount import Element, Fold, Fused, Part, mount
from xadapt.stacks.methods import Method, parse_method

NINE = 9
# What is mounted, how it is folded, and the way that it must equal.
WAYS: Mapping[str, tuple[str, Fold, str | None]] = {
    "LoRA, peft": ("lora", False, None),
    "LoRA, folded": ("lora", True, "LoRA, peft"),
    "LoRA on q and v, peft": ("lora(targets=qv)", False, None),
    "bottleneck, adapters": ("bottleneck", False, None),
    "nine LoRAs, peft": ("9 lora", False, None),
    "nine LoRAs, concatenated": ("9 lora", "cat", "nine LoRAs, peft"),
    "nine LoRAs, folded": ("9 lora", True, "nine LoRAs, peft"),
    "nine LoRAs on q and v, peft": ("9 lora(targets=qv)", False, None),
    "nine LoRAs on q and v, concatenated": ("9 lora(targets=qv)", "cat", "nine LoRAs on q and v, peft"),
    "fusion of nine bottlenecks, adapters": ("fuse", False, None),
    "fusion of nine bottlenecks, cheap": ("fuse", "cat", "fusion of nine bottlenecks, adapters"),
}


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    rounds: int = 9
    """rounds; the table gives medians and ranges"""
    batches: tuple[int, ...] = (1, 16)
    """sequences at a time"""
    tokens: int = 64
    """of a sequence"""


class Made:
    """Trained-looking modules, each made once: what is measured does not depend on their values."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self._kept: dict[str, list[Element]] = {}

    def stack(self, what: str) -> list[Element]:
        """``lora``, ``9 lora`` or ``fuse``, as in WAYS."""
        if what not in self._kept:
            self._kept[what] = self._make(what)
        return self._kept[what]

    def module(self, method: Method, n: int) -> Part:
        """One module of its method."""
        weights = mount(self.backbone, [Part("new", method, None)], seed=("inference",)).weights()
        return Part(f"module {n}", method, moved(weights, n))

    def _make(self, what: str) -> list[Element]:
        if what == "fuse":
            operands = self._many(parse_method("bottleneck"))
            fresh = mount(self.backbone, [Fused("fuse", tuple(operands), None)], seed=("fuse",))
            return [Fused("fuse", tuple(operands), moved(fresh.weights(), 0))]
        if what.startswith("9 "):
            return list(self._many(parse_method(what.removeprefix("9 "))))
        return [self.module(parse_method(what), 0)]

    def _many(self, method: Method) -> list[Part]:
        first = self.module(method, 0)
        assert first.weights is not None
        return [first] + [Part(f"module {n}", method, moved(first.weights, n)) for n in range(1, NINE)]


def moved(weights: Mapping[str, Tensor], n: int) -> dict[str, Tensor]:
    """As after training: nothing is where it began."""
    draw = torch.Generator().manual_seed(n)
    return {k: t + torch.randn(t.shape, generator=draw) * 0.02 for k, t in weights.items()}


def batch_of(backbone: Backbone, sequences: int, tokens: int) -> Packed:
    draw = generator("inference", "ids", str(sequences))
    top = backbone.config.vocab_size - 1
    rows = [[0, *draw.integers(4, top, tokens - 2).tolist(), 2] for _ in range(sequences)]
    return pack(rows).to(backbone.device)


def held_bytes(backbone: Backbone, mounted: Mounted) -> int:
    """What a mounted stack keeps in memory that is not the backbone's own."""
    own = {t.data_ptr() for t in (*backbone.model.parameters(), *backbone.model.buffers())}
    beyond = {t.data_ptr(): t for t in (*mounted.model.parameters(), *mounted.model.buffers())}
    return sum(t.numel() * t.element_size() for at, t in beyond.items() if at not in own)


def work(mounted: Mounted, batch: Packed, device: str) -> Callable[[], tuple[int, float]]:
    def encode() -> int:
        with torch.inference_mode():
            mounted.encode(batch)
        return len(batch.starts)

    return timed(encode, device)


def switching(made: Made, rounds: int) -> dict[str, dict[str, Spread]]:
    """Milliseconds to give a mounted module other weights, by method and by where they come from."""
    found: dict[str, dict[str, Spread]] = {}
    device = str(made.backbone.device)
    for text in ("lora", "lora(targets=qv)", "bottleneck"):
        parts = [made.module(parse_method(text), n) for n in (1, 2)]
        mounted = mount(made.backbone, parts[:1])
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder))
            addresses = [
                stored(store, part.method, part.weights or {}, {}, mounted.config, part.label).address
                for part in parts
            ]
            times: dict[str, list[float]] = {"memory": [], "store": [], "mount": []}
            label = parts[0].label
            for turn in range(2 * rounds + 1):
                to = parts[(turn + 1) % 2]
                for where, measured in times.items():
                    synchronise(device)
                    began = time.perf_counter()
                    if where == "memory":
                        mounted.swap(label, to.weights or {})
                    elif where == "store":  # with every proof that a load makes
                        mounted.swap(label, store.load(addresses[(turn + 1) % 2]).weights)
                    else:
                        mount(made.backbone, [to])
                    synchronise(device)
                    if turn:  # the first is warm-up
                        measured.append(1e3 * (time.perf_counter() - began))
        found[text] = {where: Spread.of(values) for where, values in times.items()}
    return found


@torch.inference_mode()
def difference(one: Mounted, other: Mounted, batch: Packed) -> tuple[float, float]:
    """The largest difference of hidden states, and the largest hidden state."""
    a, b = one.encode(batch).float(), other.encode(batch).float()
    return float((a - b).abs().max()), float(b.abs().max())


def main(options: Options) -> None:
    backbone = options.backbone()
    device, made, console = str(backbone.device), Made(backbone), wide()
    mounts = {"bare encoder": mount(backbone, [])}
    mounts |= {name: mount(backbone, made.stack(what), fold=fold) for name, (what, fold, _) in WAYS.items()}
    rates: dict[int, dict[str, list[float]]] = {}
    for size in options.batches:
        batch = batch_of(backbone, size, options.tokens)
        contenders = {name: work(mounted, batch, device) for name, mounted in mounts.items()}
        rates[size] = interleaved(contenders, rounds=options.rounds, warmup=2)
    rows: list[dict[str, Any]] = []
    last = batch_of(backbone, max(options.batches), options.tokens)
    for name, mounted in mounts.items():
        equals = WAYS[name][2] if name in WAYS else None
        apart, largest = difference(mounted, mounts[equals], last) if equals else (None, None)
        rows.append(
            {
                "name": name,
                "time_over_bare": {size: asdict(over_bare(rates[size], name)) for size in options.batches},
                "milliseconds": {
                    size: 1e3 * size / statistics.median(rates[size][name]) for size in options.batches
                },
                "held_bytes": held_bytes(backbone, mounted),
                "equals": equals,
                "largest_difference": apart,
                "largest_hidden_state": largest,
            }
        )
    switches = switching(made, options.rounds)

    console.print(
        f"{options.shown(backbone)}; sequences of {options.tokens} tokens; "
        f"{options.rounds} rounds: time over the bare encoder's, median (range)"
    )
    console.print(table(rows, options.batches))
    console.print(switch_table(switches))
    backbone.verify()
    print(
        json.dumps(
            {
                "benchmark": "inference",
                **options.facts(backbone),
                "tokens": options.tokens,
                "rounds": options.rounds,
                "rows": rows,
                "switch_milliseconds": {
                    method: {place: asdict(spread) for place, spread in each.items()}
                    for method, each in switches.items()
                },
            }
        )
    )


def over_bare(rates: dict[str, list[float]], name: str) -> Spread:
    """Time over the bare encoder's, round by round."""
    rate = ratios(rates, "bare encoder")[name]
    return Spread(1 / rate.median, 1 / rate.high, 1 / rate.low)


def table(rows: list[dict[str, Any]], batches: tuple[int, ...]) -> Table:
    made = Table()
    made.add_column("")
    for size in batches:
        made.add_column(f"batch of {size}", justify="right", no_wrap=True)
    made.add_column("held beyond", justify="right", no_wrap=True)
    made.add_column("difference", justify="right", no_wrap=True)
    for row in rows:
        apart = row["largest_difference"]
        made.add_row(
            row["name"],
            *(
                f"{s['median']:.2f}x ({s['low']:.2f} to {s['high']:.2f})"
                for s in row["time_over_bare"].values()
            ),
            f"{row['held_bytes'] / 1e6:.1f} MB",
            "" if apart is None else f"{apart:.1e} of {row['largest_hidden_state']:.1f}",
        )
    made.caption = (
        "held: memory beyond the backbone's; difference: of hidden states, to the library's own way"
    )
    return made


def switch_table(switches: dict[str, dict[str, Spread]]) -> Table:
    made = Table(title="other weights into a mounted module, milliseconds", title_justify="left")
    for column in ("", "from memory", "from the store, proven", "mounted anew"):
        made.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for method, each in switches.items():
        made.add_row(method, *(str(each[place]) for place in ("memory", "store", "mount")))
    return made


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
