"""The frozen encoder in float32, bf16 and int8 under modules in float: bytes, speed, accuracy.

    python benchmarks/precision.py
    python benchmarks/precision.py --model pocket --rounds 2
    python benchmarks/precision.py --encoder FOLDER --data FOLDER    # also a real encoder on real data

xadapt computes in int8 nowhere of itself: ``int8.py`` puts it into a mounted stack, and says what its forms
are.

Bytes are those of a stack served alone: this process holds the backbone besides. Speed is that of the encoder
with one module, packed before the clock starts, in batches of XNLI's lengths. "float32" is a stack as
evaluations mount it, with LoRA inside the weights; "float32, modules beside" has it where int8 has it.

Accuracy: one LoRA module is trained on a few steps of XNLI in float32 and then served in each form. Intervals
are of 95 percent, over items; of other modules (seeds) they know nothing. Differences are paired, item by
item. Where no answer changes, an interval of 0 to 0 says that these items tell nothing apart, not that none
would: of 500 unchanged answers up to 0.6 percent may change among others (three over 500). Weights of base
and large are random, and have none of the outliers of trained ones: their difference of states is no promise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from draws import in_random_order
from int8 import Int8, bytes_of, in_int8
from modules import parts_of
from results import Found, Picture, Row, show
from setting import NO_REAL_DATA, Setting, real_data
from stacks import difference, encoding, packed

from xadapt import Backbone, Mounted, Study
from xadapt.common.measure import Spread, interleaved, ratios
from xadapt.data.reading import sampled
from xadapt.mount import Element, mount
from xadapt.statistics.intervals import estimates
from xadapt.statistics.resampling import Scored
from xadapt.train.evaluate import outputs_of

PLAIN = "float32"
INT8: Mapping[str, Int8] = {
    "int8 weights, float32 products": "weights",
    "int8 weights, bf16 products": "weights, bf16",
    "dynamic int8": "dynamic",
}
LANGUAGES = ("en", "de")


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to measure. The type is the page's subject: --dtype changes nothing here."""

    methods: tuple[str, ...] = ("lora", "bottleneck")
    """modules whose speed is measured"""
    batches: tuple[int, ...] = (1, 16)
    """sequences at a time"""
    encoder: Path | None = None
    """a real encoder, for accuracy: a folder in HF format"""
    data: Path | None = None
    """real XNLI for it: a folder in XTREME's layout"""
    training_steps: int = 60
    """of the module whose accuracy is measured, 32 examples each"""
    tested: int = 500
    """items a language"""


def forms(exact: Backbone, half: Backbone, elements: Sequence[Element]) -> dict[str, Mounted]:
    """The same stack in each form that the device has."""
    found = {
        PLAIN: mount(exact, elements, fold=True),
        f"{PLAIN}, modules beside": mount(exact, elements, fold="cat"),
        "bf16": mount(half, elements, fold=True),
    }
    for name, form in INT8.items():
        if form != "dynamic" or exact.device.type == "cpu":  # torch has it for CPUs alone
            found[name] = in_int8(exact, mount(exact, elements, fold="cat"), form)
    return found


def costs(exact: Backbone, half: Backbone, method: str, options: Options) -> list[Row]:
    """Bytes, time and difference of hidden states of one module's stack."""
    mounts = forms(exact, half, parts_of(exact, method, 1))
    weights = "its own weights" if options.model == "pocket" else "random weights"
    rows: list[Row] = [
        {"table": f"{options.model}, {weights}, {method}: time over float32's", "name": name,
         "layers, MB": bytes_of(mounted.model.encoder) / 1e6,
         "with embeddings, MB": bytes_of(mounted.model) / 1e6}
        for name, mounted in mounts.items()
    ]  # fmt: skip
    for size in options.batches:
        batches = in_random_order("xnli", exact, batch=size, steps=max(1, 8 // size))
        ways = {name: encoding(mounted, batches) for name, mounted in mounts.items()}
        rates = interleaved(ways, rounds=options.rounds)
        for row in rows:
            pair = {"own": rates[row["name"]], PLAIN: rates[PLAIN]}
            row[f"batch of {size}"] = ratios(pair, "own")[PLAIN]
            row[f"items/s, batch of {size}"] = Spread.of(rates[row["name"]])
    (items,) = in_random_order("xnli", exact, batch=max(options.batches), steps=1)(0)
    for row in rows:
        apart = difference(mounts[row["name"]], mounts[PLAIN], packed(mounts[PLAIN], items))
        row["largest difference of states"] = None if row["name"] == PLAIN else apart
    return rows


def accuracy(title: str, name: str, data: str, options: Options) -> list[Row]:
    """A module trained on a few steps of English XNLI, and its answers in each form."""
    exact, half = (
        Backbone.from_pretrained(name, device=options.place(), dtype=dtype)
        for dtype in ("float32", "bfloat16")
    )
    with tempfile.TemporaryDirectory() as store:
        study = Study(
            "xnli", exact, data, languages=LANGUAGES, items=options.tested, store=store,
            max_steps=options.training_steps, looks=1,
        )  # fmt: skip
        study.run(baselines=False)
        mounts = forms(exact, half, study.elements("xnli", 0, exact))
        trained = study.predictor()
    rows: list[Row] = []
    split = study.plan.evaluations[0].split
    for language in LANGUAGES:
        examples = sampled(study.plan.source.load("xnli", language, split), options.tested)
        items = trained.kind.encode(examples, exact.tokenizer, trained.max_length, training=False)
        answers, scored = dict[str, Sequence[Any]](), list[Scored]()
        for form, mounted in mounts.items():
            outputs = outputs_of(mounted, trained.head, trained.kind, items)
            answers[form] = trained.kind.decode(examples, items, outputs)
            counts = trained.kind.counts(examples, answers[form])["accuracy"]
            scored.append(Scored(counts[:, 0][None], counts[:, 1][None]))
        own = np.eye(len(scored))
        what = f"XNLI {split} in {language}, {len(examples)} items"
        table = f"{title}: {what}; {options.training_steps} steps, 1 seed"
        scores, gains = estimates(scored, own), estimates(scored, own - own[0])
        for form, score, gain in zip(mounts, scores, gains, strict=True):
            row: Row = {"table": table, "name": form, "accuracy": score.value, "low": score.low,
                        "high": score.high}  # fmt: skip
            if form != PLAIN:
                changed = sum(a != b for a, b in zip(answers[form], answers[PLAIN], strict=True))
                row |= {"minus float32": gain.value, "its low": gain.low, "its high": gain.high,
                        "other answers": changed}  # fmt: skip
            rows.append(row)
    return rows


def real(options: Options) -> list[Row]:
    """The same with a real encoder and data, or why not."""
    if found := real_data(options.encoder, options.data):
        return accuracy(*found, options)
    return [{"table": "a real encoder on real XNLI", "name": NO_REAL_DATA, "accuracy": None}]


def measure(options: Options) -> Found:
    exact, half = (replace(options, dtype=dtype).backbone() for dtype in ("float32", "bfloat16"))
    rows = [row for method in options.methods for row in costs(exact, half, method, options)]
    exact.verify()
    rows += accuracy("pocket world: generated text", "pocket", "pocket", options) + real(options)
    column = f"batch of {max(options.batches)}"
    pictures = [Picture(table, column) for table in dict.fromkeys(r["table"] for r in rows if column in r)]
    return Found(options.facts(exact), rows, pictures)


if __name__ == "__main__":
    show("precision", tyro.cli(Options, description=__doc__), measure)
