"""From nothing to the first answer: does an English intermediate task help in other languages?

    python recipes/quickstart.py

On the pocket world: a tiny XLM-R and tasks that come with the package, no download. Trains six
small modules on a frozen encoder, in English only, and evaluates them in seven languages. Run it
again: everything is in the store, nothing is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import xadapt

FIRST = (
    "xnli",  # the baseline: a module for the target task alone
    "mnli > xnli",  # the same on top of a module for MNLI
)
OTHERS = (
    "xquad",  # span question answering, trained on SQuAD v1.1
    "squad_v2 > xquad",  # on top of one for questions that may have no answer
    "tatoeba",  # finding translations with the bare encoder
    "mnli > tatoeba",  # and with a module below
)


@dataclass(frozen=True)
class Options:
    """The same script serves a real model and real data."""

    backbone: str = "pocket"
    """pocket, a hub id such as FacebookAI/xlm-roberta-base, or a folder in HF format"""
    data: str = "pocket"
    """pocket, hub, or a folder in XTREME's download layout"""
    method: str = "lora"
    """lora(r=8), bottleneck(reduction=4) or full"""
    seeds: tuple[int, ...] = (0,)
    """one run of everything a seed"""
    langs: tuple[str, ...] = ()
    """languages to evaluate in; all by default"""
    max_steps: int | None = 120
    """optimiser steps a module at most: few, so that the recipe takes minutes; None for the tasks' own"""
    items: int | None = 500
    """test items a language; None for all"""
    store: Path = Path(".xadapt")
    """where modules and scores are kept"""
    json: Path | None = None
    """write the results there as well"""


def main(options: Options) -> None:
    def study(*expressions: str) -> xadapt.Study:
        return xadapt.Study(
            expressions,
            options.backbone,
            options.data,
            method=options.method,
            seeds=options.seeds,
            languages=options.langs or None,
            max_steps=options.max_steps,
            looks=4,
            dev_examples=150,
            items=options.items,
            store=options.store,
        )

    # 1. What the expressions need, and what of it the store has already.
    everything = study(*FIRST, *OTHERS)
    xadapt.show(everything)

    # 2. Train the rest in English, evaluate in every language, and show a table a task: scores by
    #    language, transfer gap, gain over the first expression. The first table does not wait for the
    #    others, unless languages are chosen, which may be those of one task alone.
    if not options.langs:
        xadapt.show(study(*FIRST).run(watch=xadapt.Bars()))
    results = everything.run(watch=xadapt.Bars())
    xadapt.show(results)
    if options.json:
        xadapt.write_json(options.json, results)


if __name__ == "__main__":
    xadapt.script(main, Options)
