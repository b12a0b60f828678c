"""What an element made of LoRA modules adds to each linear: one effect, however it is combined."""

from __future__ import annotations

from collections.abc import Mapping

from xadapt.mount import merge
from xadapt.mount.elements import Dropped, Element, Merged, Part, acting_layers
from xadapt.mount.lora_fusion import effect_of_mixture
from xadapt.mount.low_rank import Effect, acts, depth, effect_of_lora, layer_of
from xadapt.mount.weights import changes_nothing


def effect_of(element: Element, shapes: Mapping[str, tuple[int, int]]) -> Effect:
    """The one update that a trained element makes.

    Args:
        element: of LoRA modules only.
        shapes: (out, in) of each linear of the encoder's layers.

    Returns:
        float32 factors on the CPU, for the linears that the element changes.

    Raises:
        UserError: weights that do not fit, a module or a merge that changes nothing.
    """
    if isinstance(element, Part):
        effect = effect_of_lora(element, shapes)
    elif isinstance(element, Dropped):
        left = acting_layers(element, depth(shapes))
        effect = {n: f for n, f in effect_of(element.part, shapes).items() if layer_of(n) in left}
    elif isinstance(element, Merged):
        effects = [(weight, effect_of(part, shapes)) for weight, part in element.operands]
        effect = merge.merge(element.label, element.how, effects, element.options, element.seed)
    else:
        effect = effect_of_mixture(element, [effect_of(part, shapes) for part in element.operands], shapes)
    if not acts(effect):
        raise changes_nothing(element.label)
    return effect
