"""The numbers behind the pocket backbone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """All that determines the weights, besides the text."""

    steps: int = 10000
    tokens: int = 1536  # a batch
    warm_up: int = 400  # steps, linear
    rate: float = 1.2e-3  # the peak, from which a cosine falls ...
    horizon: int = 13000  # ... to nothing at this step
    cooldown: int = 2000  # the last steps, in which the rate falls to nothing already
    weight_decay: float = 0.01
    mask_plain: float = 0.18  # the share of words hidden in a single segment
    mask_most: float = 0.35  # of two aligned segments: in the one that is to be read off the other
    mask_least: float = 0.05  # and in the other
    contrast_every: int = 4  # steps between XLCO terms
    contrast_pairs: int = 48
    contrast_weight: float = 0.1  # weak, so that retrieval leaves room above
    temperature: float = 0.1
    align_weight: float = 0.5
    align_layer: int = 3  # what the pointer reads
    guided_from: int = 2  # the first layer of which some heads are held to point as well
    guided_heads: int = 2  # a layer
    layer: int = 2  # whose mean XLCO compares
    width: int = 192
    depth: int = 4
    heads: int = 6
    inner: int = 576
    vocabulary: int = 6000
    tokenizer_texts: int = 20000
    alike: float = 1.0  # how strongly queries and keys agree at first
    seed: int = 0


# The sizes that ship, by the name of the backbone: nothing but the shape differs.
SIZES = {
    "pocket": Recipe(),
    "pocket-medium": Recipe(width=96, heads=3, inner=288),
    "pocket-small": Recipe(width=64, heads=2, inner=192),
}
