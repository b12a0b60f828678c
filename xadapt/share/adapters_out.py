"""A bottleneck, or a stack of them, for the library ``adapters``.

One module is a folder for ``AutoAdapterModel.load_adapter(folder, use_safetensors=True)``; a stack one for
``load_adapter_setup``, with its composition in ``adapter_setup.json``. The library writes its own format.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters import AutoAdapterModel, SeqBnConfig
from adapters.composition import Stack

from xadapt.backbone import Backbone
from xadapt.errors import UserError
from xadapt.methods import Bottleneck, layer_range
from xadapt.mount.bottleneck import STORED
from xadapt.mount.weights import fill
from xadapt.randomness import seeded
from xadapt.share.chain import Link, check_backbone, name_of
from xadapt.share.folder import new_folder
from xadapt.share.heads import form_of, label_config, to_flex


def export_adapters(
    links: Sequence[Link], backbone: Backbone, out: Path, *, choices: int | None = None
) -> None:
    """Write the adapters, the uppermost one's head, and the composition of a stack.

    Args:
        links: lowest first.
        out: a new or an empty folder.
        choices: options an item of multiple choice, which ``adapters`` fixes in the head.

    Raises:
        UserError: a module that is no bottleneck, a head that ``adapters`` has no type for, another
            backbone.
    """
    check_backbone(links, backbone)
    top = links[-1].saved
    form = form_of(top.manifest, top.head)
    options: dict[str, Any] = {}
    if form is not None:
        labels = label_config(form, top.manifest, top.head)
        if labels:
            options = {"num_labels": len(labels["id2label"]), "id2label": labels["id2label"]}
        elif form.flex == "multiple_choice":
            if choices is None:
                raise UserError(
                    f"adapters fixes the number of options in a head, and {name_of(links)} has none",
                    do="give it, such as --choices 4",
                )
            options = {"num_choices": choices}
    config = copy.deepcopy(backbone.config)
    config.name_or_path = backbone.name
    with seeded("adapters"):
        model: Any = AutoAdapterModel.from_config(config)
        names: list[str] = []
        for link in links:
            names.append(_add(model, link, names))
        if form is not None:
            getattr(model, f"add_{_ADD.get(form.flex, form.flex)}_head")(names[-1], **options)
            parameters = {k: p for k, p in model.named_parameters() if k.startswith(f"heads.{names[-1]}.")}
            fill(parameters, to_flex(form, top.head, names[-1]), f"head of {name_of(links)}")
    with new_folder(out) as folder:
        if len(names) == 1:
            model.save_adapter(str(folder), names[0], with_head=form is not None, use_safetensors=True)
        else:
            head = None if form is None else names[-1]
            model.save_adapter_setup(str(folder), Stack(*names), head_setup=head, use_safetensors=True)


_ADD = {"question_answering": "qa"}


def _add(model: Any, link: Link, taken: Sequence[str]) -> str:
    """Add one module; returns the name that it gets: its task's, numbered where that is taken."""
    method = link.method
    if not isinstance(method, Bottleneck):
        raise UserError(
            f"{name_of([link])} is a {method.name} module, which is no bottleneck",
            expected="a stack of bottleneck modules",
            do="export it --to merged" if method.name == "full" else "export it --to peft, or --to merged",
        )
    task = str(link.saved.manifest.get("task"))
    name = task if task not in taken else f"{task}_{len(taken) + 1}"
    layers = model.config.num_hidden_layers
    kept = layer_range(method.layers, layers)
    left = [i for i in range(layers) if i not in kept]
    model.add_adapter(name, config=SeqBnConfig(reduction_factor=method.reduction, leave_out=left))
    parameters = {
        key.removeprefix("roberta.").replace(f".{name}.", f".{STORED}."): tensor
        for key, tensor in model.named_parameters()
        if f".adapters.{name}." in key
    }
    fill(parameters, link.saved.weights, name_of([link]))
    return name
