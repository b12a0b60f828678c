"""Who is compared, each as fast as its library can: ours, HF's Trainer, peft, adapters, HF's plain forward.

A contender is a function that does a round's work and returns how many items that was and how many seconds it
took, for ``common.measure.interleaved``. Each works on the next round's batches every time it is called, so
those that run in one measurement get the same items. Items are token ids already, batches are made before the
clock starts, and HF's Trainer neither evaluates, logs nor saves; its clock runs from its first step's begin
to its last step's end. In bf16 frozen weights are bf16 for all, and what is trained is float32 under
autocast.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import adapters
import peft
import torch
from adapters import AdapterTrainer, SeqBnConfig
from adapters.composition import Fuse, Parallel
from draws import Batches
from modules import moved
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from xadapt import Backbone, LoRA, Mounted
from xadapt.common.measure import synchronise, timed
from xadapt.common.randomness import seeded
from xadapt.kinds import kind_of
from xadapt.kinds.kind import Item, Kind
from xadapt.mount import Element, mount
from xadapt.mount.lora import lora_config
from xadapt.stacks.methods import layer_range
from xadapt.tasks import task_named
from xadapt.train.evaluate import outputs_of
from xadapt.train.optimisation import Optimisation, TaskInputs
from xadapt.train.settings import Settings

Contender = Callable[[], tuple[int, float]]
RATE = 1e-4


def classify() -> Kind:
    """XNLI's kind: three labels, read off the first token."""
    return kind_of(task_named("xnli"))


def head_of(backbone: Backbone) -> nn.Module:
    """A fresh head of XNLI's."""
    with seeded("benchmark", "head"):
        return classify().head(backbone.config).to(backbone.device)


def in_turns(
    batches: Batches, device: str, work: Callable[[Any], object], prepared: Callable[[Any], Any] = list
) -> Contender:
    """``work`` on the next round's batches at each call, ``prepared`` before the clock starts."""
    turns = itertools.count()

    def round_() -> tuple[int, float]:
        now = batches(next(turns))
        ready = prepared(now)

        def done() -> int:
            work(ready)
            return sum(map(len, now))

        return timed(done, device)()

    return round_


class Ours(NamedTuple):
    """A fresh module on the backbone, its head, and rounds of training steps on both."""

    mounted: Mounted
    head: nn.Module
    train: Contender


def ours(backbone: Backbone, stack: Sequence[Element], batches: Batches) -> Ours:
    """The loop's own steps: packed, fused AdamW, clipped."""
    mounted, head = mount(backbone, stack, seed=("benchmark",)), head_of(backbone)
    task = TaskInputs("xnli", classify(), head, (), ((), ()), "accuracy")
    run = Optimisation(mounted, [task], Settings(lr=RATE, epochs=1, batch_size=1), seed=0)

    def steps(now: list[list[Item]]) -> None:
        for step, batch in enumerate(now):
            run.step(step, len(now), batch)

    return Ours(mounted, head, in_turns(batches, str(backbone.device), steps))


def ours_inference(mounted: Mounted, head: nn.Module, batches: Batches) -> Contender:
    """Logits of all items of a round, as an evaluation makes them: sorted by length and packed by it."""

    def work(now: list[list[Item]]) -> None:
        outputs_of(mounted, head, classify(), [item for batch in now for item in batch])

    return in_turns(batches, str(mounted.device), work)


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


def hf_trainer(backbone: Backbone, batches: Batches, *, lora: bool, length: int | None = None) -> Contender:
    """HF's Trainer with fused AdamW: full fine-tuning, or with ``peft`` a LoRA on all linears.

    Args:
        length: tokens to which every sequence is padded; None for the longest of its batch.
    """
    model = _hf_classifier(backbone)
    if lora:
        model = peft_of(model.to(backbone.dtype), backbone)
    return trainer_of(Trainer, model, backbone, batches, length)


def peft_of(model: Any, backbone: Backbone) -> Any:
    """HF's classifier with ``peft``'s LoRA, our default's rank and linears, and its head to be trained."""
    settings = lora_config(LoRA(), backbone.layers)
    settings.task_type, settings.modules_to_save = "SEQ_CLS", ["classifier"]
    return _trained_in_float32(peft.get_peft_model(model, settings))


def adapter_trainer(backbone: Backbone, batches: Batches, *, fused: int = 0, reduction: int = 4) -> Contender:
    """AdapterTrainer of ``adapters``, batches padded to their longest.

    Args:
        fused: a fresh fusion of so many frozen bottlenecks; 0 for one fresh bottleneck.
        reduction: of a bottleneck; the width is the hidden one over it.
    """
    model = _adapters_model(backbone, fused or 1, SeqBnConfig(reduction_factor=reduction))
    names = [f"module{n}" for n in range(fused or 1)]
    if fused:
        model.add_adapter_fusion(Fuse(*names))
        model.train_adapter_fusion(Fuse(*names))
    else:
        model.train_adapter(names[0])
    model.active_head = names[0]
    for name, parameter in model.named_parameters():  # the heads of the frozen modules are not trained
        if name.startswith("heads.") and not name.startswith(f"heads.{names[0]}."):
            parameter.requires_grad_(False)
    return trainer_of(AdapterTrainer, _trained_in_float32(model), backbone, batches)


