"""A PEFT LoRA folder as a module: rsLoRA, patterns of ranks and alphas, DoRA, and a head if it has one."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.rules import whole_number
from xadapt.interop.folder import (
    INDEX,
    NUMBER,
    SWITCH,
    TEXT,
    ForeignModule,
    check_values,
    dict_of,
    either,
    list_of,
    read_config,
    read_weights,
)
from xadapt.mount import linear_shapes
from xadapt.mount.low_rank import Effect, Factors, layer_of, lora_of
from xadapt.stacks.methods import LARGEST_RANK

_KEY = re.compile(
    r"base_model\.model\.(?P<module>(?:roberta\.)?(?P<linear>encoder\.layer\.\d+\..+))"
    r"\.(?P<part>lora_A\.weight|lora_B\.weight|lora_magnitude_vector(?:\.weight)?)"
)
# Options that change nothing once the weights are there, or that are understood below.
_UNDERSTOOD = {
    "peft_type", "peft_version", "task_type", "base_model_name_or_path", "revision", "auto_mapping",
    "inference_mode", "r", "lora_alpha", "lora_dropout", "rank_pattern", "alpha_pattern", "use_rslora",
    "use_dora", "bias", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
    "modules_to_save", "init_lora_weights", "fan_in_fan_out", "runtime_config", "eva_config",
    "ensure_weight_tying",
}  # fmt: skip
_RANK = whole_number(1, LARGEST_RANK)
_RULES = {
    "r": _RANK,
    "lora_alpha": NUMBER,
    "rank_pattern": dict_of(_RANK),
    "alpha_pattern": dict_of(NUMBER),
    "use_rslora": SWITCH,
    "use_dora": SWITCH,
    "fan_in_fan_out": SWITCH,
    "target_modules": either(TEXT, list_of(TEXT)),
    "exclude_modules": either(TEXT, list_of(TEXT)),
    "layers_to_transform": either(INDEX, list_of(INDEX)),
    "layers_pattern": either(TEXT, list_of(TEXT)),
    "modules_to_save": list_of(TEXT),
    "base_model_name_or_path": TEXT,
}
# Which linears have LoRA.
_WHERE = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save")
# Ways to start that leave the backbone as it is; others take something out of its weights.
_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")


def read_peft(folder: Path, backbone: Backbone) -> ForeignModule:
    """Read ``adapter_config.json`` and ``adapter_model.safetensors``.

    Args:
        backbone: in float32; its weights are part of what DoRA means.

    Raises:
        UserError: a pickle, no LoRA, a variant that cannot be represented (it is named), weights
            on what is no linear of this encoder, weights missing, a configuration that says something
            else than the weights.
    """
    config_file = folder / "adapter_config.json"
    config = read_config(config_file)
    _check_config(config, config_file)
    check_values(config, _RULES, config_file, needed=("r", "lora_alpha"))
    weights = read_weights(folder, "adapter_model.safetensors", "adapter_model.bin")
    shapes = linear_shapes(backbone)
    tails = {linear.split(".", 3)[3] for linear in shapes}
    parts: dict[str, dict[str, Tensor]] = {}
    modules: dict[str, str] = {}
    head: dict[str, Tensor] = {}
    saved = set(config.get("modules_to_save") or ())
    for key, tensor in weights.items():
        if (match := _KEY.fullmatch(key)) and match["linear"].split(".", 3)[3] in tails:
            linear = match["linear"]
            if modules.setdefault(linear, match["module"]) != match["module"]:
                raise UserError(
                    f"LoRA on {linear} twice, as {modules[linear]} and as {match['module']}",
                    expected="one name for one linear",
                    path=folder,
                )
            parts.setdefault(linear, {})[match["part"].removesuffix(".weight")] = tensor
        elif "lora_" not in key and set(key.split(".")) & saved:
            head[key.removeprefix("base_model.model.")] = tensor
        else:
            raise UserError(
                f"{key!r} cannot be represented",
                expected=f"LoRA on {', '.join(sorted(tails))} of encoder layers, a head in modules_to_save",
                do="train the module without it",
                path=folder,
            )
    effect: Effect = {}
    for linear, found in parts.items():
        if linear not in shapes:
            raise UserError(
                f"LoRA on layer {layer_of(linear)}",
                expected=f"layers 0 to {backbone.layers - 1}: the backbone has {backbone.layers}",
                do="name the backbone that the module was trained on",
                path=folder,
            )
        with _patterns(config_file):
            effect[linear] = _factors(found, shapes[linear], modules[linear], config, folder)
        if config.get("use_dora"):
            weight = backbone.model.get_parameter(f"{linear}.weight").detach()
            effect[linear] = _plain_update(effect[linear], found["lora_magnitude_vector"], weight)
    with _patterns(config_file):
        _check_places(config, modules, shapes, config_file)
    method, own = lora_of([effect], shapes)
    return ForeignModule("peft", method, own, head, None, config.get("base_model_name_or_path"))


def _check_config(config: Mapping[str, Any], path: Path) -> None:
    """Refuse, by name, what is no LoRA or does more than LoRA."""
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UserError(
            f"a PEFT module of the type {kind}",
            expected="LORA",
            do="train a LoRA; for bottleneck adapters save them with the library adapters",
            path=path,
        )
    usual = LoraConfig().to_dict()
    wrong = [
        f"{key}={value!r}"
        for key, value in sorted(config.items())
        if value and key not in _UNDERSTOOD and value != usual.get(key)
    ]
    if config.get("bias", "none") != "none":
        wrong.append(f"bias={config['bias']!r}")
    if config.get("init_lora_weights", True) not in _STARTS:
        wrong.append(
            f"init_lora_weights={config['init_lora_weights']!r}, which changes the backbone's weights"
        )
    if config.get("fan_in_fan_out") is True:
        wrong.append("fan_in_fan_out=True, for weights stored as (in, out); XLM-R's are (out, in)")
    if wrong:
        raise UserError(
            f"a LoRA variant that cannot be represented: {'; '.join(wrong)}",
            expected="LoRA, rsLoRA or DoRA on the linears of the encoder",
            do="train without it, or have PEFT convert it (path_initial_model_for_weight_conversion)",
            path=path,
        )


@contextmanager
def _patterns(path: Path) -> Iterator[None]:
    """What PEFT says of the configuration's patterns, as a ``UserError``."""
    try:
        yield
    except (re.error, ValueError) as error:
        raise UserError(
            f"PEFT cannot read the patterns in it: {error}",
            expected="patterns of linears and layers as PEFT writes them",
            do="write the configuration anew with PEFT",
            path=path,
        ) from error


