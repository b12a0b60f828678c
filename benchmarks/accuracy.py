"""How long training takes to a given accuracy on English dev, in the pocket world: ours and HF's Trainer with
peft.

The pocket world's XNLI and its own checkpoint. In a round all see the same batches of 32 in the same order,
with the same peak rate, warm-up, decay and weight decay, and are asked as often; only the steps are timed,
not the asking.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from contenders import Clock, Contender, classify, head_of, peft_of, trainer_of
from results import Row
from setting import Setting
from transformers import Trainer, TrainerState, XLMRobertaForSequenceClassification

from xadapt import Backbone
from xadapt.backbone.backbone import POCKETS
from xadapt.common.measure import Spread, interleaved, synchronise, timed
from xadapt.common.randomness import seeded
from xadapt.data.pocket.source import Pocket
from xadapt.kinds.kind import Item
from xadapt.mount import Part, mount
from xadapt.stacks.methods import parse_method
from xadapt.train.evaluate import Encoded, evaluate
from xadapt.train.loop import Shuffles
from xadapt.train.optimisation import Optimisation, TaskInputs
from xadapt.train.settings import Settings

STEPS, BATCH, DEV, LENGTH = 200, 32, 300, 128
RATES = {"lora": 3e-3, "bottleneck": 3e-3, "full": 5e-4}  # a study's own for this width
Order = Callable[[int], list[list[Item]]]  # a round's batches


def our_training(
    backbone: Backbone, method: str, order: Order, dev: Encoded, goal: float, look: int
) -> Contender:
    """A module from its first weights to the goal; infinite seconds if it is not there after all steps."""
    turns, kind = itertools.count(1), classify()

    def once() -> tuple[int, float]:
        turn = next(turns)
        mounted, head = (
            mount(backbone, [Part("new", parse_method(method), None)], seed=(turn,)),
            head_of(backbone),
        )
        task = TaskInputs("xnli", kind, head, (), dev, "accuracy")
        run = Optimisation(mounted, [task], Settings(lr=RATES[method], epochs=1, batch_size=BATCH), seed=turn)
        seconds, batches = 0.0, order(turn)
        for first in range(0, STEPS, look):

            def steps(first: int = first) -> int:
                for step in range(first, min(first + look, STEPS)):
                    run.step(step, STEPS, batches[step])
                return look

            seconds += timed(steps, str(backbone.device))()[1]
            if evaluate(mounted, head, kind, *dev)["accuracy"] >= goal:
                return 1, seconds
        return 1, math.inf

    return once


class Looks(Clock):
    """A Trainer's clock that stands still while dev is looked at, and stops the training at the goal."""

    def __init__(self, device: str, reached: Callable[[], bool], look: int) -> None:
        super().__init__(device)
        self.reached, self.look = reached, look
        self.seconds, self.there = 0.0, False

    def on_step_begin(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        if state.global_step == 0:
            self.seconds, self.there = 0.0, False
        if state.global_step % self.look == 0:
            synchronise(self.device)
            self.begin = time.perf_counter()

    def on_step_end(self, args: object, state: TrainerState, control: Any, **_: object) -> None:
        if state.global_step % self.look == 0:
            synchronise(self.device)
            self.seconds += time.perf_counter() - self.begin
            self.there = self.reached()
            control.should_training_stop = self.there


def hf_training(backbone: Backbone, order: Order, dev: Encoded, goal: float, look: int) -> Contender:
    """The same by HF's Trainer on a peft model of the pocket checkpoint."""
    turns, device = itertools.count(1), str(backbone.device)

    def once() -> tuple[int, float]:
        turn = next(turns)
        with seeded("benchmark", turn):
            plain: Any = XLMRobertaForSequenceClassification.from_pretrained(
                POCKETS["pocket"], num_labels=3, dtype=backbone.dtype
            )
            model = peft_of(plain, backbone)
        clock = Looks(device, lambda: accuracy(model, backbone, dev) >= goal, look)
        train = trainer_of(
            Trainer, model, backbone, lambda _: order(turn), clock=clock,
            learning_rate=RATES["lora"], warmup_ratio=0.1, weight_decay=0.01,
        )  # fmt: skip
        with seeded("benchmark", "order", turn):
            train()
        return 1, clock.seconds if clock.there else math.inf

    return once


@torch.inference_mode()
def accuracy(model: Any, backbone: Backbone, dev: Encoded) -> float:
    """Of HF's model, 0 to 100."""
    kind, (examples, items) = classify(), dev
    model.eval()
    logits: list[Any] = []
    for i in range(0, len(items), BATCH):
        rows = {"input_ids": [list(item.sequences[0]) for item in items[i : i + BATCH]]}
        batch = backbone.tokenizer.pad(rows, return_tensors="pt").to(model.device)
        logits += list(model(**batch).logits.float().cpu().numpy())
    model.train()
    return kind.score(examples, kind.decode(examples, items, logits))["accuracy"]


def accuracy_rows(options: Setting, goal: float, look: int) -> list[Row]:
    """Seconds of training to the goal, a value a round; empty where a round did not come to it."""
    backbone, kind, source = Backbone.from_pretrained("pocket", device=options.place()), classify(), Pocket()
    texts = source.load("xnli", "en", "train")[: STEPS * BATCH]  # one epoch
    items = kind.encode(texts, backbone.tokenizer, LENGTH, training=True)
    examples: Sequence[Any] = source.load("xnli", "en", "dev")[:DEV]
    dev = examples, kind.encode(examples, backbone.tokenizer, LENGTH, training=False)

    def order(turn: int) -> list[list[Item]]:
        shuffles = Shuffles(len(items), turn, None)
        return [[items[i] for i in shuffles.batch(step, BATCH)] for step in range(STEPS)]

    ways = {method: our_training(backbone, method, order, dev, goal, look) for method in RATES}
    ways["HF Trainer + peft"] = hf_training(backbone, order, dev, goal, look)
    rates = interleaved(ways, rounds=options.rounds, warmup=0)
    table = f"seconds to {goal:g} points on English dev, pocket world, {backbone.dtype_name}"
    rows: list[Row] = []
    for name, values in rates.items():
        arrived = [1 / rate for rate in values if rate > 0]
        spread = Spread.of(arrived) if len(arrived) == len(values) else None
        rows.append({"table": table, "name": name, "seconds": spread, "rounds that arrived": len(arrived)})
    return rows
