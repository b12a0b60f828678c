"""``xadapt modules import`` and ``export``: modules from other libraries, and for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.store.store import Store


@dataclass(frozen=True)
class Import:
    """Take in a PEFT LoRA folder, or one of the library adapters, under a name."""

    folder: tyro.conf.Positional[Path]
    """adapter_config.json with adapter_model.safetensors (PEFT) or adapter.safetensors (adapters)"""
    task: str
    """the task that it was trained on: its kind, labels and metric"""
    name: str
    """what it is called from then on"""
    backbone: str = "pocket"
    """pocket, a hub id, or a folder in HF format: what it was trained on"""
    labels: str | None = None
    """what the rows of its head stand for, in order, where the folder does not say: a,b,c"""
    head: bool = True
    """take its head too; with --no-head the module can stand below others only"""
    any_base: bool = False
    """do not compare the name of the backbone that the folder gives"""


@dataclass(frozen=True)
class Export:
    """Write a module, with what it stands on, for another library.

    The folder has the tokenizer, the labels' names, and a README with a few lines of Python that run:
      --to merged    pipeline("text-classification", folder)
      --to peft      AutoPeftModelForSequenceClassification.from_pretrained(folder)
      --to adapters  AutoAdapterModel.from_pretrained(backbone).load_adapter(folder)
      --to onnx      onnxruntime.InferenceSession("model.onnx"), or "model-int8.onnx"
    """

    module: tyro.conf.Positional[str]
    """an address, its first digits, a name, or an expression"""
    to: Literal["peft", "adapters", "merged", "onnx"]
    """a PEFT folder (LoRA), one of the library adapters (bottleneck), plain HF weights, or ONNX"""
    out: Path
    """a new or an empty folder"""
    backbone: str | None = None
    """where its backbone lies; by default where it was when the module was trained"""
    choices: int | None = None
    """options an item of multiple choice; adapters needs it"""
    base: Literal["auto", "inside", "named"] = "auto"
    """--to peft: inside brings the encoder and opens without arguments; auto: named, if it is on the hub"""
    head: bool = True
    """with its head; with --no-head, what is written is an encoder"""
    lang: str | None = None
    """of an expression with lang(...): on which language module"""


def import_one(store: Store, wanted: Import, console: Console) -> None:
    """Take the folder in and say what it is called."""
    from xadapt.backbone.backbone import Backbone
    from xadapt.interop.import_module import import_module

    labels = [word.strip() for word in wanted.labels.split(",")] if wanted.labels else None
    saved = import_module(
        wanted.folder,
        store,
        Backbone.from_pretrained(wanted.backbone, device="cpu", dtype="float32"),
        task=wanted.task,
        name=wanted.name,
        labels=labels,
        with_head=wanted.head,
        any_base=wanted.any_base,
    )
    head = "with its head" if saved.head else "without a head: it can stand below others only"
    console.print(f"{wanted.name} = {saved.address}, {saved.manifest['method']}, {head}", markup=False)


def export_one(store: Store, wanted: Export, console: Console) -> None:
    """Write the folder and say where it is."""
    from xadapt.backbone.backbone import Backbone
    from xadapt.interop.adapters_out import export_adapters
    from xadapt.interop.export import export_of
    from xadapt.interop.merged import export_merged
    from xadapt.interop.peft_out import export_peft
    from xadapt.study.wanted_modules import exchanged_module, the_module

    address = the_module(store, wanted.module)
    exported = export_of(store, address, head=wanted.head)
    if lowest := exchanged_module(store, wanted.module, address, wanted.lang):
        lower = export_of(store, lowest).elements
        exported = replace(exported, elements=(*lower, *exported.elements[1:]))
    name = wanted.backbone or exported.top.manifest["backbone"]["name"]
    backbone = Backbone.from_pretrained(name, device="cpu", dtype="float32")
    match wanted.to:
        case "peft":
            export_peft(exported, backbone, wanted.out, base=wanted.base)
        case "adapters":
            export_adapters(exported, backbone, wanted.out, choices=wanted.choices)
        case "merged":
            export_merged(exported, backbone, wanted.out)
        case "onnx":
            from xadapt.interop.onnx_out import export_onnx

            with console.status("writing two files, and answering a whole test set with each"):
                agreement = export_onnx(exported, backbone, wanted.out)
            console.print(f"{agreement}.", markup=False, soft_wrap=True)
    console.print(f"{exported.shown} on {backbone.name} is in {wanted.out}", markup=False)
