"""What a stack costs to run, by kind of composition and number of modules; and nine tasks on one input.

    python benchmarks/stacks.py
    python benchmarks/stacks.py --model pocket

Each composition runs as its library runs it (peft, adapters) and in its cheaper forms: LoRA modules as one
concatenated or folded into copies of the weights, a fusion without its constant products. Beside the time
stand what is held beyond the backbone and how far hidden states are from the library's own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import tyro
from contenders import Contender, adapters_forward, classify, head_of, in_turns
from draws import Batches, in_random_order, of_length
from modules import NINE, fusion_of, parts_of
from results import Found, Picture, Row, show
from setting import Setting

from xadapt import Backbone, Mounted
from xadapt.backbone.packing import Packed, pack
from xadapt.common.measure import Spread, interleaved, ratios
from xadapt.kinds.kind import Item
from xadapt.mount import Element, Fold, Merged, encode_many, mount


def merged(backbone: Backbone, n: int) -> list[Element]:
    return [Merged("mean", "mean", tuple((1.0, part) for part in parts_of(backbone, "lora", n)))]


# What is mounted for n modules, and how it is folded; the first form of each is the library's own.
KINDS: Mapping[str, tuple[Callable[[Backbone, int], Sequence[Element]], Mapping[str, Fold]]] = {
    "LoRA": (lambda b, n: parts_of(b, "lora", n), {"peft": False, "concatenated": "cat", "folded": True}),
    "LoRA on q and v": (
        lambda b, n: parts_of(b, "lora(targets=qv)", n),
        {"peft": False, "concatenated": "cat", "folded": True},
    ),
    "mean of LoRA": (merged, {"beside the weights": False, "folded": True}),
    "bottleneck": (lambda b, n: parts_of(b, "bottleneck", n), {"adapters": False}),
    "fusion of bottlenecks": (
        lambda b, n: [fusion_of(b, parts_of(b, "bottleneck", n))], {"adapters": False, "cheap": "cat"},
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure."""

    rounds: int = 7
    batches: tuple[int, ...] = (1, 16)
    """sequences at a time"""
    tokens: int = 64
    """of a sequence"""
    modules: tuple[int, ...] = (1, 3, NINE)
    """modules in a stack"""
    tasks: int = NINE
    """tasks on one input"""


def all_at_once(backbone: Backbone, method: str, tasks: int, batches: Batches) -> Contender:
    """Logits of several tasks for the same items: one shared trunk, and of each task its top and its head."""
    stacks = [mount(backbone, [part]) for part in parts_of(backbone, method, tasks)]
    heads, kind = [head_of(backbone).eval() for _ in stacks], classify()

    @torch.inference_mode()
    def work(now: list[list[Item]]) -> None:
        for items in now:
            batch = pack([s for item in items for s in item.sequences]).to(backbone.device)
            for head, hidden in zip(heads, encode_many(backbone, stacks, batch), strict=True):
                kind.outputs(head, hidden, batch, items)

    return in_turns(batches, str(backbone.device), work)


def encoding(mounted: Mounted, batches: Batches) -> Contender:
    """The encoder alone."""

    @torch.inference_mode()
    def work(ready: list[Packed]) -> None:
        for batch in ready:
            mounted.encode(batch)

    return in_turns(batches, str(mounted.device), work, lambda now: [packed(mounted, items) for items in now])


def packed(mounted: Mounted, items: Sequence[Item]) -> Packed:
    return pack([s for item in items for s in item.sequences]).to(mounted.device)


def held_bytes(backbone: Backbone, mounted: Mounted) -> int:
    """What a mounted stack keeps in memory that is not the backbone's own."""
    own = {t.data_ptr() for t in (*backbone.model.parameters(), *backbone.model.buffers())}
    beyond = {t.data_ptr(): t for t in (*mounted.model.parameters(), *mounted.model.buffers())}
    return sum(t.numel() * t.element_size() for at, t in beyond.items() if at not in own)


@torch.inference_mode()
def difference(one: Mounted, other: Mounted, batch: Packed) -> float:
    """The largest difference of hidden states."""
    return float((one.encode(batch).float() - other.encode(batch).float()).abs().max())


def compositions(backbone: Backbone, options: Options, kind: str, n: int) -> list[Row]:
    """The forms of one composition of ``n`` modules, in turns with the bare encoder."""
    make, forms = KINDS[kind]
    elements = make(backbone, n)
    mounts = {form: mount(backbone, elements, fold=fold) for form, fold in forms.items()}
    plain = next(iter(mounts.values()))
    (items,) = of_length(options.tokens, backbone, batch=max(options.batches))(1)
    rows: list[Row] = [
        {"table": "time over the bare encoder's", "name": f"{kind}, {n}, {form}",
         "kind": kind, "modules": n, "form": form}
        for form in mounts
    ]  # fmt: skip
    for size in options.batches:
        batches = of_length(options.tokens, backbone, batch=size)
        ways = {form: encoding(mounted, batches) for form, mounted in mounts.items()}
        rates = interleaved(
            {"bare": encoding(mount(backbone, []), batches), **ways}, rounds=options.rounds, warmup=2
        )
        for row in rows:  # times: the bare encoder's rate over this one's, round by round
            row[f"batch of {size}"] = ratios({"bare": rates["bare"], "own": rates[row["form"]]}, "own")[
                "bare"
            ]
    for row in rows:
        row["MB beyond"] = held_bytes(backbone, mounts[row["form"]]) / 1e6
        apart = difference(mounts[row["form"]], plain, packed(plain, items))
        row["difference"] = None if mounts[row["form"]] is plain else apart
    return rows


def many_tasks(backbone: Backbone, options: Options) -> list[Row]:
    """Several tasks on the same items, ours against ``adapters``, in XNLI's lengths and in equal ones."""
    rows: list[Row] = []
    n, top = options.tasks, f"top{max(1, backbone.layers // 3)}"
    lengths = {
        "XNLI's lengths": in_random_order("xnli", backbone, batch=max(options.batches), steps=1),
        f"{options.tokens} tokens": of_length(options.tokens, backbone, batch=max(options.batches)),
    }
    for name, batches in lengths.items():
        passes = f"adapters, a pass a task, {top}"
        ways = {
            f"ours, {method}(layers={top})": all_at_once(backbone, f"{method}(layers={top})", n, batches)
            for method in ("bottleneck", "lora")
        }
        for way, parallel in ((passes, False), (f"adapters, Parallel, {top}", True)):
            ways[way] = adapters_forward(backbone, batches, modules=n, layers=top, parallel=parallel)
        rates = interleaved(ways, rounds=options.rounds)
        over = ratios(rates, passes)
        rows += [
            {"table": f"{n} tasks on one input", "name": f"{way}; {name}", "items/s": Spread.of(rates[way]),
             "over a pass a task": over[way]}
            for way in ways
        ]  # fmt: skip
    return rows


def measure(options: Options) -> Found:
    backbone, rows = options.backbone(), list[Row]()
    for kind in KINDS:
        for n in options.modules:
            if n > 1 or kind in ("LoRA", "LoRA on q and v", "bottleneck"):
                rows += compositions(backbone, options, kind, n)
    rows += many_tasks(backbone, options)
    backbone.verify()
    size = f"batch of {max(options.batches)}"
    return Found(options.facts(backbone), rows, [Picture("time over the bare encoder's", size)])


if __name__ == "__main__":
    show("stacks", tyro.cli(Options, description=__doc__), measure)
