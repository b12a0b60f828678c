"""LoRA (Hu et al. 2021, arXiv 2106.09685).

With merge.py, which uses its formulas, the one place that knows ``peft``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from peft import LoraConfig, LoraModel, PeftModel
from torch import Tensor
from transformers import XLMRobertaModel

from xadapt.mount.low_rank import LINEARS
from xadapt.mount.weights import Attached, fill
from xadapt.stacks.methods import LoRA, layer_range

# A fusion of bottlenecks has linears called query, key and value too.
NOT_THE_ENCODER = r".*\.adapter_fusion_layer\..*"


class LoRAs:
    """LoRA modules on one model, each added to the sum of those before it."""

    def __init__(self, model: XLMRobertaModel) -> None:
        self.model = model
        self.peft: PeftModel | None = None
        self.names: list[str] = []

    def add(self, label: str, method: LoRA, weights: Mapping[str, Tensor] | None) -> Attached:
        """One more module, active together with the others.

        Returns:
            its parameters, named as peft stores them, and its ``adapter_config.json``.
        """
        layers = self.model.config.num_hidden_layers
        # A finished module has done with dropout, also while another trains above it.
        config = lora_config(method if weights is None else replace(method, dropout=0.0), layers)
        if any(".adapter_fusion_layer." in key for key, _ in self.model.named_modules()):
            config.exclude_modules = NOT_THE_ENCODER
        name = f"lora{len(self.names)}"
        if self.peft is None:
            self.peft = PeftModel(self.model, config, adapter_name=name)
        else:
            self.peft.add_adapter(name, config)
        self.names.append(name)
        lora = cast(LoraModel, self.peft.base_model)
        lora.set_adapter(self.names)
        parameters = {
            key.replace(f".{name}.", "."): tensor
            for key, tensor in self.peft.named_parameters()
            if f".{name}." in key
        }
        if weights is not None:
            fill(parameters, weights, label)
        return parameters, peft_json(lora_config(method, layers))


def lora_config(method: LoRA, n_layers: int) -> LoraConfig:
    """peft's configuration of a method on an encoder of ``n_layers``; the linears are named so that
    only encoder layers match, in a bare encoder and below a head alike."""
    layers = "|".join(str(i) for i in layer_range(method.layers, n_layers))
    return LoraConfig(
        r=method.r,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=rf".*encoder\.layer\.({layers})\..*\.({LINEARS[method.targets]})",
        bias="none",
    )


def peft_json(config: LoraConfig) -> dict[str, Any]:
    """What peft writes as ``adapter_config.json``."""
    plain = config.to_dict()
    return {k: sorted(v) if isinstance(v, set) else v for k, v in plain.items()} | {"inference_mode": True}
