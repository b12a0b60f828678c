"""Natural language inference in English: MNLI, and ANLI+, which mixes it with SNLI and ANLI.

ANLI+ is the paper's largest intermediate task: 1,104,934 training examples, one head
(its count is MNLI's, SNLI's and those of ANLI's three rounds added up).
"""

from __future__ import annotations

from typing import Any

from xadapt.tasks.rows import EN, TRAIN_DEV, english, files
from xadapt.tasks.task import File, Hub, Task

NLI = ("entailment", "neutral", "contradiction")
NLI_NUMBERS = {"0": NLI[0], "1": NLI[1], "2": NLI[2]}
GLUE_REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
XNLI_REVISION = "b8dd5d7af51114dbda02c0e3f6133f332186418e"
# XNLI's training sets are MNLI's, translated by machine (Conneau et al. 2018).
XNLI_TRANSLATED = ("ar", "bg", "de", "el", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")

# What every inference task in English has in common, and the columns of all copies on the hub.
CLASSIFY: dict[str, Any] = {"kind": "classify", "metrics": ("accuracy",), "labels": NLI, "max_length": 256}
PREMISE_HYPOTHESIS = {"text": "premise", "pair": "hypothesis", "label": "label"}

NLI_TABLE = {"columns": {"text": "sentence1", "pair": "sentence2", "label": "gold_label"}}


def _anli_round(number: int) -> Task:
    """One of ANLI's three rounds."""
    columns = {"text": "context", "pair": "hypothesis", "label": "label"}
    options = {"columns": columns, "labels": {"e": NLI[0], "n": NLI[1], "c": NLI[2]}}
    return english(
        f"anli_r{number}",
        summary=f"adversarial natural language inference, round {number}",
        **CLASSIFY,
        files={
            split: files(
                "nli_lines",
                f"intermediate:anli/R{number}/{split}.jsonl",
                f"intermediate:anli_v1.0/R{number}/{split}.jsonl",
                options=options,
            )
            for split in ("train", "dev")
        },
        hub=Hub(
            "facebook/anli",
            None,
            splits={"train": f"train_r{number}", "dev": f"dev_r{number}"},
            columns=PREMISE_HYPOTHESIS,
            labels=NLI_NUMBERS,
            revision="8e4813d81f46d313dac7892e1c28076917cfcdf9",
        ),
        licence="CC BY-NC 4.0",
        citation="Nie et al. 2020",
        url="https://github.com/facebookresearch/anli",
    )


SNLI = english(
    "snli",
    summary="natural language inference on captions",
    **CLASSIFY,
    files={
        split: files(
            "nli_lines",
            f"intermediate:snli/snli_1.0_{split}.jsonl",
            f"intermediate:snli_1.0/snli_1.0_{split}.jsonl",
            options={**NLI_TABLE, "undecided": "-"},
        )
        for split in ("train", "dev")
    },
    hub=Hub(
        "stanfordnlp/snli",
        "plain_text",
        splits=TRAIN_DEV,
        columns=PREMISE_HYPOTHESIS,
        labels=NLI_NUMBERS,
        revision="cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
        unlabelled=True,
    ),
    licence="CC BY-SA 4.0",
    citation="Bowman et al. 2015",
    url="https://nlp.stanford.edu/projects/snli",
)

MNLI = english(
    "mnli",
    summary="natural language inference, ten genres",
    **CLASSIFY,
    size=392_702,
    files={
        "train": (
            *files("table", "intermediate:mnli/train.tsv", "intermediate:MNLI/train.tsv", options=NLI_TABLE),
            File("xnli/train-en.tsv", "pairs"),  # in XTREME's release this is MNLI's training set
            File("intermediate:mnli/train-{lang}.tsv", "table", NLI_TABLE, but=EN),
            File("xnli/translate-train/{lang}.tsv", "pairs", but=EN),
            *files(
                "table",
                "xnli/XNLI-MT-1.0/multinli/multinli.train.{lang}.tsv",
                "XNLI-MT-1.0/multinli/multinli.train.{lang}.tsv",
                options={
                    "columns": {"text": "premise", "pair": "hypo", "label": "label"},
                    "labels": {"contradictory": NLI[2]},
                },
                but=EN,
            ),
        ),
        "dev": (
            *files(
                "table",
                "intermediate:mnli/dev_matched.tsv",
                "intermediate:MNLI/dev_matched.tsv",
                options=NLI_TABLE,
            ),
            File("xnli/dev-en.tsv", "pairs"),
        ),
    },
    hub=Hub(
        "nyu-mll/glue",
        "mnli",
        splits={"train": "train", "dev": "validation_matched"},
        columns=PREMISE_HYPOTHESIS,
        labels=NLI_NUMBERS,
        revision=GLUE_REVISION,
    ),
    translated=Hub(
        "facebook/xnli",
        "{lang}",
        splits={"train": "train"},
        columns=PREMISE_HYPOTHESIS,
        labels=NLI_NUMBERS,
        revision=XNLI_REVISION,
        languages=XNLI_TRANSLATED,
    ),
    licence="OANC and others, by genre",
    citation="Williams et al. 2018",
    url="https://cims.nyu.edu/~sbowman/multinli",
)

ANLI = english(
    "anli",
    summary="natural language inference: ANLI, SNLI and MNLI together (ANLI+)",
    **CLASSIFY,
    size=1_104_934,
    parts=(*map(_anli_round, (1, 2, 3)), SNLI, MNLI),
    licence="CC BY-NC 4.0 and others, by part",
    citation="Nie et al. 2020; Bowman et al. 2015; Williams et al. 2018",
    url="https://github.com/facebookresearch/anli",
)
