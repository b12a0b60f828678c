"""A LoRA module, or a stack of them, combinations included, as one PEFT folder.

``AutoPeftModelForSequenceClassification.from_pretrained(folder)`` gives xadapt's logits. A stack of LoRAs is
one LoRA of the summed rank: their updates add up. So is what a merge or a learned mixture adds.

PEFT makes the head in the size that the *base's* configuration says, and nothing in ``adapter_config.json``,
nor a ``config.json`` beside it, can say otherwise. So a head with other than two labels opens without further
arguments only where the folder brings its base, with a configuration that names the labels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from peft import PeftModel
from torch import Tensor

from xadapt.backbone.backbone import POCKETS, Backbone
from xadapt.common.errors import UserError
from xadapt.common.files import json_text
from xadapt.common.tensors import write_tensors
from xadapt.interop.card import on_hub, pipeline_code, write_card
from xadapt.interop.export import Export
from xadapt.interop.folder import new_folder
from xadapt.interop.heads import Form, form_of, label_config, to_hf
from xadapt.interop.merged import hf_model
from xadapt.mount import linear_shapes
from xadapt.mount.effect import effect_of
from xadapt.mount.elements import method_of
from xadapt.mount.lora import lora_config, peft_json
from xadapt.mount.low_rank import Effect, lora_of
from xadapt.mount.weights import check_backbone
from xadapt.store.integrity import CONFIG

Base = Literal["auto", "inside", "named"]


def peft_model(exported: Export, backbone: Backbone) -> PeftModel:
    """The same as an object on a model of HF's of its own, in float32 and in evaluation mode; LoRA and head
    can be trained on. Raises as ``export_peft``."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "module"
        _write(exported, backbone, folder, inside=False)
        model = hf_model(exported, backbone, _plain(backbone))
        # PEFT looks on the hub for what is named here, whenever the object is saved.
        model.name_or_path = model.config.name_or_path = base = _name(backbone) or ""
        made = PeftModel.from_pretrained(model, str(folder), is_trainable=True).eval()
    for config in made.peft_config.values():
        config.base_model_name_or_path = base or None
    return made


def export_peft(exported: Export, backbone: Backbone, out: Path, *, base: Base = "auto") -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, the head among the weights, the
    tokenizer, and a README whose lines run.

    Args:
        exported: a module with all it stands on.
        out: a new or an empty folder.
        base: ``inside`` writes the encoder too, into a folder named like it, with the labels' names in its
            configuration: the folder opens without further arguments, where it was written (PEFT knows no
            path that is relative to the folder). ``named`` only names it: small, and fit for the hub, but
            labels are to be given when it is opened, as the README shows. ``auto`` is ``named`` for an
            encoder of the hub, and ``inside`` for others, which nobody else has.

    Raises:
        UserError: a module that is no LoRA, a head that HF has no class for, another backbone; ``named``
            where the encoder has no name or path that PEFT could open.
    """
    if base == "named" and _name(backbone) is None:
        raise UserError(
            f"--base named: PEFT can open no encoder by the name {backbone.name!r}",
            expected="an encoder of the hub, or a folder",
            do="export it with --base inside",
        )
    _write(exported, backbone, out, inside=base == "inside" or (base == "auto" and not on_hub(backbone)))


def _name(backbone: Backbone) -> str | None:
    """By which PEFT finds the encoder: a hub id, or a folder's whole path; None where there is neither."""
    if on_hub(backbone):
        return backbone.name
    folder = Path(backbone.name).expanduser()
    return str(folder.absolute()) if folder.exists() and backbone.name not in POCKETS else None


def _write(exported: Export, backbone: Backbone, out: Path, *, inside: bool) -> None:
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
    place = out.expanduser().absolute() / Path(backbone.name).name
    config = peft_json(lora_config(method, backbone.layers))
    config |= {
        "base_model_name_or_path": str(place) if inside else _name(backbone),
        "task_type": "FEATURE_EXTRACTION" if form is None else form.peft,
        "modules_to_save": None if form is None else list(form.save),
    }
    if form is not None and form.peft is None:
        config["auto_mapping"] = {"base_model_class": form.auto.__name__, "parent_library": "transformers"}
    with new_folder(out) as folder:
        write_tensors(folder / "adapter_model.safetensors", named)
        (folder / CONFIG).write_text(json_text(config, indent=2), encoding="utf-8")
        backbone.tokenizer.save_pretrained(folder)
        if inside:
            hf_model(exported, backbone, _plain(backbone)).save_pretrained(folder / place.name)
            backbone.tokenizer.save_pretrained(folder / place.name)
        labels = {} if inside else label_config(form, top.manifest, exported.head)
        code = _code(exported, form, labels)
        notes = (_MOVED if inside else "") + (_SMALL if inside and on_hub(backbone) else "")
        write_card(folder, exported, backbone, code, library="peft", notes=notes)


_MOVED = """\
Its base lies in this folder, and `base_model_name_or_path` in `adapter_config.json` says where: set it anew
when the folder is moved."""

_SMALL = " To share a small folder, export it with `--base named`."

_AUTO = {
    "SEQ_CLS": "AutoPeftModelForSequenceClassification",
    "TOKEN_CLS": "AutoPeftModelForTokenClassification",
    "QUESTION_ANS": "AutoPeftModelForQuestionAnswering",
}


def _code(exported: Export, form: Form | None, labels: Mapping[str, Any]) -> str:
    """Lines that open the folder; ``labels`` are given where its base does not name them."""
    auto = (
        "AutoPeftModelForFeatureExtraction" if form is None else _AUTO.get(form.peft or "", "AutoPeftModel")
    )
    given = f", id2label={labels['id2label']}, label2id={labels['label2id']}" if labels else ""
    opened = f'model = {auto}.from_pretrained("."{given})'
    return pipeline_code(exported, "model", opened, f"from peft import {auto}")


def _plain(backbone: Backbone) -> dict[str, Tensor]:
    return {key: tensor.float().cpu() for key, tensor in backbone.model.state_dict().items()}
