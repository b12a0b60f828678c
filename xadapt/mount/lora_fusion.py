"""A learned mixture of frozen LoRA modules: one coefficient for each layer and module.

    y = W x + sum over i of c[layer, i] s_i B_i A_i x

As LoRAHub (Huang et al. 2023, arXiv 2307.13269) the modules stay as they are and only their
scalar weights are learned, here by gradient and for each layer apart, as AdaMerging's layer-wise
coefficients (Yang et al. 2024, arXiv 2310.02575). Effects are added, where LoRAHub adds A to A and
B to B, so ranks may differ. The coefficients are free (no softmax: a harmful module can go to zero
or below, all can count in full) and begin at 1/n: the mixture begins as the modules' mean. They learn at
a rate of their own.
Unlike X-LoRA's (arXiv 2402.07148) they do not depend on the input, so a trained mixture is one LoRA,
at one LoRA's cost, and can be merged into the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xadapt.mount.delta import add_term
from xadapt.mount.elements import Fused
from xadapt.mount.low_rank import Effect, Factors, depth, layer_of, total
from xadapt.mount.weights import check_weights

NAME = "fusion.coefficients"  # (layers, modules), as stored
# The peak learning rate of coefficients, whatever that of the modules. AdamW moves a weight by about its rate
# a step: at a LoRA's 3e-4 a coefficient goes 0.01 from 1/n in the steps that COPA has, 0.06 in TyDiQA's, and
# what is learned is the mean. At 1e-2 it can reach 0 or 1 in a hundred steps. Nothing decays them: 0, which
# leaves a module out, is no better guess than any other number.
RATE = 1e-2


def effect_of_mixture(
    fused: Fused, effects: Sequence[Effect], shapes: Mapping[str, tuple[int, int]]
) -> Effect:
    """A trained mixture's one effect.

    Raises:
        UserError: the coefficients are not there or have another shape.
    """
    coefficients = coefficients_of(fused, depth(shapes))
    scaled = (
        {n: Factors(f.down, f.scaled * coefficients[layer_of(n), i]) for n, f in effect.items()}
        for i, effect in enumerate(effects)
    )
    return total([(1.0, effect) for effect in scaled])


def coefficients_of(fused: Fused, layers: int) -> Tensor:
    """The coefficients (layers, modules) of a trained mixture, float32.

    Raises:
        UserError: not there, or of another shape.
    """
    weights = fused.weights or {}
    check_weights(weights, {NAME: (layers, len(fused.operands))}, fused.label)
    return weights[NAME].detach().to("cpu", torch.float32)


def attach(model: nn.Module, effects: Sequence[Effect], layers: int) -> dict[str, nn.Parameter]:
    """Put a mixture that is to be trained on ``model``.

    Returns:
        its coefficients, under the name they are stored by.
    """
    device = next(model.parameters()).device
    coefficients = nn.Parameter(torch.full((layers, len(effects)), 1 / len(effects), device=device))
    names = dict.fromkeys(name for effect in effects for name in effect)
    for name in names:
        present = [(i, effect[name]) for i, effect in enumerate(effects) if name in effect]
        factors = Factors(
            torch.cat([f.down for _, f in present]), torch.cat([f.scaled for _, f in present], dim=1)
        )
        owner = torch.tensor([i for i, f in present for _ in range(f.rank)], device=device)
        add_term(model, name, factors, coefficients, layer_of(name), owner)
    return {NAME: coefficients}
