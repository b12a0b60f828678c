"""The numbers behind the pocket backbone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """All that determines the weights, besides the text."""

    steps: int = 8200
    tokens: int = 1536  # a batch
    warm_up: int = 400  # steps
    # cosines: the step at which one begins, its first rate, where it would end, the share left there
    rates: tuple[tuple[int, float, int, float], ...] = (
        (400, 2.5e-3, 7000, 0.05),
        (2500, 1.2e-3, 6500, 0.0),
        (5000, 8e-4, 8200, 0.0),
    )
    weight_decay: float = 0.01
    mask_plain: float = 0.18  # the share of words hidden in a single segment
    mask_most: float = 0.35  # of two aligned segments: in the one that is to be read off the other
    mask_least: float = 0.05  # and in the other
    contrast_every: int = 2  # steps between XLCO terms
    contrast_pairs: int = 64
    contrast_weight: float = 0.3
    temperature: float = 0.1
    align_weight: float = 0.5
    align_layer: int = 3  # what the pointer reads
    guided_step: int = 1750  # from here on, heads of the upper layers are held to point as well
    guided_from: int = 2  # the first such layer
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
