"""A stack as plain HF weights: ``AutoModelFor...from_pretrained`` opens them, with no trace of xadapt.

LoRA is added to the weights: ``W + scale * up @ down``, summed in float64 and stored in float32. A fully
fine-tuned module takes the place of the weights. A bottleneck is not linear and cannot be merged.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.randomness import seeded
from xadapt.interop.card import pipeline_code, write_card
from xadapt.interop.export import Export
from xadapt.interop.folder import new_folder
from xadapt.interop.heads import MERGED_FORMS, form_of, label_config, to_hf
from xadapt.mount import Part, linear_shapes
from xadapt.mount.effect import effect_of
from xadapt.mount.elements import method_of
from xadapt.mount.weights import check_backbone
from xadapt.stacks.methods import Full, LoRA


def export_merged(exported: Export, backbone: Backbone, out: Path) -> None:
    """Write the model, its configuration with the labels' names, the tokenizer, and a README whose lines run:
    ``pipeline("text-classification", folder)`` prints the labels' names.

    Args:
        exported: a module with all it stands on.
        backbone: in float32.
        out: a new or an empty folder.

    Raises:
        UserError: a bottleneck, a head that HF has no class for, another backbone.
    """
    model = merged(exported, backbone)
    with new_folder(out) as folder:
        model.save_pretrained(folder)
        backbone.tokenizer.save_pretrained(folder)
        write_card(folder, exported, backbone, pipeline_code(exported), library="transformers")


def merged(exported: Export, backbone: Backbone) -> PreTrainedModel:
    """The same as an object; raises as ``export_merged``."""
    check_backbone(exported.top, backbone)
    if backbone.dtype != torch.float32:
        raise ValueError("modules are merged in float32")
    return hf_model(exported, backbone, _encoder(exported, backbone))


def hf_model(exported: Export, backbone: Backbone, encoder: Mapping[str, Tensor]) -> PreTrainedModel:
    """``encoder`` and the exported head as a model of HF's, in float32, with the labels' names.

    Raises:
        UserError: a head that HF has no class for.
    """
    top = exported.top
    form = form_of(top.manifest, exported.head, MERGED_FORMS)
    config = copy.deepcopy(backbone.config)
    config.update(label_config(form, top.manifest, exported.head))
    with seeded("merged"):  # HF draws weights first, which are all replaced
        if form is None:
            model = AutoModel.from_config(config, add_pooling_layer=False)
            model.load_state_dict(encoder)
        else:
            model = form.auto.from_config(config)
            head = to_hf(form, exported.head)
            weights = {f"roberta.{key}": t for key, t in encoder.items()} | head
            model.load_state_dict(weights | {key: weights[source] for key, source in form.tied.items()})
    return model.float().eval()


def _encoder(exported: Export, backbone: Backbone) -> dict[str, Tensor]:
    """The encoder's weights by HF's names; their own memory only where they differ from the backbone's."""
    weights = {key: tensor.cpu() for key, tensor in backbone.model.state_dict().items()}
    for element in exported.elements:
        if isinstance(element, Part) and isinstance(element.method, Full):
            weights |= {key: tensor.float() for key, tensor in (element.weights or {}).items()}
        elif method_of(element) is LoRA:
            for linear, factors in effect_of(element, linear_shapes(backbone)).items():
                key = f"{linear}.weight"
                weights[key] = (weights[key].double() + factors.dense(torch.float64)).float()
        else:
            raise UserError(
                f"{element.label} is a bottleneck module, which is not linear and cannot be merged",
                expected="LoRA or fully fine-tuned modules",
                do="export it --to adapters",
            )
    return weights
