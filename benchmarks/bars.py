"""The rows that a claim of speed is held to: ours over a peer, a value a round, and the bar.

    python benchmarks/run.py --bars
    python benchmarks/run.py --bars --only 1,4,10

XLM-R base's shape, XNLI's lengths, 16 items a batch, all in the type that is faster here unless a row says
another. Each row is measured by itself, ours and the peer in turns. ``value`` is the median of ours over the
peer, of speeds where more is better and of times or bytes where less is; ``holds`` goes by it. A row without
a value was not measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import floor
import stacks
import torch
import train
import trunk
from contenders import (
    Contender,
    adapter_trainer,
    adapters_forward,
    head_of,
    hf_forward,
    hf_trainer,
    ours,
    ours_inference,
)
from draws import Batches, grouped_by_length, in_random_order
from modules import NINE, parts_of
from results import versions
from setting import Setting

from xadapt import Backbone
from xadapt.common.measure import Spread, interleaved
from xadapt.mount import Element, Fused, Part, mount
from xadapt.stacks.methods import parse_method

Pair = tuple[Contender, Contender]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the rows are measured on."""

    options: Setting
    backbone: Backbone
    batch: int = 16
    steps: int = 2

    def draws(self, *, steps: int = 0, grouped: bool = False) -> Batches:
        """Batches of XNLI's lengths."""
        made = grouped_by_length if grouped else in_random_order
        return made("xnli", self.backbone, batch=self.batch, steps=steps or self.steps)

    def other_type(self, dtype: Literal["float32", "bfloat16"]) -> Backbone:
        """The backbone in that type."""
        if self.backbone.dtype_name == dtype:
            return self.backbone
        return replace(self.options, dtype=dtype).backbone()


class Bar(NamedTuple):
    """A row: what of ours, against which peer, and what must hold.

    Attributes:
        bar: the least value where ``least``, else the largest.
        pair: makes ours and the peer; None where something is not there.
        times: how many times the usual rounds: quick rows have more.
    """

    name: str
    peer: str
    bar: float
    least: bool
    pair: Callable[[Bench], Pair | None]
    times: int = 1


def fresh(method: str) -> list[Element]:
    return [Part("new", parse_method(method), None)]


def training(
    method: str, peer: Callable[[Backbone, Batches], Contender], **draws: Any
) -> Callable[[Bench], Pair]:
    def pair(bench: Bench) -> Pair:
        batches = bench.draws(**draws)
        return ours(bench.backbone, fresh(method), batches).train, peer(bench.backbone, batches)

    return pair


def cached(peer: Callable[[Backbone, Batches], Contender]) -> Callable[[Bench], Pair | None]:
    def pair(bench: Bench) -> Pair | None:
        batches = bench.draws()
        own = trunk.cached_trunk(bench.backbone, "lora(layers=top4)", batches)
        return None if own is None else (own, peer(bench.backbone, batches))

    return pair


def inference(bench: Bench) -> Pair:
    """On a GPU the peer's batches are of 64: 16 would leave it idle, while ours take what fits."""
    size, count = (
        (64, 4 * bench.steps) if bench.backbone.device.type == "cuda" else (bench.batch, 2 * bench.steps)
    )
    batches = in_random_order("xnli", bench.backbone, batch=size, steps=count)
    merged = mount(bench.backbone, parts_of(bench.backbone, "lora", 1), fold=True)
    return ours_inference(merged, head_of(bench.backbone), batches), hf_forward(bench.backbone, batches)


def over_bare(method: str, dtype: Literal["float32", "bfloat16"] | None = None) -> Callable[[Bench], Pair]:
    """The encoder with one module as evaluations mount it, and the bare one."""

    def pair(bench: Bench) -> Pair:
        backbone = bench.other_type(dtype) if dtype else bench.backbone
        batches = in_random_order("xnli", backbone, batch=bench.batch, steps=2 * bench.steps)
        module = mount(backbone, parts_of(backbone, method, 1), fold=True)
        return stacks.encoding(module, batches), stacks.encoding(mount(backbone, []), batches)

    return pair


def nine_tasks(bench: Bench) -> Pair:
    batches, layers = bench.draws(steps=1), "top4"
    own = stacks.all_at_once(bench.backbone, f"bottleneck(layers={layers})", NINE, batches)
    return own, adapters_forward(bench.backbone, batches, modules=NINE, layers=layers)


def fusion(bench: Bench) -> Pair:
    batches = bench.draws(steps=1)
    fused = Fused("fuse", tuple(parts_of(bench.backbone, "bottleneck", NINE)), None)
    return ours(bench.backbone, [fused], batches).train, adapter_trainer(bench.backbone, batches, fused=NINE)


def hf_lora(backbone: Backbone, batches: Batches) -> Contender:
    return hf_trainer(backbone, batches, lora=True)


def hf_lora_128(backbone: Backbone, batches: Batches) -> Contender:
    return hf_trainer(backbone, batches, lora=True, length=128)


