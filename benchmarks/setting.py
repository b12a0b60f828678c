"""Backbones of XLM-R's real shapes with random weights: right for speed and memory, never for accuracy."""

from __future__ import annotations

import tempfile
from typing import Literal

from transformers import XLMRobertaConfig, XLMRobertaModel

from xadapt import Backbone
from xadapt.common.randomness import seeded

Shape = Literal["base", "large", "pocket"]


def backbone(model: Shape, device: str, dtype: str) -> Backbone:
    """The pocket backbone itself, or a folder with the real shape that goes through the real loading code."""
    if model == "pocket":
        return Backbone.from_pretrained("pocket", device=device, dtype=dtype)
    with tempfile.TemporaryDirectory() as folder, seeded("throughput", model):
        XLMRobertaModel(config(model), add_pooling_layer=False).save_pretrained(folder)
        Backbone.from_pretrained("pocket").tokenizer.save_pretrained(folder)
        return Backbone.from_pretrained(folder, device=device, dtype=dtype)


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