def _check_places(
    config: Mapping[str, Any],
    modules: Mapping[str, str],
    shapes: Mapping[str, tuple[int, int]],
    path: Path,
) -> None:
    """Refuse weights on other linears than those that the configuration names, by PEFT's own rule."""
    naming = {key: config[key] for key in _WHERE if config.get(key) is not None}
    if naming.get("target_modules") in (None, "all-linear"):  # it names none
        return
    peft_config = LoraConfig(**naming)
    prefix = "roberta." if any(name.startswith("roberta.") for name in modules.values()) else ""
    named = {linear for linear in shapes if check_target_module_exists(peft_config, prefix + linear)}
    shown = ", ".join(
        f"{key}={reprlib.repr(value)}" for key, value in naming.items() if key != "modules_to_save"
    )
    for odd, has, names in (
        (sorted(modules.keys() - named), "have LoRA", "does not name it"),
        (sorted(named - modules.keys()), "have no LoRA", "names it"),
    ):
        if odd:
            raise UserError(
                f"the weights {has} on {odd[0]}, but {shown} {names}",
                expected="LoRA on the linears that the configuration names, and on no others",
                do="put back the configuration that the weights were saved with, or name the backbone that "
                "the module was trained on",
                path=path,
            )


def _factors(
    found: Mapping[str, Tensor],
    shape: tuple[int, int],
    module: str,
    config: Mapping[str, Any],
    folder: Path,
) -> Factors:
    wanted = {"lora_A", "lora_B"} | ({"lora_magnitude_vector"} if config.get("use_dora") else set())
    if found.keys() != wanted:
        raise UserError(
            f"{module} has {', '.join(sorted(found))}", expected=", ".join(sorted(wanted)), path=folder
        )
    ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    rank = ranks.get(get_pattern_key(list(ranks), module), config["r"])
    alpha = alphas.get(get_pattern_key(list(alphas), module), config["lora_alpha"])
    down, up = found["lora_A"].float(), found["lora_B"].float()
    out, width = shape
    if down.ndim == up.ndim == 2 and down.shape[0] == up.shape[1] != rank:
        raise UserError(
            f"{module}: weights of rank {down.shape[0]}",
            expected=f"rank {rank}, as r and rank_pattern of adapter_config.json say",
            do="put back the configuration that the weights were saved with",
            path=folder,
        )
    if tuple(down.shape) != (rank, width) or tuple(up.shape) != (out, rank):
        raise UserError(
            f"{module}: lora_A {tuple(down.shape)} and lora_B {tuple(up.shape)}",
            expected=f"({rank}, {width}) and ({out}, {rank})",
            do="name the backbone that the module was trained on",
            path=folder,
        )
    if config.get("use_dora") and found["lora_magnitude_vector"].numel() != out:
        raise UserError(
            f"{module}: lora_magnitude_vector {tuple(found['lora_magnitude_vector'].shape)}",
            expected=f"({out},)",
            path=folder,
        )
    return Factors(down, up, alpha / (rank**0.5 if config.get("use_rslora") else rank))


def _plain_update(factors: Factors, magnitude: Tensor, weight: Tensor) -> Factors:
    """DoRA as a plain update of this backbone.

    The weight becomes ``m * (W + D) / ||W + D||``, norms over each row (Liu et al. 2024, arXiv 2402.09353,
    equation 5; in PEFT a row is an output). What that adds to W is exact at the linear's full rank.
    """
    base = weight.double().cpu()
    moved = base + factors.dense(torch.float64)
    scale = magnitude.double().reshape(-1, 1) / moved.norm(dim=1, keepdim=True)
    left, values, right = torch.linalg.svd(scale * moved - base, full_matrices=False)
    root = values.sqrt()
    return Factors((root[:, None] * right).float(), (left * root).float(), 1.0)
