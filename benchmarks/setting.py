"""What all pages are measured on: a backbone of one of XLM-R's real shapes, with random weights, on a device,
in a type. Right for speed and memory, never for accuracy."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
from transformers import (
    PretrainedConfig,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaXLConfig,
    XLMRobertaXLModel,
)

from xadapt import Backbone
from xadapt.common.measure import device_name, side_by_side
from xadapt.common.randomness import seeded

Model = Literal["pocket", "base", "large", "xl"]


NO_REAL_DATA = "not measured: --encoder and --data are not given, or not there"


def real_data(encoder: Path | None, data: Path | None) -> tuple[str, str, str] | None:
    """What tables call a real encoder on real data, and the two folders; None where one is missing."""
    if encoder is None or data is None or not (encoder.exists() and data.exists()):
        return None
    return f"{encoder.name}, real text", str(encoder), str(data)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured on."""

    model: Model = "base"
    """base, large, xl: XLM-R's real shapes with random weights (speed and memory, never accuracy)"""
    device: str = "auto"
    """auto, cpu, cuda"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """for all contenders alike; auto: the type in which a product of the model's width is faster here"""
    threads: int | None = None
    """CPU threads"""
    rounds: int = 3
    """rounds; figures are medians and ranges"""
    out: Path | None = None
    """a folder to write JSON, markdown and plots into"""
    checkpoint: Path | None = None
    """used by the measurement of memory: the folder that ``written`` made, so that making it costs nothing"""

    def place(self) -> str:
        """The device, ``auto`` resolved. Sets the number of threads."""
        if self.threads:
            torch.set_num_threads(self.threads)
        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device

    def backbone(self) -> Backbone:
        """The pocket backbone itself, or one of the real shape that goes through the real loading code."""
        device = self.place()
        if self.model == "xl" and device == "cpu":
            raise SystemExit("XL's shape is measured on a GPU only: 14 GB of weights, minutes a step")
        dtype = faster_type(device, width(self.model)) if self.dtype == "auto" else self.dtype
        if self.checkpoint or self.model == "pocket":
            return Backbone.from_pretrained(str(self.checkpoint or "pocket"), device=device, dtype=dtype)
        with tempfile.TemporaryDirectory() as folder:
            self.written(Path(folder))
            return Backbone.from_pretrained(folder, device=device, dtype=dtype)

    def fixed(self, backbone: Backbone) -> Self:
        """The same with the type that was chosen, so that it is chosen once."""
        return replace(self, dtype="bfloat16" if backbone.dtype == torch.bfloat16 else "float32")

    def written(self, folder: Path) -> str:
        """A checkpoint of the shape in ``folder``; its name for ``checkpoint``, which pocket needs none
        for."""
        if self.model == "pocket":
            return "pocket"
        with seeded("benchmark", self.model):
            model: Any = XLMRobertaXLModel if self.model == "xl" else XLMRobertaModel
            model(config(self.model), add_pooling_layer=False).save_pretrained(folder)
        Backbone.from_pretrained("pocket").tokenizer.save_pretrained(folder)
        return str(folder)

    def facts(self, backbone: Backbone) -> dict[str, str]:
        """What the figures were measured on, for JSON."""
        return {
            "model": self.model,
            "weights": "its own" if self.model == "pocket" else "random",
            "dtype": backbone.dtype_name,
            "device": device_name(str(backbone.device)),
        }


def faster_type(device: str, columns: int) -> str:
    """``float32`` or ``bfloat16``: in which a product of the model's width is faster on this device."""
    ways = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.ones(n, columns, device=device, dtype=dtype) for n in (512, 4 * columns))
        ways[str(dtype).removeprefix("torch.")] = lambda a=a, b=b: torch.nn.functional.linear(a, b)
    seconds = side_by_side(ways, rounds=7, warmup=2, device=device)
    return min(seconds, key=lambda name: statistics.median(seconds[name]))


def width(model: Model) -> int:
    """Of the model's hidden states."""
    return {"pocket": 192, "base": 768, "large": 1024, "xl": 2560}[model]


def config(model: Model) -> PretrainedConfig:
    """XLM-R's published shapes (Conneau et al. 2020, arXiv 1911.02116, table 6; Goyal et al. 2021, arXiv
    2105.00572, for XL)."""
    layers, heads = {"base": (12, 12), "large": (24, 16), "xl": (36, 32)}[model]
    made = XLMRobertaXLConfig if model == "xl" else XLMRobertaConfig
    return made(
        vocab_size=250_880 if model == "xl" else 250_002,
        hidden_size=width(model),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width(model),
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