def hf_full(backbone: Backbone, batches: Batches) -> Contender:
    return hf_trainer(backbone, batches, lora=False)


def our_full(backbone: Backbone, batches: Batches) -> Contender:
    return ours(backbone, fresh("full"), batches).train


HF, TOP = "HF Trainer + peft", "training ex/s, LoRA in the top 4 layers, second epoch"


def forward(bench: Bench) -> Pair:
    return floor.forward(bench.backbone, bench.draws())


def backward(bench: Bench) -> Pair:
    return floor.backward(bench.backbone, bench.draws())


by_length, lora_bf16 = training("lora", hf_lora, grouped=True), over_bare("lora", "bfloat16")
MEMORY = 12  # the one row that is no pair of contenders
BARS: Mapping[int, Bar] = {
    1: Bar("training ex/s, LoRA", f"{HF}, dynamic padding", 3.2, True, training("lora", hf_lora)),
    2: Bar("training ex/s, LoRA", f"{HF}, grouped by length", 3.0, True, by_length),
    3: Bar("training ex/s, LoRA", f"{HF}, padded to 128", 6.0, True, training("lora", hf_lora_128, steps=1)),
    4: Bar("training ex/s, LoRA", "our full fine-tuning, packed", 2.4, True, training("lora", our_full)),
    5: Bar(TOP, f"{HF}, all layers, dynamic padding", 12.0, True, cached(hf_lora)),
    6: Bar(TOP, "HF Trainer, full fine-tuning, dynamic padding", 16.0, True, cached(hf_full)),
    7: Bar("inference ex/s, LoRA merged", "HF forward, dynamic padding", 2.1, True, inference, 3),
    8: Bar("inference time, one LoRA, bf16", "the bare encoder, bf16", 1.06, False, lora_bf16, 3),
    9: Bar("nine tasks on one input, top 4 layers", "nine passes of adapters", 3.2, True, nine_tasks, 2),
    10: Bar("packed forward, time", "its matrix products", 1.12, False, forward, 5),
    11: Bar("LoRA's backward, time", "its matrix products", 1.25, False, backward, 3),
    MEMORY: Bar("peak memory, training LoRA", "our full fine-tuning", 0.36, False, lambda b: None),
    13: Bar("training ex/s, fusion of nine", "AdapterTrainer, dynamic padding", 2.5, True, fusion),
    14: Bar("inference time, one bottleneck", "the bare encoder", 1.05, False, over_bare("bottleneck"), 3),
}  # fmt: skip


def measured(options: Setting, only: Sequence[int], batch: int, steps: int) -> dict[str, Any]:
    """The rows that are asked for, as the last line of ``--bars`` has them."""
    backbone = options.backbone()
    options = options.fixed(backbone)  # chosen once, for the processes of memory too
    bench = Bench(options=options, backbone=backbone, batch=batch, steps=steps)
    rows = []
    for number in only or BARS:
        row = BARS[number]
        spread = memory(options, batch) if number == MEMORY else ratio(bench, row)
        value = {"value": None, "low": None, "high": None, "bar": row.bar, "holds": None}
        if spread is not None:
            holds = spread.median >= row.bar if row.least else spread.median <= row.bar
            value |= {"value": spread.median, "low": spread.low, "high": spread.high, "holds": holds}
        rows.append({"row": number, "name": row.name, "peer": row.peer, "least": row.least, **value})
        print(line(rows[-1]), file=sys.stderr, flush=True)  # what is known if the rest is stopped
    backbone.verify()
    facts = options.facts(backbone)
    return {
        "device": facts["device"], "threads": torch.get_num_threads(), "versions": versions(), "model": facts,
        "batch": batch, "bars": rows,
    }  # fmt: skip


def ratio(bench: Bench, row: Bar) -> Spread | None:
    """Ours over the peer, a value a round: of speeds, or of times where less is better."""
    pair = row.pair(bench)
    if pair is None:
        return None
    rates = interleaved({"ours": pair[0], "peer": pair[1]}, rounds=bench.options.rounds * row.times)
    values = [a / b for a, b in zip(rates["ours"], rates["peer"], strict=True)]
    return Spread.of(values if row.least else [1 / value for value in values])


def memory(options: Setting, batch: int) -> Spread:
    """Peak memory of training a LoRA over that of full fine-tuning, each in a process of its own."""
    found = train.peaks(options, ["LoRA", "full fine-tuning"], batch)
    share = found["LoRA"] / found["full fine-tuning"]
    return Spread(share, share, share)


def line(row: Mapping[str, Any]) -> str:
    """A row for people."""
    sign = ">=" if row["least"] else "<="
    if row["value"] is None:
        return f"{row['row']:2} {row['name']} over {row['peer']}: not measured (bar {sign} {row['bar']})"
    state = "holds" if row["holds"] else "MISSED"
    value = f"{row['value']:.3g} ({row['low']:.3g} to {row['high']:.3g})"
    return f"{row['row']:2} {row['name']} over {row['peer']}: {value}, bar {sign} {row['bar']}: {state}"
