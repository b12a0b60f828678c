"""Training and inference speed, memory and size: LoRA, bottleneck and full fine-tuning, side by side.

    python benchmarks/throughput.py                  # XLM-R base's shape, random weights
    python benchmarks/throughput.py --model pocket

All contenders take the same sequences in the same dtype and the fused optimiser; every round
runs each of them once, in a turning order. Beside them: HF's Trainer with peft, padding each
batch to its longest, at random and grouped by length. Peak memory is that of a process that
does nothing else. The last line is the result as JSON.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers
import tyro
from rich.table import Table
from setting import Setting, stored
from torch import nn
from transformers import (
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    XLMRobertaForSequenceClassification,
)

from xadapt import LoRA, Mounted, Store
from xadapt.common.console import wide
from xadapt.common.measure import Spread, interleaved, peak_bytes, ratios, synchronise, timed
from xadapt.common.randomness import generator, seeded
from xadapt.kinds import kind_of
from xadapt.kinds.kind import Item, Kind
from xadapt.mount import Part, mount
from xadapt.mount.lora import lora_config
from xadapt.stacks.methods import Method, parse_method
from xadapt.tasks import task_named
from xadapt.train.evaluate import outputs_of
from xadapt.train.loop import Optimisation, TaskInputs
from xadapt.train.settings import Settings

METHODS = {"full": "full", "lora": "lora", "lora q,v": "lora(targets=qv)", "bottleneck": "bottleneck"}
TRAINERS = {"Trainer + peft, dynamic padding": False, "Trainer + peft, grouped by length": True}


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    rounds: int = 5
    """rounds; the table gives medians and ranges"""
    steps: int = 4
    """optimiser steps a round"""
    batch: int = 16
    """examples a step"""
    memory: bool = True
    """measure peak memory, in a process of its own for each contender"""
    only: str | None = None
    """used by the memory measurement: train this contender alone and print its peak"""


class Bench:
    """One backbone, one set of sequences, all contenders."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.kind: Kind = kind_of(task_named("xnli"))
        self.backbone = options.backbone()
        self.device = str(self.backbone.device)
        self.items = self._items(options.batch * options.steps)
        self.settings = Settings(lr=1e-4, epochs=1, batch_size=options.batch)

    def _items(self, count: int) -> list[Item]:
        """Random tokens at the lengths of XNLI's pairs: mean about 40, up to 128."""
        draw = generator("throughput", "lengths")
        lengths = np.clip(np.round(draw.lognormal(3.55, 0.45, count)), 8, 128).astype(int)
        top = self.backbone.config.vocab_size - 1
        return [
            Item(i, ([0, *draw.integers(4, top, n - 2).tolist(), 2],), target=int(draw.integers(3)))
            for i, n in enumerate(lengths)
        ]

    def ours(self, method: Method) -> tuple[Mounted, nn.Module, Callable[[], int]]:
        """A fresh module, its head, and a round of training steps on it."""
        mounted = mount(self.backbone, [Part("new", method, None)], seed=("throughput",))
        with seeded("throughput", "head"):
            head = self.kind.head(self.backbone.config)
        task = TaskInputs("xnli", self.kind, head, self.items, ((), ()), "accuracy")
        work = Optimisation(mounted, [task], self.settings, seed=0)
        o = self.options

        def round_() -> int:
            for step in range(o.steps):
                work.step(step, o.steps, self.items[step * o.batch : (step + 1) * o.batch])
            return len(self.items)

        return mounted, head, round_

    def theirs(self, grouped: bool) -> Callable[[], tuple[int, float]]:
        """The same steps by HF's Trainer on a peft model, frozen weights in the same dtype.

        Timed from its first step's begin to its last step's end: its set-up does not count.
        """
        config = copy.deepcopy(self.backbone.config)
        config.num_labels = 3  # the setter keeps label names and their count together
        with seeded("throughput", "hf"):
            model: Any = XLMRobertaForSequenceClassification(config)
        model = model.to(self.backbone.dtype)
        lora = lora_config(LoRA(), self.backbone.layers)
        lora.task_type, lora.modules_to_save = "SEQ_CLS", ["classifier"]
        model = peft.get_peft_model(model, lora)
        bf16 = self.backbone.dtype == torch.bfloat16
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        rows = [{"input_ids": list(i.sequences[0]), "labels": i.target} for i in self.items]
        arguments = TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=self.options.batch,
            max_steps=self.options.steps,
            optim="adamw_torch_fused",
            learning_rate=self.settings.lr,
            bf16=bf16,
            use_cpu=self.device == "cpu",
            group_by_length=grouped,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        clock = Clock(self.device)
        trainer = Trainer(
            model=model,
            callbacks=[clock],
            args=arguments,
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(self.backbone.tokenizer),
        )
        trainer.remove_callback(PrinterCallback)  # the last line is to be the result

        def round_() -> tuple[int, float]:
            trainer.train()
            return len(self.items), clock.end - clock.begin

        return round_


