"""A LoRA module, or a stack of them, as one PEFT folder.

``PeftModel.from_pretrained(AutoModelFor...from_pretrained(backbone), folder)`` gives xadapt's logits. A stack
of LoRAs is one LoRA of the summed rank: their updates add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from xadapt.backbone import Backbone
from xadapt.disk import json_text, write_tensors
from xadapt.errors import UserError
from xadapt.methods import LoRA
from xadapt.mount.lora import config_of, peft_json
from xadapt.proof import CONFIG
from xadapt.share.chain import Link, check_backbone, name_of
from xadapt.share.folder import new_folder
from xadapt.share.heads import form_of, to_hf
from xadapt.share.peft_in import linear_shapes
from xadapt.share.updates import Place, Update, as_lora, updates_of


def export_peft(links: Sequence[Link], backbone: Backbone, out: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, the head among the weights.

    Args:
        links: lowest first.
        out: a new or an empty folder.

    Raises:
        UserError: a module that is no LoRA, a head that HF has no class for, another backbone.
    """
    check_backbone(links, backbone)
    updates: dict[Place, list[Update]] = {}
    for link in links:
        if not isinstance(link.method, LoRA):
            raise UserError(
                f"{name_of([link])} is a {link.method.name} module, which is no LoRA",
                expected="a stack of LoRA modules",
                do="export it --to merged" if link.method.name == "full" else "export it --to adapters",
            )
        for place, each in updates_of(link.method, link.saved.weights).items():
            updates.setdefault(place, []).extend(each)
    method, weights = as_lora(updates, linear_shapes(backbone))
    top = links[-1].saved
    form = form_of(top.manifest, top.head)
    named: dict[str, Tensor] = dict(weights)
    if form is not None:
        named = {k.replace(".model.encoder.", ".model.roberta.encoder."): t for k, t in weights.items()}
        named |= {f"base_model.model.{key}": tensor for key, tensor in to_hf(form, top.head).items()}
    config = peft_json(config_of(method, backbone.layers))
    config |= {
        "base_model_name_or_path": backbone.name,
        "task_type": "FEATURE_EXTRACTION" if form is None else form.peft,
        "modules_to_save": None if form is None else list(form.save),
    }
    with new_folder(out) as folder:
        write_tensors(folder / "adapter_model.safetensors", named)
        (folder / CONFIG).write_text(json_text(config, indent=2), encoding="utf-8")
