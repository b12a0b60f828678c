"""Modules to share, xadapt's logits, and HF's on the same tokens with padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tiny import save_tiny
from torch import Tensor, nn

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.packing import pack
from xadapt.common.randomness import seeded
from xadapt.kinds import kind_of
from xadapt.kinds.heads import first_token_logits, in_float32
from xadapt.mount import Part, mount
from xadapt.mount.mount_spec import elements
from xadapt.mount.weights import weights_file_of
from xadapt.stacks.methods import parse_method
from xadapt.store.store import Saved, Store, address_of
from xadapt.tasks import task_named

SEQUENCES = [[0, 5, 6, 7, 2], [0, 9, 2], [0, 11, 12, 2, 2, 13, 14, 15, 2], [0, 21, 22, 2]]
LENGTH = max(map(len, SEQUENCES))
IDS = torch.tensor([s + [1] * (LENGTH - len(s)) for s in SEQUENCES])
MASK = (IDS != 1).long()
KINDS = {"classify": "mnli", "choose": "hellaswag", "tag": "panx", "extract": "squad_v1"}


def tiny_folder(folder: Path) -> Backbone:
    """A backbone with a name under which HF finds it too."""
    return Backbone.from_pretrained(str(save_tiny(folder)), device="cpu", dtype="float32")


def noise(tensors: Mapping[str, Tensor], seed: int, size: float = 0.1) -> dict[str, Tensor]:
    """As after training: everything has moved."""
    draw = torch.Generator().manual_seed(seed)
    return {k: t.detach().cpu() + torch.randn(t.shape, generator=draw) * size for k, t in tensors.items()}


def trained(
    store: Store,
    backbone: Backbone,
    task: str,
    method: str = "lora(r=4)",
    *,
    below: Saved | None = None,
    described: Any = None,
    seed: int = 0,
) -> Saved:
    """A module as a run would write it; ``described`` is what it stands on where that is a combination."""
    row, how = task_named(task), parse_method(method)
    under: Any = below.address if below else described
    mounted = mount(backbone, [*elements(under, store.load), Part("new", how, None)], seed=(seed,))
    with seeded("head", seed):
        head = kind_of(row).head(backbone.config)
    determinants = {"below": under, "task": task, "method": method, "seed": seed}
    return store.write(
        address_of(determinants),
        weights=noise(mounted.weights(), seed),
        head=noise(dict(head.named_parameters()), seed + 1, 0.3),
        config=mounted.config,
        weights_file=weights_file_of(how),
        manifest={
            "determinants": determinants,
            "expression": task,
            "task": task,
            "kind": row.kind,
            "labels": list(row.labels),
            "method": str(how),
            "seed": seed,
            "backbone": {"name": backbone.name, "fingerprint": backbone.fingerprint},
            "parameters": 1,
        },
    )


@torch.no_grad()
def logits(store: Store, backbone: Backbone, address: str) -> list[Tensor]:
    """xadapt's own, a sequence each: (outputs,), or (tokens, outputs) of kinds that read every token."""
    mounted = mount(backbone, elements(address, store.load))
    saved = store.load(address)
    row = task_named(saved.manifest["task"])
    head: nn.Module = kind_of(row).head(backbone.config)
    head.load_state_dict(saved.head)
    head.eval()
    batch = pack(SEQUENCES)
    hidden = mounted.encode(batch)
    if row.kind in ("classify", "choose"):
        return list(first_token_logits(head, hidden[batch.starts]))
    rows = in_float32(head, hidden)
    return [rows[s : s + n] for s, n in zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True)]


@torch.no_grad()
def theirs(model: Any, kind: str) -> list[Tensor]:
    """The same of a model in HF's manner, on padded input."""
    model.eval()
    if kind == "choose":  # (items, options, tokens)
        found = model(input_ids=IDS.unsqueeze(0), attention_mask=MASK.unsqueeze(0)).logits
        return list(found.reshape(-1, 1))
    out = model(input_ids=IDS, attention_mask=MASK)
    if kind == "classify":
        return list(out.logits)
    table = out.logits if kind == "tag" else torch.stack([out.start_logits, out.end_logits], -1)
    return [row[: len(s)] for row, s in zip(table, SEQUENCES, strict=True)]


def assert_equal(a: Sequence[Tensor], b: Sequence[Tensor]) -> None:
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=0)
    assert max(x.abs().max() for x in a) > 0.05  # something is compared
