"""One backbone in memory, many stacks on it: held side by side, run together, given other weights in place.

    python recipes/swap.py

Trains a few small modules in the top layers (a second run finds them in the store), mounts a stack for each
intermediate task, and times what there is to choose from: the stacks one after another or together, with the
layers below their modules computed once; and another module from memory, from the store, or mounted anew.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table

import xadapt

SENTENCES = ["The old man reads a book.", "Der alte Mann liest ein Buch.", "Mzee anasoma kitabu."]


@dataclass(frozen=True)
class Options:
    """The same script serves a real model and real data."""

    target: str = "xnli"
    """the task on top of every stack"""
    tasks: tuple[str, ...] = ("mnli", "qqp")
    """what stands below it, one a stack; the target alone is held too"""
    backbone: str = "pocket"
    """pocket, a hub id such as FacebookAI/xlm-roberta-base, or a folder in HF format"""
    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    method: str = "lora(layers=top2)"
    """modules in the top layers share what lies below"""
    max_steps: int | None = 20
    """optimiser steps a module: this recipe is about time, not accuracy"""
    rounds: int = 20
    """rounds of each measurement"""
    store: Path = Path(".xadapt")
    """where modules are kept"""


def main(options: Options) -> None:
    # 1. One backbone, a stack for each intermediate task, and a second seed to swap in.
    backbone = xadapt.Backbone.from_pretrained(options.backbone)
    store = xadapt.Store(options.store)
    study = xadapt.Study(
        [options.target, *(f"{task} > {options.target}" for task in options.tasks)],
        backbone,
        options.data,
        method=options.method,
        seeds=(0, 1),
        languages=("en",),
        store=store,
        max_steps=options.max_steps,
    )
    study.run(watch=xadapt.Bars(), baselines=False)
    ids = backbone.tokenizer(SENTENCES)["input_ids"]
    batch = xadapt.pack(ids).to(backbone.device)

    with ExitStack() as block, torch.inference_mode():
        # 2. All stacks are held at once; each keeps its modules and shares the backbone.
        held = [block.enter_context(backbone.mount(str(e), study)) for e in study.expressions]
        ways: dict[str, Callable[[], object]] = {
            "one after another": lambda: [mounted.encode(batch) for mounted in held],
            "together": lambda: backbone.encode_many(held, batch),
        }
        for mounted, together in zip(held, backbone.encode_many(held, batch), strict=True):
            torch.testing.assert_close(mounted.encode(batch), together, atol=1e-5, rtol=1e-4)

        # 3. The target's module of seed 1 in the place of that of seed 0.
        address = next(s.address for s in study.plan.modules if (s.seed, s.shown) == (1, options.target))
        other = xadapt.Module.from_store(store, address)
        single, name = held[0], held[0].labels[0]
        anew = block.enter_context(backbone.mount(options.target, study, seed=1))

        def mount_anew() -> None:
            with backbone.mount(other):
                pass

        ways |= {
            "swapped in from memory": lambda: single.swap(name, other.weights),
            "swapped in from the store, proven": lambda: single.swap(name, store.load(address).weights),
            "mounted anew": mount_anew,
        }
        seconds = xadapt.side_by_side(ways, rounds=options.rounds, device=str(backbone.device))
        torch.testing.assert_close(single.encode(batch), anew.encode(batch), atol=0, rtol=0)

    table = Table(
        title=f"{len(held)} stacks on {backbone.name}, {len(SENTENCES)} sentences", title_justify="left"
    )
    for column in ("", "milliseconds: median (range)"):
        table.add_column(column, justify="left" if not column else "right")
    for name, values in seconds.items():
        middle, low, high = (1e3 * each(values) for each in (statistics.median, min, max))
        table.add_row(name, f"{middle:.3g} ({low:.3g} to {high:.3g})")
    xadapt.show(table)
    backbone.verify()


if __name__ == "__main__":
    xadapt.script(main, Options)
