"""What the benchmarks of speed have in common: a backbone of one of XLM-R's real shapes, with random weights,
on a device, in a type. Right for speed and memory, never for accuracy."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import XLMRobertaConfig, XLMRobertaModel

from xadapt import Backbone, Store
from xadapt.common.randomness import seeded
from xadapt.mount.weights import weights_file_of
from xadapt.stacks.methods import Method
from xadapt.store.store import Saved, address_of


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured on."""

    model: Literal["base", "large", "pocket"] = "base"
    """base and large: XLM-R's real shapes with random weights (speed and memory, never accuracy)"""
    device: str = "auto"
    """auto, cpu, cuda"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """for all contenders alike"""
    threads: int | None = None
    """CPU threads"""

    def backbone(self) -> Backbone:
        """The pocket backbone itself, or a folder with the real shape that goes through the real loading
        code. Sets the number of threads."""
        if self.threads:
            torch.set_num_threads(self.threads)
        if self.model == "pocket":
            return Backbone.from_pretrained("pocket", device=self.device, dtype=self.dtype)
        with tempfile.TemporaryDirectory() as folder, seeded("throughput", self.model):
            XLMRobertaModel(config(self.model), add_pooling_layer=False).save_pretrained(folder)
            Backbone.from_pretrained("pocket").tokenizer.save_pretrained(folder)
            return Backbone.from_pretrained(folder, device=self.device, dtype=self.dtype)

    def facts(self, backbone: Backbone) -> dict[str, str]:
        """What the figures were measured on, for JSON."""
        gpu = backbone.device.type != "cpu"
        return {
            "model": self.model,
            "dtype": backbone.dtype_name,
            "device": torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads",
            "torch": torch.__version__,
        }

    def shown(self, backbone: Backbone) -> str:
        """The same for people."""
        facts = self.facts(backbone)
        weights = "its own weights" if self.model == "pocket" else "random weights"
        return f"XLM-R {self.model} ({weights}), {facts['dtype']}, {facts['device']}"


def stored(
    store: Store,
    method: Method,
    weights: Mapping[str, Tensor],
    head: Mapping[str, Tensor],
    config: Mapping[str, Any],
    label: str = "",
) -> Saved:
    """A module as a run would write it."""
    determinants = {"below": None, "method": str(method), "label": label}
    return store.write(
        address_of(determinants),
        weights=dict(weights),
        head=dict(head),
        config=dict(config),
        manifest={"determinants": determinants},
        weights_file=weights_file_of(method),
    )


def config(model: Literal["base", "large"]) -> XLMRobertaConfig:
    """XLM-R's published shapes (Conneau et al. 2020, arXiv 1911.02116, table 6)."""
    large = model == "large"
    return XLMRobertaConfig(
        vocab_size=250_002,
        hidden_size=1024 if large else 768,
        num_hidden_layers=24 if large else 12,
        num_attention_heads=16 if large else 12,
        intermediate_size=4096 if large else 3072,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
