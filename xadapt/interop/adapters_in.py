"""A folder of the library ``adapters`` as a module: a bottleneck in the ``seq_bn`` (Pfeiffer) shape, with an
invertible adapter or without: AdapterHub's language adapters have one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from adapters import SeqBnConfig, SeqBnInvConfig
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.rules import Rule
from xadapt.interop.folder import (
    INDEX,
    NUMBER,
    TEXT,
    ForeignModule,
    check_values,
    dict_of,
    either,
    list_of,
    read_config,
    read_weights,
)
from xadapt.mount.bottleneck import STORED
from xadapt.stacks.methods import Bottleneck

# Configurations that older folders give by name.
_NAMED: Mapping[str, type[SeqBnConfig]] = {
    "seq_bn": SeqBnConfig,
    "pfeiffer": SeqBnConfig,
    "seq_bn_inv": SeqBnInvConfig,
    "pfeiffer+inv": SeqBnInvConfig,
}
# What may differ from ``seq_bn``: what starts or trains a module, and what is understood below.
_FREE = {"reduction_factor", "leave_out", "init_weights", "init_weights_seed", "dropout"}
# An invertible adapter, where there is one, is that of ``seq_bn_inv``.
_INVERTIBLE = {"inv_adapter": (None, False, "nice"), "inv_adapter_reduction_factor": (2,)}
# Details of options that are off.
_DETAILS = {
    "phm_layer": r"phm_.*|shared_phm_rule|shared_W_phm|factorized_phm_.*|learn_phm|hypercomplex_.*",
    "inv_adapter": r"inv_adapter_.*",
}
_OBJECT = Rule("an object", lambda v: isinstance(v, dict))
_RULES = {"name": TEXT, "config": either(_OBJECT, TEXT), "model_name": TEXT}
_OPTION_RULES = {"reduction_factor": either(NUMBER, _OBJECT), "leave_out": list_of(INDEX)}
_IDS = dict_of(either(INDEX, Rule("digits", lambda v: isinstance(v, str) and v.isdecimal())))
_HEAD_RULES = {"name": TEXT, "config": _OBJECT, "label2id": _IDS}
_LAYER = re.compile(
    r"(encoder\.layer\.\d+\.output\.adapters)\.(.+?)\.(adapter_down\.0|adapter_up)\.(weight|bias)"
)
_INVERSE = re.compile(r"(invertible)(?:_lang)?_adapters\.(.+?)\.([FG]\.[02])\.(weight|bias)")


def read_adapters(folder: Path, backbone: Backbone, *, with_head: bool = True) -> ForeignModule:
    """Read ``adapter_config.json``, ``adapter.safetensors`` and, if there is one, the head.

    Raises:
        UserError: a pickle, another architecture or another option (it is named), weights missing
            or of another backbone's width.
    """
    path = folder / "adapter_config.json"
    full = read_config(path)
    check_values(full, _RULES, path)
    name = str(full.get("name", ""))
    config = full.get("config")
    if isinstance(config, str):
        if config not in _NAMED:
            raise _unsupported(f"the configuration {config!r}", path)
        config = _NAMED[config]().to_dict()
    if not isinstance(config, Mapping):
        raise UserError("not a configuration of the library adapters", path=path)
    check_values(config, _OPTION_RULES, path)
    _check(config, path)
    weights = read_weights(folder, "adapter.safetensors", "pytorch_adapter.bin")
    reduction = config.get("reduction_factor", 16)
    if isinstance(reduction, Mapping) or reduction != int(reduction) or reduction < 1:
        raise _unsupported(f"reduction_factor={reduction!r}", path)
    left = {int(layer) for layer in config.get("leave_out") or ()}
    kept = [layer for layer in range(backbone.layers) if layer not in left]
    if not kept:
        raise _unsupported(f"leave_out={sorted(left)}: no layer is left", path)
    layers = "all" if kept[0] == 0 else f"top{backbone.layers - kept[0]}"
    inverts = bool(config.get("inv_adapter"))
    method = Bottleneck(reduction=int(reduction), layers=layers, inv="nice" if inverts else "none")
    own = _weights(weights, name, kept, inverts, folder)
    # A layer that was left out, above one that was not: a bottleneck of zeros hands its input on.
    example = {
        key.partition(f".{kept[0]}.")[2]: tensor for key, tensor in own.items() if f".{kept[0]}." in key
    }
    for layer in range(kept[0], backbone.layers):
        if layer in left:
            own |= {f"encoder.layer.{layer}.{rest}": torch.zeros_like(t) for rest, t in example.items()}
    head, flex, labels = _head(folder, name) if with_head else ({}, None, None)
    return ForeignModule("adapters", method, own, head, labels, full.get("model_name"), flex)


def _check(config: Mapping[str, Any], path: Path) -> None:
    """Refuse, by name, what is no bottleneck or not in the shape of ``seq_bn``."""
    architecture = config.get("architecture")
    if architecture is not None and not (architecture == "seq_bn" or "reduction_factor" in config):
        raise _unsupported(f"the architecture {architecture!r}", path)
    usual = asdict(SeqBnConfig())
    off = [pattern for switch, pattern in _DETAILS.items() if not config.get(switch)]
    wrong = []
    for key, value in sorted(config.items()):
        if key in _FREE or key == "architecture" or any(re.fullmatch(pattern, key) for pattern in off):
            continue
        if key in _INVERTIBLE:
            if value not in _INVERTIBLE[key]:
                wrong.append(f"{key}={value!r} (seq_bn_inv: {_INVERTIBLE[key][-1]!r})")
        elif (value != usual[key]) if key in usual else bool(value):
            wrong.append(f"{key}={value!r}" + (f" (seq_bn: {usual[key]!r})" if key in usual else ""))
    if wrong:
        raise _unsupported("; ".join(wrong), path)


def _unsupported(what: str, path: Path) -> UserError:
    return UserError(
        f"an adapter that cannot be represented: {what}",
        expected="a bottleneck in the shape of SeqBnConfig ('seq_bn', formerly 'pfeiffer') or SeqBnInvConfig",
        do="train one with SeqBnConfig(reduction_factor=..., leave_out=...)",
        path=path,
    )


def _weights(
    weights: Mapping[str, Tensor], name: str, kept: list[int], inverts: bool, folder: Path
) -> dict[str, Tensor]:
    """The same under the names of the store."""
    own = {}
    for key, tensor in weights.items():
        bare = key.removeprefix("roberta.")
        match = _LAYER.fullmatch(bare) or _INVERSE.fullmatch(bare)
        if match is None or match[2] != name:
            raise UserError(
                f"{key!r} is no weight of a bottleneck called {name!r} behind an XLM-R block",
                do="save the one adapter alone: model.save_adapter(folder, name, use_safetensors=True)",
                path=folder,
            )
        place = "invertible_adapters" if match[1] == "invertible" else match[1]
        own[f"{place}.{STORED}.{match[3]}.{match[4]}"] = tensor.float()
    wanted = {
        f"encoder.layer.{layer}.output.adapters.{STORED}.{part}"
        for layer in kept
        for part in ("adapter_down.0.weight", "adapter_down.0.bias", "adapter_up.weight", "adapter_up.bias")
    }
    if inverts:
        blocks = (
            f"{net}.{linear}.{which}" for net in "FG" for linear in (0, 2) for which in ("weight", "bias")
        )
        wanted |= {f"invertible_adapters.{STORED}.{block}" for block in blocks}
    if own.keys() != wanted:
        odd = sorted(wanted ^ own.keys())
        raise UserError(
            f"{len(odd)} weights missing or too many, such as {odd[0]}",
            expected=f"a bottleneck on {len(kept)} layers",
            do="name the backbone that the module was trained on",
            path=folder,
        )
    return own


def _head(folder: Path, name: str) -> tuple[dict[str, Tensor], str | None, tuple[str, ...] | None]:
    """The head's weights, its name where it is in ``adapters``' own form, and its labels."""
    path = folder / "head_config.json"
    if not path.is_file():
        return {}, None, None
    full = read_config(path)
    check_values(full, _HEAD_RULES, path)
    weights = read_weights(folder, "model_head.safetensors", "pytorch_model_head.bin")
    config = full.get("config") or {}
    check_values(config, {"label2id": _IDS}, path)
    ids = config.get("label2id") or full.get("label2id") or {}
    labels = tuple(sorted(ids, key=lambda label: int(ids[label]))) if ids else None
    if labels == tuple(f"LABEL_{i}" for i in range(len(labels or ()))):
        labels = None  # HF's names for labels without names
    if not config:
        return weights, None, labels
    usual = {"classification": 2, "multiple_choice": 2, "tagging": 1, "question_answering": 1}
    kind, layers = str(config.get("head_type")), config.get("layers")
    if (
        usual.get(kind) != layers
        or config.get("use_pooler")
        or (layers == 2 and config.get("activation_function") != "tanh")
    ):
        raise UserError(
            f"a head of the type {kind!r} with layers={layers}, use_pooler={config.get('use_pooler')}, "
            f"activation_function={config.get('activation_function')!r}",
            expected=f"one of {', '.join(f'{k} with layers={n}' for k, n in usual.items())}, tanh, no pooler",
            do="leave the head out by --no-head",
            path=path,
        )
    return weights, str(full.get("name", name)), labels
