"""Texts in, labels out: 1,000 pairs in each of three languages, by a stack that was trained in English.

python recipes/classify.py
"""

import time
from typing import Any

import xadapt

study = xadapt.Study("mnli > xnli", langs=("en", "de", "sw"), max_steps=100)
results = study.run(watch=xadapt.Bars(), baselines=False)
predictor = study.predictor()  # or, once it is in the store, xadapt.load("mnli > xnli")
for lang in ("en", "de", "sw"):
    pairs: Any = study.plan.source.load("xnli", lang, "test")
    began = time.monotonic()
    answers = predictor([pair.text for pair in pairs], [pair.pair for pair in pairs])
    rate = len(pairs) / (time.monotonic() - began)
    right = sum(answer.label == pair.label for answer, pair in zip(answers, pairs, strict=True))
    print(f"{lang}: {rate:.0f} pairs/s, {100 * right / len(pairs):.1f}% right, first: {answers[0].label}")
print("pocket world: evidence for nothing about real languages")
