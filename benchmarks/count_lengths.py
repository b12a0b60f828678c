"""How long sequences of real training sets are in XLM-R's tokens: makes ``lengths.json``, which the pages
draw from.

    python benchmarks/count_lengths.py XTREME_FOLDER TOKENIZER.model

The folder is in XTREME's layout, with the intermediate tasks beside it; the tokenizer is XLM-R's
SentencePiece file. Sequences are those that training sees: each task's own kind makes them. Kept are counts
by length alone.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from reading import from_sentencepiece

from xadapt.data.folder import Folder
from xadapt.kinds import kind_of
from xadapt.tasks import task_named

HERE = Path(__file__).parent
# Name -> the task whose English training set it is, the longest sequence in tokens, and what a sequence is.
SETS = {
    "xnli": ("xnli", 128, "a premise and a hypothesis, XNLI's training set"),
    "squad": (
        "squad_v1",
        384,
        "a window of a question and its context, SQuAD 1.1's training set, stride 128",
    ),
    "hellaswag": ("hellaswag", 128, "a context with one of its four endings, HellaSwag's training set"),
    "udpos": ("udpos", 128, "a sentence, XTREME's English training set of UDPOS"),
}


@dataclass(frozen=True)
class Options:
    """Where the data are."""

    folder: Annotated[Path, tyro.conf.Positional]
    """in XTREME's layout"""
    tokenizer: Annotated[Path, tyro.conf.Positional]
    """XLM-R's SentencePiece file"""


def main(options: Options) -> None:
    tokenizer, source = from_sentencepiece(options.tokenizer), Folder(options.folder)
    found: dict[str, Any] = {}
    for name, (task, longest, what) in SETS.items():
        kind = kind_of(task_named(task))
        examples = source.load(task, "en", "train")
        items = kind.encode(examples, tokenizer, longest, training=True)
        counts = Counter(len(sequence) for item in items for sequence in item.sequences)
        found[name] = {
            "what": f"{what}; cut at {longest} tokens; {len(examples)} examples",
            "sequences_an_item": max(len(item.sequences) for item in items),
            "counts": {str(length): counts[length] for length in sorted(counts)},
        }
        mean = sum(length * count for length, count in counts.items()) / counts.total()
        print(f"{name}: {counts.total()} sequences of {mean:.1f} tokens on average")
    (HERE / "lengths.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
