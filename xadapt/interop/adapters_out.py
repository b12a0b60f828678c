"""A bottleneck, or a stack of them, for the library ``adapters``.

One module is a folder for ``AutoAdapterModel.load_adapter(folder, use_safetensors=True)``; a stack one for
``load_adapter_setup``, with its composition in ``adapter_setup.json``. The library writes its own format.
A fusion is the library's own; a mean of bottlenecks is one bottleneck of their summed width, since the
library's Average divides by their number a second time.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from adapters import AutoAdapterModel, SeqBnConfig, SeqBnInvConfig
from adapters.composition import Fuse, Stack
from torch import Tensor

from xadapt.backbone.backbone import POCKETS, Backbone
from xadapt.common.errors import UserError
from xadapt.common.randomness import seeded
from xadapt.interop.card import write_card
from xadapt.interop.export import Export
from xadapt.interop.folder import new_folder
from xadapt.interop.heads import form_of, label_config, to_flex
from xadapt.mount import Dropped, Element, Fused, Merged, Part
from xadapt.mount.bottleneck import STORED, STORED_FUSION
from xadapt.mount.elements import acting_layers, method_of
from xadapt.mount.low_rank import layer_of
from xadapt.mount.weights import check_backbone, fill
from xadapt.stacks.methods import Bottleneck


def export_adapters(exported: Export, backbone: Backbone, out: Path, *, choices: int | None = None) -> None:
    """Write the adapters, the uppermost one's head, the composition of a stack, the tokenizer, and a README
    whose lines run. The encoder is named and not brought.

    Args:
        exported: a module with all it stands on.
        out: a new or an empty folder.
        choices: options an item of multiple choice, which ``adapters`` fixes in the head.

    Raises:
        UserError: a module that is no bottleneck, a head that ``adapters`` has no type for, another
            backbone, a fusion of modules that stand in different layers.
    """
    check_backbone(exported.top, backbone)
    top = exported.top
    form = form_of(top.manifest, exported.head)
    options: dict[str, Any] = {}
    if form is not None:
        labels = label_config(form, top.manifest, exported.head)
        if labels:
            options = {"num_labels": len(labels["id2label"]), "id2label": labels["id2label"]}
        elif form.flex == "multiple_choice":
            if choices is None:
                raise UserError(
                    f"adapters fixes the number of options in a head, and {exported.shown} has none",
                    do="give it, such as --choices 4",
                )
            options = {"num_choices": choices}
    config = copy.deepcopy(backbone.config)
    config.name_or_path = backbone.name
    with seeded("adapters"):
        model: Any = AutoAdapterModel.from_config(config)
        setup = Stack()
        for element in exported.elements:
            setup.children.append(_add(model, element, setup.flatten()))
        last = setup.last()
        if form is not None:
            getattr(model, f"add_{_ADD.get(form.flex, form.flex)}_head")(last, **options)
            parameters = {k: p for k, p in model.named_parameters() if k.startswith(f"heads.{last}.")}
            fill(parameters, to_flex(form, exported.head, last), f"head of {exported.shown}")
    with new_folder(out) as folder:
        if len(setup) == 1:
            model.save_adapter(str(folder), last, with_head=form is not None, use_safetensors=True)
        else:
            head = None if form is None else last
            model.save_adapter_setup(str(folder), setup, head_setup=head, use_safetensors=True)
        backbone.tokenizer.save_pretrained(folder)
        load = "load_adapter" if len(setup) == 1 else "load_adapter_setup"
        asked = _ASKED[str(top.manifest["kind"])] if form is not None else _ENCODED
        code = _OPENED.format(base=str(POCKETS.get(backbone.name, backbone.name)), load=load)
        code += asked.format(others=(choices or 2) - 1)
        write_card(folder, exported, backbone, code, library="adapter-transformers")


_OPENED = """\
from adapters import AutoAdapterModel
from transformers import AutoTokenizer
model, tokenizer = AutoAdapterModel.from_pretrained("{base}"), AutoTokenizer.from_pretrained(".")
model.{load}(".", use_safetensors=True, set_active=True)
"""
_PAIR = 'batch = tokenizer("A man sleeps.", "He is awake.", return_tensors="pt")\n'
_ENCODED = _PAIR + "print(model(**batch).last_hidden_state[0, 0, :3].tolist())"
_ASKED: Mapping[str, str] = {
    "classify": _PAIR + "print(model.get_labels_dict()[model(**batch).logits.argmax().item()])",
    "tag": """\
best = model(**tokenizer("Anna lives in Berlin", return_tensors="pt")).logits[0].argmax(-1)
print([model.get_labels_dict()[tag] for tag in best.tolist()][1:-1])""",
    "extract": """\
batch = tokenizer("Where does Anna live?", "Anna lives in Berlin.", return_tensors="pt")
start, end = (logits.argmax() for logits in model(**batch).to_tuple()[:2])
print(tokenizer.decode(batch["input_ids"][0][start : end + 1]))""",
    "choose": """\
