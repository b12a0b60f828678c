"""Cost against the model's size, and against how many items there are.

python benchmarks/scale.py
python benchmarks/scale.py --models pocket base --items 64 256
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import tyro
from contenders import Contender, head_of, hf_forward, hf_trainer, ours, ours_inference
from draws import Batches, in_random_order
from modules import parts_of
from results import Found, Picture, Row, show
from setting import Model, Setting

from xadapt import Backbone
from xadapt.common.measure import Spread, interleaved
from xadapt.mount import Part, mount
from xadapt.stacks.methods import parse_method

BY_MODEL, BY_ITEMS = "by the model's size", "by the number of items"


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    models: tuple[Model, ...] = ("pocket", "base", "large")
    """shapes; xl only on a GPU"""
    batch: int = 16
    """items a batch"""
    steps: int = 1
    """batches a round, for the models"""
    items: tuple[int, ...] = (32, 64, 128)
    """how many there are, for ``--model``"""


def train_lora(backbone: Backbone, batches: Batches) -> Contender:
    return ours(backbone, [Part("new", parse_method("lora"), None)], batches).train


def merged(backbone: Backbone, batches: Batches) -> Contender:
    module = mount(backbone, parts_of(backbone, "lora", 1), fold=True)
    return ours_inference(module, head_of(backbone), batches)


WAYS: dict[str, Callable[[Backbone, Batches], Contender]] = {
    "training LoRA": train_lora,
    "training LoRA, HF Trainer + peft": lambda b, d: hf_trainer(b, d, lora=True),
    "inference, LoRA merged": merged,
    "inference, HF forward": hf_forward,
}


def measure(options: Options) -> Found:
    rows: list[Row] = []
    for model in options.models:
        backbone = replace(options, model=model).backbone()
        batches = in_random_order("xnli", backbone, batch=options.batch, steps=options.steps)
        rates = interleaved({n: w(backbone, batches) for n, w in WAYS.items()}, rounds=options.rounds)
        rows += [
            {"table": BY_MODEL, "name": f"{way}, {model}", "way": way, "dtype": backbone.dtype_name,
             "parameters in layers, M": backbone.layer_parameters / 1e6, "examples/s": Spread.of(rates[way])}
            for way in WAYS
        ]  # fmt: skip
    backbone = options.backbone()
    for count in options.items:
        batches = in_random_order("xnli", backbone, batch=options.batch, steps=max(1, count // options.batch))
        ways = {n: w(backbone, batches) for n, w in WAYS.items() if w in (train_lora, merged)}
        rates = interleaved(ways, rounds=options.rounds)
        rows += [
            {"table": BY_ITEMS, "name": f"{way}, {count} items", "way": way, "items": count,
             "seconds": Spread.of([count / rate for rate in rates[way]])}
            for way in ways
        ]  # fmt: skip
    pictures = [
        Picture(BY_MODEL, "examples/s", x="parameters in layers, M", by="way"),
        Picture(BY_ITEMS, "seconds", x="items", by="way"),
    ]
    return Found(options.facts(backbone), rows, pictures)


if __name__ == "__main__":
    show("scale", tyro.cli(Options, description=__doc__), measure)
