"""Modules to put into stores."""

from typing import Any

import torch

from xadapt.store.store import Saved, Store, address_of


def determinants(n: int) -> dict[str, Any]:
    return {"task": "mnli", "seed": n, "settings": {"lr": 3e-4}, "method": "lora"}


def manifest(n: int) -> dict[str, Any]:
    return {
        "determinants": determinants(n),
        "expression": f"mnli[{n}]",
        "backbone": {"name": "pocket", "fingerprint": "f" * 64},
        "data": {"source": "pocket", "task": "mnli", "licence": "CC0", "citation": "Nobody 2026"},
        "dev": {"metric": "accuracy", "score": 81.25},
        "parameters": 20,
    }


def weights(n: int) -> dict[str, torch.Tensor]:
    return {"a": torch.full((4, 4), float(n)), "b": torch.arange(4, dtype=torch.bfloat16)}


def put(store: Store, n: int, value: int | None = None) -> Saved:
    return store.write(
        address_of(determinants(n)),
        weights=weights(n if value is None else value),
        head={"out.weight": torch.ones(3, 4)},
        config={"r": 8},
        manifest=manifest(n),
    )
