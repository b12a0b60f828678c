"""What a combination of modules does, as plain arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from adapters.methods.modeling import BertFusion
from torch import Tensor, nn

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.packing import Packed
from xadapt.mount import linear_shapes, mount
from xadapt.mount.adapter_fusion import LeanFusion, probabilities
from xadapt.mount.bottleneck_output import Fusion
from xadapt.mount.effect import effect_of
from xadapt.mount.elements import Element
from xadapt.mount.low_rank import inner_product, layer_of
from xadapt.mount.mounted import Mounted

# In the model a fusion has the name fusion3 or lean4, counted upwards along the stack.
_PLACE = re.compile(r"encoder\.layer\.(\d+)\..*\.(?:fusion|lean)(\d+)")


def fusion_weights(mounted: Mounted, batch: Packed | None = None) -> list[tuple[str, np.ndarray]]:
    """How much each fused module counts in each layer.

    Args:
        mounted: a stack with fusions in it.
        batch: what fusions of bottlenecks attend on; those of LoRA modules need none.

    Returns:
        for each fusion its label and an array (layers, modules): those of LoRA modules, lowest first,
        then those of bottlenecks, lowest first. LoRA: the coefficients, which may be negative and need
        not sum to 1. Bottlenecks: attention, averaged over the batch's tokens; it sums to 1. NaN in
        layers without a fusion of it.

    Raises:
        ValueError: there are fusions of bottlenecks and no batch.
    """
    found = [(label, c.detach().float().cpu().numpy().copy()) for label, c in mounted.mixtures]
    if not mounted.fused:
        return found
    if batch is None:
        raise ValueError("fusions of bottlenecks attend on an input: give a batch")
    seen: dict[tuple[int, int], Tensor] = {}
    hooks = []
    for name, part in mounted.model.named_modules():
        place = _PLACE.fullmatch(name)
        if place and isinstance(part, Fusion | LeanFusion | BertFusion):
            key = int(place[2]), int(place[1])
            hooks.append(part.register_forward_pre_hook(partial(_record, seen, key)))
    try:
        with torch.no_grad():
            mounted.encode(batch)
    finally:
        for hook in hooks:
            hook.remove()
    counted = sorted({number for number, _ in seen})
    layers = len(mounted.model.encoder.layer)
    for label, number in zip(mounted.fused, counted, strict=True):
        rows = {layer: p.numpy() for (n, layer), p in seen.items() if n == number}
        missing = np.full(max(len(row) for row in rows.values()), np.nan)
        found.append((label, np.stack([rows.get(layer, missing) for layer in range(layers)])))
    return found


def similarity(backbone: Backbone, elements: Sequence[Element]) -> np.ndarray:
    """How alike the updates of LoRA modules are: the cosine of their ``B A``, layer by layer.

    Over all linears of a layer together, without forming a matrix: <B1 A1, B2 A2> is a product of
    two small ones (``inner_product``). 0 is what unrelated updates have; heads play no part.

    Args:
        backbone: that the modules belong to.
        elements: n LoRA modules, or merges of them.

    Returns:
        (layers, n, n); NaN where one of the two has nothing in a layer.

    Raises:
        UserError: weights that do not fit this backbone, an element that changes nothing.
        ValueError: an element that is not of LoRA modules.
    """
    shapes = linear_shapes(backbone)
    effects = [effect_of(element, shapes) for element in elements]
    products = np.zeros((backbone.layers, len(effects), len(effects)))
    for i, one in enumerate(effects):
        for j, other in enumerate(effects[: i + 1]):
            for name in one.keys() & other.keys():
                products[layer_of(name), i, j] += inner_product(one[name], other[name])
    products = products + np.tril(products, -1).transpose(0, 2, 1)
    norms = np.sqrt(np.einsum("lii->li", products))
    norms[norms == 0] = np.nan
    cosines: np.ndarray = products / (norms[:, :, None] * norms[:, None, :])
    return cosines


def effect_similarity(backbone: Backbone, elements: Sequence[Element], batch: Packed) -> np.ndarray:
    """How alike what modules of any method do to an input is: the cosine of their effects on it.

    The effect of a module after a layer: the hidden states with it alone on the bare backbone, minus
    the bare backbone's. The cosine is a token's, averaged over the batch's tokens; tokens that one of
    the two leaves as they are do not count.

    Args:
        backbone: that the modules belong to.
        elements: n modules, or combinations, each mounted alone. All run side by side, a layer at a
            time: what is held are n + 1 hidden states (T, H), and a copy of the encoder for each full copy.
        batch: on the backbone's device.

    Returns:
        (layers, n, n); NaN where one of the two does not act up to a layer.

    Raises:
        UserError: weights that do not fit this backbone, an element that changes nothing.
    """
    alone = [mount(backbone, [element]) for element in elements]
    cosines = np.full((backbone.layers, len(alone), len(alone)), np.nan)
    with torch.no_grad():
        bare = mount(backbone, []).states(batch)
        steps = zip(bare, *(mounted.states(batch) for mounted in alone), strict=True)
        next(steps)  # the embeddings: before the first layer
        for layer, (plain, *changed) in enumerate(steps):
            acting = [i for i, mounted in enumerate(alone) if mounted.lowest <= layer]
            if not acting:
                continue
            effects = torch.stack([changed[i].float() - plain.float() for i in acting])
            unit = effects / effects.norm(dim=-1, keepdim=True)  # NaN where nothing is changed
            by_token = torch.einsum("ith,jth->ijt", unit, unit)
            cosines[layer][np.ix_(acting, acting)] = by_token.nanmean(dim=-1).cpu().numpy()
    return cosines


def _record(
    seen: dict[tuple[int, int], Tensor], key: tuple[int, int], part: nn.Module, inputs: tuple[Tensor, ...]
) -> None:
    if isinstance(part, Fusion | LeanFusion):
        p, _ = part.attention(inputs[0])
    elif isinstance(part, BertFusion):  # beside a method of a user's own
        p = probabilities(part, inputs[0], inputs[1])
    seen[key] = p.float().reshape(-1, p.shape[-1]).mean(dim=0).cpu()
