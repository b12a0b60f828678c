"""Forward and LoRA's backward of a packed step, over their bare matrix products and nothing else.

    python benchmarks/floor.py

The products are the very same ones: of every layer the linears, attention's two (forward) or four (backward)
for each group of equally long sequences, and LoRA's thin ones; each layer has weights of its own. Every
product is called in its fastest way here, which is tried first: how its factors lie in memory, into a new
tensor or an old one; query, key and value in three or in one. What attention computes anew in its backward is
not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any

import torch
import tyro
from contenders import Contender
from draws import Batches, in_random_order
from results import Found, Row, show
from setting import Setting

from xadapt import Backbone, LoRA
from xadapt.backbone.packing import Packed, pack
from xadapt.common.measure import Spread, interleaved, ratios, side_by_side, timed
from xadapt.mount import Part, mount

Shape = tuple[int, int, int, int]  # how many at once, and (m, k) times (k, n)
# A layer's products; for each the forms in which it can be had: query, key and value at once or in three.
Layer = list[tuple[tuple[Shape, ...], ...]]
# Left factor transposed, right factor transposed, into an old tensor; None: by oneDNN, which torch has beside
# its BLAS.
Way = tuple[bool, ...] | None


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    rounds: int = 9
    batches: tuple[int, ...] = (16, 32)
    """items of XNLI's lengths at a time"""


def packed(batches: Batches, backbone: Backbone) -> Packed:
    """One round's first batch, for all rounds: the products are prepared for its lengths."""
    return pack([s for item in batches(1)[0] for s in item.sequences]).to(backbone.device)


def forward(backbone: Backbone, batches: Batches) -> tuple[Contender, Contender]:
    """The packed forward, and its products."""
    batch, bare, device = packed(batches, backbone), mount(backbone, []), str(backbone.device)

    def encode() -> int:
        with torch.inference_mode():
            bare.encode(batch)
        return len(batch)

    return timed(encode, device), products(backbone, batch, forward_shapes(backbone, batch))


def backward(backbone: Backbone, batches: Batches) -> tuple[Contender, Contender]:
    """From the gradient of all hidden states to that of a LoRA on all linears, and the products of it."""
    batch, device = packed(batches, backbone), str(backbone.device)
    mounted = mount(backbone, [Part("new", LoRA(), None)], seed=("benchmark",))
    mounted.model.train()

    def once() -> tuple[int, float]:
        hidden = mounted.encode(batch)
        ones = torch.ones_like(hidden)
        for parameter in mounted.trainable.values():
            parameter.grad = None

        def run() -> int:
            hidden.backward(ones)
            return len(batch)

        return timed(run, device)()

    return once, products(backbone, batch, backward_shapes(backbone, batch, LoRA().r))


def forward_shapes(backbone: Backbone, batch: Packed) -> list[Layer]:
    """Of each layer its products."""
    tokens, h, f = len(batch.input_ids), backbone.config.hidden_size, backbone.config.intermediate_size
    heads = backbone.config.num_attention_heads
    made: Layer = [(((1, tokens, h, 3 * h),), ((1, tokens, h, h),) * 3)]  # query, key, value
    made += [(((1, tokens, h, h),),), (((1, tokens, h, f),),), (((1, tokens, f, h),),)]
    for _, count, length in batch.groups:
        n, d = count * heads, h // heads
        made += [(((n, length, d, length),),), (((n, length, length, d),),)]
    return [made] * backbone.layers


def backward_shapes(backbone: Backbone, batch: Packed, r: int) -> list[Layer]:
    """The same of the backward: no gradient for frozen weights, none for the embeddings."""
    tokens, h, f = len(batch.input_ids), backbone.config.hidden_size, backbone.config.intermediate_size
    heads = backbone.config.num_attention_heads
    layers = []
    for number in range(backbone.layers):
        shapes: list[Shape] = []
        for out, inner, first in [(h, h, True)] * 3 + [(h, h, False), (f, h, False), (h, f, False)]:
            shapes += [(1, out, tokens, r), (1, tokens, out, r), (1, r, tokens, inner)]  # of B, of A x, of A
            if number or not first:  # of x, through the frozen weight and through the module
                shapes += [(1, tokens, out, inner), (1, tokens, r, inner)]
        for _, count, length in batch.groups:
            n, d = count * heads, h // heads
            shapes += [(n, length, length, d)] * 3 + [(n, length, d, length)]
        layer: Layer = [((shape,),) for shape in shapes]
        layers.append(layer)
    return layers


def products(backbone: Backbone, batch: Packed, layers: Sequence[Layer]) -> Contender:
    """All of them, one after another, each in its fastest way."""
    device, dtype = str(backbone.device), backbone.dtype
    best: dict[Shape, tuple[float, Way]] = {}

    def fastest(shape: Shape) -> float:
        if shape not in best:
            tried: list[Way] = list(product((False, True), repeat=3))
            if shape[0] == 1 and device == "cpu" and dtype == torch.float32:
                tried.append(None)
            ways = {str(way): call(shape, way, device, dtype) for way in tried}
            taken = side_by_side(ways, rounds=5, device=device)
            best[shape] = min(((median(taken[str(w)]), w) for w in tried), key=lambda found: found[0])
        return best[shape][0]

    calls: list[Callable[[], object]] = []
    for layer in layers:
        for forms in layer:
            chosen = min(forms, key=lambda form: sum(map(fastest, form)))
            calls += [call(shape, best[shape][1], device, dtype) for shape in chosen]

    def run() -> int:
        for one in calls:
            one()
        return len(batch)

    return timed(run, device)


def call(shape: Shape, way: Way, device: str, dtype: torch.dtype) -> Callable[[], object]:
    """One product with factors of its own: each of them stored as it is or transposed, into a new tensor or
    an old one."""
    n, m, k, p = shape
    if way is None:
        x, weight = torch.randn(m, k), torch.randn(p, k)
        return lambda: torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    turned_a, turned_b, reused = way
    a, b = (
        torch.randn((n, columns, rows) if turned else (n, rows, columns), device=device).to(dtype)
        for rows, columns, turned in ((m, k, turned_a), (k, p, turned_b))
    )
    a, b = (a.transpose(1, 2) if turned_a else a), (b.transpose(1, 2) if turned_b else b)
    times: Any = torch.bmm
    if n == 1:
        a, b, times = a[0], b[0], torch.mm
    if not reused:
        return lambda: times(a, b)
    into = times(a, b)
    return lambda: times(a, b, out=into)


def measure(options: Options) -> Found:
    backbone, rows = options.backbone(), list[Row]()
    for size in options.batches:
        batches = in_random_order("xnli", backbone, batch=size, steps=1)
        for name, pair in (("forward", forward), ("backward of LoRA", backward)):
            ways = dict(zip(("ours", "products"), pair(backbone, batches), strict=True))
            rates = interleaved(ways, rounds=options.rounds)
            rows.append(
                {
                    "table": "time over that of the matrix products alone",
                    "name": f"{name}, {size} items",
                    "time over products": ratios({"ours": rates["products"], "by": rates["ours"]}, "by")[
                        "ours"
                    ],
                    "milliseconds": Spread.of([1e3 * size / rate for rate in rates["ours"]]),
                    "products, milliseconds": Spread.of([1e3 * size / rate for rate in rates["products"]]),
                }
            )
    return Found(options.facts(backbone), rows)


if __name__ == "__main__":
    show("floor", tyro.cli(Options, description=__doc__), measure)
