"""Bottleneck adapters (Pfeiffer et al. 2021, arXiv 2005.00247).

The one place that knows ``adapters``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import adapters
from adapters import SeqBnConfig
from adapters.composition import Stack as AdapterStack
from adapters.configuration import build_full_config
from torch import Tensor, nn
from transformers import XLMRobertaModel

from xadapt.methods import Bottleneck, layer_range
from xadapt.mount.weights import fill

# The name under which one module's weights are stored, whatever stands beside it.
STORED = "module"


class Bottlenecks:
    """Bottleneck modules on one model, each on the output of those before it."""

    def __init__(self, model: XLMRobertaModel) -> None:
        self.model: Any = model  # adapters.init adds methods to it
        self.names: list[str] = []
        adapters.init(model)

    def add(
        self, label: str, method: Bottleneck, weights: Mapping[str, Tensor] | None
    ) -> tuple[dict[str, nn.Parameter], dict[str, Any]]:
        """One more module on top.

        Returns:
            its parameters, named as ``adapters`` stores a module called ``module``, and
            its ``adapter_config.json``.
        """
        name = f"module{len(self.names)}"
        layers = self.model.config.num_hidden_layers
        kept = layer_range(method.layers, layers)
        config = SeqBnConfig(
            reduction_factor=method.reduction, leave_out=[i for i in range(layers) if i not in kept]
        )
        with _quiet():
            self.model.add_adapter(name, config=config)
            self.names.append(name)
            self.model.set_active_adapters(AdapterStack(*self.names))
        device = self.model.embeddings.word_embeddings.weight.device
        self.model.adapter_to(name, device=device)
        parameters = {
            key.replace(f".{name}.", f".{STORED}."): tensor
            for key, tensor in self.model.named_parameters()
            if f".adapters.{name}." in key
        }
        if weights is not None:
            fill(parameters, weights, label)
        full = build_full_config(
            self.model.adapters_config.get(name),
            self.model.config,
            model_name=None,
            name=STORED,
            model_class=type(self.model).__name__,
        )
        return parameters, full


@contextmanager
def _quiet() -> Iterator[None]:
    """``adapters`` says that nothing is active until something is; what is active is proved
    by its effect, not by the log."""
    logger = logging.getLogger("adapters")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