class Clock(TrainerCallback):
    """When the steps of a Trainer began and ended."""

    def __init__(self, device: str) -> None:
        self.device, self.begin, self.end = device, 0.0, 0.0

    def on_step_begin(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        if state.global_step == 0:
            synchronise(self.device)
            self.begin = time.perf_counter()

    def on_step_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        synchronise(self.device)
        self.end = time.perf_counter()


def stored_bytes(mounted: Mounted, head: nn.Module, method: Method) -> int:
    """What the module weighs in the store."""
    with tempfile.TemporaryDirectory() as folder:
        weights = {name: p.detach().cpu() for name, p in head.named_parameters()}
        saved = stored(Store(Path(folder)), method, mounted.weights(), weights, mounted.config)
        return sum(f.stat().st_size for f in saved.path.iterdir())


def peaks(options: Options, names: list[str]) -> dict[str, int]:
    """Peak memory of each contender's training, each in a process of its own."""
    found = {}
    for name in names:
        command = [sys.executable, __file__, "--only", name, "--no-memory"]
        for key in ("model", "batch", "steps", "device", "dtype"):
            command += [f"--{key}", str(getattr(options, key))]
        if options.threads:
            command += ["--threads", str(options.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
        found[name] = int(done.stdout.strip().splitlines()[-1])
    return found


def main(options: Options) -> None:
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    bench = Bench(options)
    if options.only:
        if options.only in METHODS:
            bench.ours(parse_method(METHODS[options.only]))[2]()
        elif options.only in TRAINERS:
            bench.theirs(TRAINERS[options.only])()
        print(peak_bytes(bench.device))
        return
    console = wide()
    mounted: dict[str, Any] = {}
    training: dict[str, Callable[[], tuple[int, float]]] = {}
    inference: dict[str, Callable[[], tuple[int, float]]] = {}
    for name, text in METHODS.items():
        mounted[name] = (parse_method(text), *bench.ours(parse_method(text)))
        training[name] = timed(mounted[name][3], bench.device)
    for name, grouped in TRAINERS.items():
        training[name] = bench.theirs(grouped)
    bare = mount(bench.backbone, [])
    head = bench.kind.head(bench.backbone.config).to(bench.device)
    contenders = {"bare encoder": (bare, head)} | {n: (m, h) for n, (_, m, h, _) in mounted.items()}
    for name, (m, h) in contenders.items():
        inference[name] = timed(
            lambda m=m, h=h: len(outputs_of(m, h, bench.kind, bench.items)),  # type: ignore[misc]
            bench.device,
        )

    train_rates = interleaved(training, rounds=options.rounds)
    infer_rates = interleaved(inference, rounds=options.rounds, warmup=2)
    train_ratio = ratios(train_rates, "full")
    infer_ratio = ratios(infer_rates, "bare encoder")
    sizes = {n: stored_bytes(m, h, method) for n, (method, m, h, _) in mounted.items()}
    trainable = {
        n: sum(p.numel() for p in (*m.trainable.values(), *h.parameters()))
        for n, (_, m, h, _) in mounted.items()
    }
    memory = peaks(options, ["bare", *METHODS, *TRAINERS]) if options.memory else {}

    tokens = sum(len(i) for i in bench.items)
    console.print(
        f"{options.shown(bench.backbone)}; {options.batch} examples a step, "
        f"{tokens / len(bench.items):.0f} tokens each on average; {options.rounds} rounds"
    )
    table = Table()
    for column in (
        "",
        "training ex/s",
        "over full",
        "inference ex/s",
        "over bare",
        "peak memory",
        "trainable",
        "stored",
    ):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    rows = []
    for name in ["bare encoder", *training]:
        row: dict[str, Any] = {
            "name": name,
            "training_examples_per_second": _spread(train_rates, name),
            "training_over_full": asdict(train_ratio[name]) if name in train_ratio else None,
            "inference_examples_per_second": _spread(infer_rates, name),
            "inference_over_bare": asdict(infer_ratio[name]) if name in infer_ratio else None,
            "peak_bytes": memory.get("bare" if name == "bare encoder" else name),
            "trainable_parameters": trainable.get(name),
            "stored_bytes": sizes.get(name),
        }
        rows.append(row)
        table.add_row(
            name,
            str(Spread.of(train_rates[name])) if name in train_rates else "-",
            f"{train_ratio[name].median:.2f}x" if name in train_ratio else "-",
            str(Spread.of(infer_rates[name])) if name in infer_rates else "-",
            f"{infer_ratio[name].median:.2f}x" if name in infer_ratio else "-",
            f"{row['peak_bytes'] / 1e9:.2f} GB" if row["peak_bytes"] else "-",
            f"{trainable[name] / 1e6:.2f} M" if name in trainable else "-",
            f"{sizes[name] / 1e6:.1f} MB" if name in sizes else "-",
        )
    console.print(table)
    bench.backbone.verify()
    print(
        json.dumps(
            {
                "benchmark": "throughput",
                **options.facts(bench.backbone),
                "batch": options.batch,
                "rounds": options.rounds,
                "tokens_per_example": tokens / len(bench.items),
                "rows": rows,
            }
        )
    )


def _spread(rates: dict[str, list[float]], name: str) -> dict[str, float] | None:
    return asdict(Spread.of(rates[name])) if name in rates else None


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