options = ["It broke."] + ["It flew away."] * {others}
batch = tokenizer(["The glass fell."] * len(options), options, padding=True, return_tensors="pt")
print(model(**{{name: ids.unsqueeze(0) for name, ids in batch.items()}}).logits.argmax().item())""",
}

_ADD = {"question_answering": "qa"}
_INVERTIBLE = "invertible_adapters"


def _add(model: Any, element: Element, taken: set[str]) -> str | Fuse:
    """Add one element, and say how the library's composition calls it."""
    if method_of(element) is not Bottleneck:
        method = method_of(element).name
        raise UserError(
            f"{element.label} is a {method} module, which is no bottleneck",
            expected="a stack of bottleneck modules",
            do="export it --to merged" if method == "full" else "export it --to peft, or --to merged",
        )
    layers = model.config.num_hidden_layers
    if not isinstance(element, Fused):
        return _single(model, element, taken)
    if len({frozenset(acting_layers(each, layers)) for each in element.operands}) > 1:
        raise UserError(
            f"{element.label} fuses modules that stand in different layers",
            expected="modules in the same layers: adapters fuses all of them or none",
            do="use it with xadapt",
        )
    names: list[str] = []
    for operand in element.operands:
        names.append(_single(model, operand, taken | set(names)))
    fuse = Fuse(*names)
    model.add_adapter_fusion(fuse)
    assert element.weights is not None, "a fusion that is stored is trained"
    own = f".adapter_fusion_layer.{fuse.name}."
    parameters = {
        key.removeprefix("roberta.").replace(own, f".adapter_fusion_layer.{STORED_FUSION}."): p
        for key, p in model.named_parameters()
        if own in key
    }
    # The library adds a fusion to every layer; where none of its modules stands, it never runs.
    fill({k: parameters[k] for k in element.weights}, element.weights, element.label)
    return fuse


def _single(model: Any, element: Element, taken: set[str]) -> str:
    """Add one bottleneck; its name is its task's, numbered where that is taken."""
    word = re.findall(r"\w+", element.label.rpartition("> ")[2])[0]
    name = word if word not in taken else f"{word}_{len(taken) + 1}"
    layers = model.config.num_hidden_layers
    weights = _weights(element, layers)
    inverts = any(key.startswith(_INVERTIBLE) for key in weights)
    left = sorted(set(range(layers)) - {layer_of(key) for key in weights if not key.startswith(_INVERTIBLE)})
    width = next(t.shape[0] for key, t in weights.items() if key.endswith("adapter_down.0.bias"))
    # A quotient that comes back to this very width when the library divides by it.
    factor = model.config.hidden_size / width
    while int(model.config.hidden_size // factor) < width:
        factor = float(torch.nextafter(torch.tensor(factor, dtype=torch.float64), torch.tensor(0.0)))
    reduction = int(factor) if factor == int(factor) else factor
    shape = SeqBnInvConfig if inverts else SeqBnConfig
    model.add_adapter(name, config=shape(reduction_factor=reduction, leave_out=left))
    parameters = {
        key.removeprefix("roberta.").replace(f".{name}.", f".{STORED}."): tensor
        for key, tensor in model.named_parameters()
        if f".adapters.{name}." in key or f".{_INVERTIBLE}.{name}." in key
    }
    fill(parameters, weights, element.label)
    return name


def _weights(element: Element, layers: int) -> dict[str, Tensor]:
    """The element as one bottleneck's weights, by stored name.

    A mean is the bottlenecks side by side, each one's ``up`` times its share: relu works on each unit
    alone. Where a layer is narrower than another, units without weights fill it up.
    """
    if isinstance(element, Part):
        return dict(element.weights or {})
    if isinstance(element, Dropped):
        kept = acting_layers(element, layers)
        whole = _weights(element.part, layers)
        return {k: t for k, t in whole.items() if k.startswith(_INVERTIBLE) or layer_of(k) in kept}
    assert isinstance(element, Merged), "a fusion within a combination is refused by the parser"
    if -1 in acting_layers(element, layers):
        raise UserError(
            f"{element.label} is a mean of modules with invertible adapters",
            expected="what adapters has a form for: it runs one invertible adapter",
            do="use it with xadapt",
        )
    total = sum(weight for weight, _ in element.operands)
    parts = [(weight / total, _weights(each, layers)) for weight, each in element.operands]
    made: dict[str, Tensor] = {}
    for key in sorted({key for _, weights in parts for key in weights}):
        here = [(share, weights[key]) for share, weights in parts if key in weights]
        if key.endswith("adapter_up.bias"):
            made[key] = torch.stack([share * t for share, t in here]).sum(dim=0)
        elif key.endswith("adapter_up.weight"):
            made[key] = torch.cat([share * t for share, t in here], dim=1)
        else:
            made[key] = torch.cat([t for _, t in here])
    width = max(t.shape[0] for key, t in made.items() if key.endswith("adapter_down.0.bias"))
    for key, tensor in made.items():
        if not key.endswith("adapter_up.bias"):
            shape = list(tensor.shape)
            shape[1 if key.endswith("adapter_up.weight") else 0] = width
            made[key] = tensor.new_zeros(shape)
            made[key][tuple(slice(n) for n in tensor.shape)] = tensor
    return made