def trainer_of(
    made: type[Trainer],
    model: Any,
    backbone: Backbone,
    batches: Batches,
    length: int | None = None,
    *,
    clock: Clock | None = None,
    **settings: Any,
) -> Contender:
    """A Trainer of HF's or of ``adapters``' that trains ``model`` on each round's batches.

    Args:
        length: tokens to which every sequence is padded; None for the longest of its batch.
        clock: measures the round.
        settings: further ``TrainingArguments``.
    """
    device = str(backbone.device)
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),  # nothing is written
        optim="adamw_torch_fused",
        bf16=backbone.dtype == torch.bfloat16,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **({"learning_rate": RATE} | settings),
    )
    if arguments.device.type == "cuda":
        arguments._n_gpu = 1  # of several GPUs one, as ours: not torch's slow DataParallel
    clock, turns = clock or Clock(device), itertools.count()
    trainer: Any = made(
        model=model,
        args=arguments,
        callbacks=[clock],
        data_collator=DataCollatorWithPadding(backbone.tokenizer, **_padding(length)),
    )
    trainer.remove_callback(PrinterCallback)  # the last line is to be the result
    # Batches are drawn already, shuffled or grouped as HF's own samplers do it.
    trainer._get_train_sampler = lambda rows=None: SequentialSampler(trainer.train_dataset)

    def round_() -> tuple[int, float]:
        now = batches(next(turns))
        rows = [
            {"input_ids": list(item.sequences[0]), "labels": item.target} for batch in now for item in batch
        ]
        arguments.per_device_train_batch_size, arguments.max_steps = len(now[0]), len(now)
        trainer._train_batch_size = len(now[0])
        trainer.train_dataset = rows
        trainer.train()
        return len(rows), clock.end - clock.begin

    return round_


def hf_forward(
    backbone: Backbone, batches: Batches, *, sort: bool = False, length: int | None = None
) -> Contender:
    """HF's own model in ``inference_mode``, each batch padded to its longest before the clock starts.

    Args:
        sort: by length first, over the whole round.
        length: tokens to which every sequence is padded instead.
    """
    model = _hf_classifier(backbone).to(backbone.device, backbone.dtype).eval()
    return _padded_passes(backbone, batches, lambda batch: model(**batch).logits.cpu(), sort, length)


def adapters_forward(
    backbone: Backbone, batches: Batches, *, modules: int, layers: str = "all", parallel: bool = False
) -> Contender:
    """``adapters``' own forward with each of several bottlenecks and its head, one after another, or side by
    side in its ``Parallel`` block, which runs the layers below the lowest module once."""
    kept = layer_range(layers, backbone.layers)
    leave_out = [i for i in range(backbone.layers) if i not in kept]
    model = _adapters_model(backbone, modules, SeqBnConfig(reduction_factor=4, leave_out=leave_out))
    model = model.to(backbone.device, backbone.dtype).eval()
    names = [f"module{n}" for n in range(modules)]

    def passes(batch: dict[str, Any]) -> None:
        if parallel and modules > 1:
            model.set_active_adapters(Parallel(*names))
            for output in model(**batch):
                output.logits.cpu()
            return
        for name in names:
            model.set_active_adapters(name)
            model(**batch).logits.cpu()

    return _padded_passes(backbone, batches, passes)


def _padded_passes(
    backbone: Backbone,
    batches: Batches,
    once: Callable[[dict[str, Any]], object],
    sort: bool = False,
    length: int | None = None,
) -> Contender:
    padding = _padding(length)

    def padded(now: list[list[Item]]) -> list[Any]:
        size = len(now[0])
        items = [item for batch in now for item in batch]
        if sort:
            items.sort(key=len)
        rows = [
            [list(s) for item in items[i : i + size] for s in item.sequences]
            for i in range(0, len(items), size)
        ]
        pad: Any = backbone.tokenizer.pad
        return [pad({"input_ids": r}, return_tensors="pt", **padding).to(backbone.device) for r in rows]

    @torch.inference_mode()
    def work(ready: list[dict[str, Any]]) -> None:
        for batch in ready:
            once(batch)

    return in_turns(batches, str(backbone.device), work, padded)


def _padding(length: int | None) -> dict[str, Any]:
    return {"padding": "max_length", "max_length": length} if length else {}


def _hf_classifier(backbone: Backbone) -> Any:
    """HF's class with random weights of the backbone's shape and three labels; its default attention."""
    config = copy.deepcopy(backbone.config)
    config.num_labels = 3  # the setter keeps label names and their count together
    with seeded("benchmark", "hf"):
        return AutoModelForSequenceClassification.from_config(config)


def _adapters_model(backbone: Backbone, modules: int, config: SeqBnConfig) -> Any:
    """The class of ``adapters`` with some bottlenecks that look trained, and a head for each."""
    with seeded("benchmark", "adapters"):
        model: Any = adapters.AutoAdapterModel.from_config(copy.deepcopy(backbone.config))
        for n in range(modules):
            model.add_adapter(f"module{n}", config=config)
            model.add_classification_head(f"module{n}", num_labels=3, overwrite_ok=True)
            own = {k: t for k, t in model.state_dict().items() if f".adapters.module{n}." in k}
            model.load_state_dict(moved(own, n), strict=False)
    return model.to(backbone.device, backbone.dtype)


def _trained_in_float32(model: nn.Module) -> nn.Module:
    """What is trained in float32, whatever the rest is in: as autocast wants it."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model
