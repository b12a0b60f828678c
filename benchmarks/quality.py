"""What the fast ways cost in accuracy: each against the plain one, three seeds, item by item.

    python benchmarks/quality.py
    python benchmarks/quality.py --encoder FOLDER --data FOLDER    # also a real encoder on real data

Plain is float32, one module after another, nothing kept. Against it: ``--together``, ``--cache-gb``, both at
once, and float32's modules evaluated in bf16. Modules are trained on a few steps in English, and answer in
English and other languages; shown is the mean over languages. Intervals are of 95 percent, over seeds and
items; differences are paired by seed and item. "other items" are those whose part of a score is another, of
all seeds, languages and items.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from results import Found, Row, show
from setting import NO_REAL_DATA, Setting, real_data

from xadapt import Backbone, Results, Store, Study
from xadapt.common.arrays import from_text
from xadapt.common.measure import device_name
from xadapt.statistics.intervals import estimates
from xadapt.statistics.resampling import Scored

PLAIN, BF16 = "plain", "evaluated in bf16"
# What a study is told, of modules in all layers and in a third of them.
WAYS: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {},
    "together": {"together": 3},
    BF16: {"trained_in": "float32"},
}
TOP_WAYS: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {},
    "from the cache": {"cache_gb": 4.0},
    "together, from the cache": {"cache_gb": 4.0, "together": 3},
}


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure. Model, type and rounds change nothing here."""

    encoder: Path | None = None
    """a real encoder: a folder in HF format"""
    data: Path | None = None
    """real XNLI and UDPOS for it: a folder in XTREME's layout"""
    training_steps: int = 60
    """of each module, 16 examples each"""
    tested: int = 250
    """items a language"""
    targets: tuple[str, ...] = ("xnli", "udpos")
    languages: tuple[str, ...] = ("en", "de")
    seeds: tuple[int, ...] = (0, 1, 2)


def counts(results: Results, store: Store) -> list[np.ndarray]:
    """(seeds, items, 2) of each language: what each item adds to a score, and to what it is divided by."""
    found: dict[str, list[np.ndarray]] = {}
    for cell in sorted(results.cells, key=lambda cell: (cell.lang, cell.seed)):
        kept = store.read_scores(cell.key)
        assert kept is not None, "the run has just written it"
        found.setdefault(cell.lang, []).append(from_text(kept["counts"][cell.metric]))
    return [np.stack(of) for of in found.values()]


def compared(title: str, name: str, data: str, options: Options) -> list[Row]:
    """Each target and each way."""
    exact, half = (
        Backbone.from_pretrained(name, device=options.place(), dtype=dtype)
        for dtype in ("float32", "bfloat16")
    )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for target in options.targets:
            for method, ways in (("lora", WAYS), (f"lora(layers=top{exact.layers // 3})", TOP_WAYS)):
                scored: dict[str, list[np.ndarray]] = {}
                for way, told in ways.items():
                    # In bf16 the modules of the plain way are evaluated; all others have stores of their own.
                    store = Store(Path(folder) / (PLAIN if way == BF16 else way))
                    study = Study(
                        target, half if way == BF16 else exact, data, method, options.seeds,
                        languages=options.languages, store=store, items=options.tested,
                        max_steps=options.training_steps, batch_size=16, looks=1, **told,
                    )  # fmt: skip
                    scored[way] = counts(study.run(baselines=False), store)
                what = f"{target}, {len(options.languages)} languages, {options.tested} items each"
                rows += against_plain(f"{title}: {what}; {method}, {len(options.seeds)} seeds", scored)
    return rows


def against_plain(table: str, scored: Mapping[str, list[np.ndarray]]) -> list[Row]:
    """A row for each way: its score, and its difference from the plain one."""
    languages = len(scored[PLAIN])
    all_scored = [Scored(of[..., 0], of[..., 1]) for way in scored for of in scored[way]]
    means = np.kron(np.eye(len(scored)), np.full((1, languages), 1 / languages))  # PLAIN is the first
    rows: list[Row] = []
    for way, score, gain in zip(
        scored, estimates(all_scored, means), estimates(all_scored, means - means[0]), strict=True
    ):
        row: Row = {"table": table, "name": way, "score": score.value, "low": score.low, "high": score.high}
        if way != PLAIN:
            other = sum(int((a != b).any(-1).sum()) for a, b in zip(scored[way], scored[PLAIN], strict=True))
            row |= {"minus plain": gain.value, "its low": gain.low, "its high": gain.high,
                    "other items": other}  # fmt: skip
        rows.append(row)
    return rows


def measure(options: Options) -> Found:
    rows = compared("pocket world, generated text", "pocket", "pocket", options)
    if real := real_data(options.encoder, options.data):
        rows += compared(*real, options)
    else:
        rows.append({"table": "a real encoder on real text", "name": NO_REAL_DATA, "score": None})
    facts = {"model": "pocket", "weights": "its own", "dtype": "float32 and bf16"}
    return Found(facts | {"device": device_name(options.place())}, rows)


if __name__ == "__main__":
    show("quality", tyro.cli(Options, description=__doc__), measure)
