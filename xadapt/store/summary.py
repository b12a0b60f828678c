"""What a module's manifest says, in short, for people: a line of a list, or a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class ModuleInfo:
    """A line of ``xadapt modules``: from the manifest, without loading or proving the weights.

    Each is the manifest's key of its name, or its determinants'; of a mapping its ``name`` (a backbone)
    or ``source`` (data); empty where neither has one. ``version`` is that of the training
    (``xadapt.study.module_plan``), ``steps`` how many optimiser steps it took, ``lr`` its peak learning
    rate, ``examples`` the size of its training set: None where it was not trained here.
    """

    address: str
    path: Path
    expression: str
    task: str
    seed: int | None
    backbone: str
    method: str
    data: str
    dev: str
    parameters: int
    bytes: int
    created: str
    version: int | None
    steps: int | None = None
    lr: float | None = None
    examples: int | None = None


def describe(path: Path, manifest: Mapping[str, Any]) -> ModuleInfo:
    """The line of the module at ``path``, from its manifest.

    Args:
        path: of the module's folder; only its name is used, as the address.
        manifest: has at least ``determinants`` and ``files``, as ``integrity.peek`` sees to.
    """
    seed, parameters = _value(manifest, "seed"), _value(manifest, "parameters")
    sizes = [file.get("bytes") for file in manifest["files"].values() if isinstance(file, dict)]
    dev = _value(manifest, "dev")
    training, data = _mapping(manifest.get("training")), _mapping(manifest.get("data"))
    settings = _mapping(manifest["determinants"].get("settings"))
    return ModuleInfo(
        address=path.name,
        path=path,
        expression=_text(manifest, "expression"),
        task=_text(manifest, "task"),
        seed=seed if isinstance(seed, int) else None,
        backbone=_text(manifest, "backbone"),
        method=_text(manifest, "method"),
        data=_text(manifest, "data"),
        dev=_score(dev) if isinstance(dev, dict) else str(dev),
        parameters=parameters if isinstance(parameters, int) else 0,
        bytes=sum(size for size in sizes if isinstance(size, int)),
        created=_text(manifest, "created"),
        version=manifest["determinants"].get("training_version"),
        steps=_number(training.get("steps"), int),
        lr=_number(settings.get("lr"), float),
        examples=_number(data.get("examples"), int),
    )


def _value(manifest: Mapping[str, Any], key: str) -> Any:
    """The manifest's own ``key``, else that of its determinants, else an empty text."""
    return manifest.get(key, manifest["determinants"].get(key, ""))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any, kind: type[N]) -> N | None:
    return kind(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(manifest: Mapping[str, Any], key: str) -> str:
    value = _value(manifest, key)
    if isinstance(value, dict):
        value = value.get("name", value.get("source", ""))
    return str(value)


def _score(dev: Mapping[str, Any]) -> str:
    score = dev.get("score")
    shown = f"{score:.1f}" if isinstance(score, int | float) else ""
    return f"{dev.get('metric', '')} {shown}".strip()


def facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a summary says, row by row; only what the manifest knows."""
    info = describe(Path(manifest["address"]), manifest)
    data = _value(manifest, "data")
    source = data if isinstance(data, dict) else {}
    rows = {
        "expression": info.expression,
        "backbone": info.backbone,
        "method": info.method,
        "task": info.task,
        "seed": info.seed,
        "trained on": f"{info.data} {source.get('task', '')}".strip(),
        "examples": info.examples,
        "data's licence": source.get("licence"),
        "data's citation": source.get("citation"),
        "data's home": source.get("url"),
        "steps": info.steps,
        "peak learning rate": info.lr,
        "on English dev": info.dev,
        "parameters": info.parameters,
        "made": info.created,
    }
    return {key: value for key, value in rows.items() if value not in ("", None)}


def summary(manifest: Mapping[str, Any]) -> str:
    """The ``README.md`` of a module."""
    info = describe(Path(manifest["address"]), manifest)
    lines = [f"- {key}: {value}" for key, value in facts(manifest).items()]
    return "\n".join(
        [
            f"# {info.expression or info.address}",
            "",
            "A module that xadapt trained on a frozen XLM-R, with its head. `manifest.json` says all",
            f"that determined it; `xadapt modules verify` proves it. Its address is `{info.address}`.",
            "",
            *lines,
            "",
        ]
    )
