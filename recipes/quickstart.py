"""From nothing to the first answer: does an English intermediate task help in other languages?

    python recipes/quickstart.py

On the pocket world: a tiny XLM-R and tasks that come with the package, no download. Trains six
small modules on a frozen encoder, in English only, and evaluates them in seven languages, a table
as soon as it is known. Run it again: everything is in the store, nothing is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import xadapt

QUESTIONS = (
    # The baseline: a module for the target task alone. The same on top of a module for MNLI.
    ("xnli", "mnli > xnli"),
    # Span question answering, trained on SQuAD v1.1. On top of one for questions that may have no answer.
    ("xquad", "squad_v2 > xquad"),
    # Finding translations, with the bare encoder and with a module below.
    ("tatoeba", "mnli > tatoeba"),
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
    max_steps: int | None = 150
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
            looks=5,
            items=options.items,
            store=options.store,
        )

    # 1. What the expressions need, and what of it the store has already.
    everything = study(*(expression for question in QUESTIONS for expression in question))
    xadapt.show(everything)

    # 2. Question by question: train the rest in English, evaluate in every language, and show
    #    scores by language, transfer gap, gain over the first expression.
    for question in QUESTIONS:
        xadapt.show(study(*question).run(watch=xadapt.Bars()))
    if options.json:
        xadapt.write_json(options.json, everything.run())


if __name__ == "__main__":
    xadapt.script(main, Options)
