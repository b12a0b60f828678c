"""Several stacks on one input: what lies below a stack's lowest module is computed once for all.

AdapterDrop's parallel inference (Rücklé et al. 2021, arXiv 2010.11918, section 4), with a trunk of
layers that carry no module. Stacks with modules in the top 4 of 12 layers share two thirds.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from xadapt.backbone import Backbone
from xadapt.mount.mounted import Mounted
from xadapt.packing import Packed, continued, encode


def encode_many(
    backbone: Backbone, stacks: Sequence[Mounted], batch: Packed, layers: int | None = None
) -> list[Tensor]:
    """Hidden states of one batch under each of several stacks.

    Args:
        backbone: the one that all stacks are mounted on.
        stacks: held mounts.
        batch: N sequences, T tokens, on the backbone's device.
        layers: how many layers to run; all by default.

    Returns:
        (T, H) of each stack, equal to its own ``encode``.
    """
    last = backbone.layers if layers is None else layers
    # A stack leaves the trunk below its lowest module; where it has a copy of the embeddings, at once.
    leaves = [min(stack.lowest, last - 1) for stack in stacks]
    outputs: dict[int, Tensor] = {}
    trunk: Tensor | None = None
    reached = 0
    for i in sorted(range(len(stacks)), key=lambda i: leaves[i]):
        stack, leave = stacks[i], leaves[i]
        with stack.autocast():
            if leave < 0:
                outputs[i] = encode(stack.model, batch, layers)
                continue
            if trunk is None:
                trunk = encode(backbone.model, batch, 0)
            trunk = continued(backbone.model, trunk, batch, reached, leave)
            reached = leave
            outputs[i] = continued(stack.model, trunk, batch, leave, layers)
    return [outputs[i] for i in range(len(stacks))]
