"""A LoRA module, or a stack of them, combinations included, as one PEFT folder.

``PeftModel.from_pretrained(AutoModelFor...from_pretrained(backbone), folder)`` gives xadapt's logits. A stack
of LoRAs is one LoRA of the summed rank: their updates add up. So is what a merge or a learned mixture adds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from peft import PeftModel
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.files import json_text
from xadapt.common.tensors import write_tensors
from xadapt.interop.export import Export
from xadapt.interop.folder import new_folder
from xadapt.interop.heads import form_of, to_hf
from xadapt.interop.merged import hf_model
from xadapt.mount import linear_shapes
from xadapt.mount.effect import effect_of
from xadapt.mount.elements import method_of
from xadapt.mount.lora import lora_config, peft_json
from xadapt.mount.low_rank import Effect, lora_of
from xadapt.mount.weights import check_backbone
from xadapt.store.integrity import CONFIG


def peft_model(exported: Export, backbone: Backbone) -> PeftModel:
    """The same as an object on a model of HF's of its own, in float32, ready for evaluation; raises as
    ``export_peft``."""
    encoder = {key: tensor.float().cpu() for key, tensor in backbone.model.state_dict().items()}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "module"
        export_peft(exported, backbone, folder)
        return PeftModel.from_pretrained(hf_model(exported, backbone, encoder), str(folder)).eval()


def export_peft(exported: Export, backbone: Backbone, out: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, the head among the weights.

    Args:
        exported: a module with all it stands on.
        out: a new or an empty folder.

    Raises:
        UserError: a module that is no LoRA, a head that HF has no class for, another backbone.
    """
    check_backbone(exported.top, backbone)
    shapes = linear_shapes(backbone)
    effects: list[Effect] = []
    for element in exported.elements:
        method_name = method_of(element).name
        if method_name != "lora":
            raise UserError(
                f"{element.label} is a {method_name} module, which is no LoRA",
                expected="a stack of LoRA modules",
                do="export it --to merged" if method_name == "full" else "export it --to adapters",
            )
        effects.append(effect_of(element, shapes))
    method, weights = lora_of(effects, shapes)
    top = exported.top
    form = form_of(top.manifest, exported.head)
    named: dict[str, Tensor] = dict(weights)
    if form is not None:
        named = {k.replace(".model.encoder.", ".model.roberta.encoder."): t for k, t in weights.items()}
        named |= {f"base_model.model.{key}": tensor for key, tensor in to_hf(form, exported.head).items()}
    config = peft_json(lora_config(method, backbone.layers))
    config |= {
        "base_model_name_or_path": backbone.name,
        "task_type": "FEATURE_EXTRACTION" if form is None else form.peft,
        "modules_to_save": None if form is None else list(form.save),
    }
    with new_folder(out) as folder:
        write_tensors(folder / "adapter_model.safetensors", named)
        (folder / CONFIG).write_text(json_text(config, indent=2), encoding="utf-8")
