"""Training: examples and tokens a second, memory, size; and the time to a given accuracy in the pocket world.

    python benchmarks/train.py                  # XLM-R base's shape, random weights
    python benchmarks/train.py --model pocket

XNLI's lengths, the same items for all. Peak memory is that of a process that loads a checkpoint, trains that
one contender, and does nothing else.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from accuracy import accuracy_rows
from contenders import Contender, Ours, adapter_trainer, hf_trainer, ours
from draws import Batches, grouped_by_length, in_random_order
from modules import stored
from results import Found, Picture, Row, quiet, show
from setting import Setting

from xadapt import Backbone, Store
from xadapt.common.measure import Spread, interleaved, peak_bytes, peak_of, ratios
from xadapt.mount import Part
from xadapt.stacks.methods import parse_method

METHODS = {
    "full fine-tuning": "full",
    "LoRA": "lora",
    "LoRA on q and v": "lora(targets=qv)",
    "LoRA in the top 4 layers": "lora(layers=top4)",
    "bottleneck": "bottleneck",
}
PEERS: Mapping[str, Callable[[Backbone, Batches], Contender]] = {
    "HF Trainer, full": lambda b, d: hf_trainer(b, d, lora=False),
    "HF Trainer + peft": lambda b, d: hf_trainer(b, d, lora=True),
    "HF Trainer + peft, padded to 128": lambda b, d: hf_trainer(b, d, lora=True, length=128),
    "adapters, bottleneck": adapter_trainer,
}
TABLE, BY_LENGTH = "training", "items that group_by_length puts together"


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    batch: int = 16
    """examples a step"""
    steps: int = 2
    """optimiser steps a round"""
    memory: bool = True
    """measure peak memory, in a process of its own for each contender"""
    accuracy: bool = True
    """measure the time to an accuracy in the pocket world"""
    goal: float = 70.0
    """that accuracy, 0 to 100"""
    look: int = 10
    """steps between two looks at it"""
    only: str | None = None
    """used by the measurement of memory: train this contender alone and print its peak"""


def our_way(backbone: Backbone, method: str, batches: Batches) -> Ours:
    return ours(backbone, [Part("new", parse_method(method), None)], batches)


def peaks(options: Setting, names: Sequence[str], batch: int = 16) -> dict[str, int]:
    """Peak memory of each contender's training, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            __file__,
            "--checkpoint",
            options.written(Path(folder)),
            "--batch",
            str(batch),
        ]
        for key in ("model", "device", "dtype", "threads"):
            if (value := getattr(options, key)) is not None:
                command += [f"--{key}", str(value)]
        return {name: peak_of([*command, "--only", name]) for name in names}


def stored_bytes(own: Ours, method: str) -> int:
    """What the module weighs in the store."""
    with tempfile.TemporaryDirectory() as folder:
        head = {name: p.detach().cpu() for name, p in own.head.named_parameters()}
        mounted = own.mounted
        saved = stored(Store(Path(folder)), parse_method(method), mounted.weights(), head, mounted.config)
        return sum(f.stat().st_size for f in saved.path.iterdir())


def alone(options: Options, name: str) -> None:
    """Two steps of one contender, and its peak; ``bare``: the loading alone."""
    backbone = options.backbone()
    batches = in_random_order("xnli", backbone, batch=options.batch, steps=1)
    if name in METHODS:
        train = our_way(backbone, METHODS[name], batches).train
    elif name in PEERS:
        train = PEERS[name](backbone, batches)
    for _ in range(0 if name == "bare" else 2):
        train()
    print(peak_bytes(str(backbone.device)))


def measure(options: Options) -> Found:
    backbone, rows = options.backbone(), list[Row]()
    batches = in_random_order("xnli", backbone, batch=options.batch, steps=options.steps)
    own = {name: our_way(backbone, method, batches) for name, method in METHODS.items()}
    contenders = {name: one.train for name, one in own.items()}
    contenders |= {name: peer(backbone, batches) for name, peer in PEERS.items()}
    rates = interleaved(contenders, rounds=options.rounds)
    over = ratios(rates, "full fine-tuning")
    same = options.fixed(backbone)
    memory = peaks(same, ["bare", *contenders], options.batch) if options.memory else {}
    tokens = [[sum(map(len, b)) for b in batches(turn)] for turn in range(1, options.rounds + 1)]
    each = [sum(t) / (len(t) * options.batch) for t in tokens]  # real tokens an example, by round
    for name in contenders:
        row: Row = {
            "table": TABLE,
            "name": name,
            "examples/s": Spread.of(rates[name]),
            "tokens/s": Spread.of([rate * mean for rate, mean in zip(rates[name], each, strict=True)]),
            "over full": over[name],
            "peak GB": memory[name] / 1e9 if memory else None,
        }
        if name in own:
            parameters = (*own[name].mounted.trainable.values(), *own[name].head.parameters())
            row["trained, M"] = sum(p.numel() for p in parameters) / 1e6
            row["stored MB"] = stored_bytes(own[name], METHODS[name]) / 1e6
        rows.append(row)
    if memory:
        rows.append(
            {
                "table": TABLE,
                "name": "the checkpoint loaded, nothing trained",
                "peak GB": memory["bare"] / 1e9,
            }
        )
    grouped = grouped_by_length("xnli", backbone, batch=options.batch, steps=options.steps)
    both = {
        "LoRA, the same items": our_way(backbone, METHODS["LoRA"], grouped).train,
        "HF Trainer + peft, grouped by length": PEERS["HF Trainer + peft"](backbone, grouped),
    }
    rates = interleaved(both, rounds=options.rounds)
    rows += [{"table": BY_LENGTH, "name": name, "examples/s": Spread.of(rates[name])} for name in both]
    if options.accuracy:
        rows += accuracy_rows(options, options.goal, options.look)
    backbone.verify()
    return Found(options.facts(backbone), rows, [Picture(TABLE, "examples/s"), Picture(TABLE, "peak GB")])


def main(options: Options) -> None:
    if options.only:
        quiet()
        alone(options, options.only)
    else:
        show("train", options, measure)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
