"""The intermediate tasks: English, trained below a target.

Epochs, batch and length are jiant's defaults (3 epochs, 32 examples, 256 tokens);
SQuAD takes those of jiant's guide for the targets that train on it.

Hub rows are pinned to the head of the repository as public code pins it; all hold
Parquet or JSON lines. Cosmos QA has no hub row: its repository is a dataset script.
"""

from __future__ import annotations

from xadapt.tasks.task import File, Hub, Task

EN = ("en",)
NLI = ("entailment", "neutral", "contradiction")
NLI_NUMBERS = {"0": NLI[0], "1": NLI[1], "2": NLI[2]}
YES_NO = ("0", "1")
GLUE_REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"

NLI_TABLE = {"text": "sentence1", "pair": "sentence2", "label": "gold_label"}
QQP_TABLE = {"text": "question1", "pair": "question2", "label": "is_duplicate"}
SQUAD_COLUMNS = {"id": "id", "question": "question", "context": "context", "answers": "answers"}

INTERMEDIATE = (
    Task(
        "mnli",
        kind="classify",
        role="intermediate",
        summary="natural language inference, ten genres",
        languages=EN,
        train="mnli",
        metrics=("accuracy",),
        labels=NLI,
        max_length=256,
        files={
            "train": (
                File("intermediate:mnli/train.tsv", "table", {"columns": NLI_TABLE}),
                File("intermediate:MNLI/train.tsv", "table", {"columns": NLI_TABLE}),
                File("xnli/train-en.tsv", "pairs"),  # in XTREME's release this is MNLI's training set
            ),
            "dev": (
                File("intermediate:mnli/dev_matched.tsv", "table", {"columns": NLI_TABLE}),
                File("intermediate:MNLI/dev_matched.tsv", "table", {"columns": NLI_TABLE}),
                File("xnli/dev-en.tsv", "pairs"),
            ),
        },
        hub=Hub(
            "nyu-mll/glue",
            "mnli",
            splits={"train": "train", "dev": "validation_matched"},
            columns={"text": "premise", "pair": "hypothesis", "label": "label"},
            labels=NLI_NUMBERS,
            revision=GLUE_REVISION,
        ),
        licence="OANC and others, by genre",
        citation="Williams et al. 2018",
        url="https://cims.nyu.edu/~sbowman/multinli",
    ),
    Task(
        "qqp",
        kind="classify",
        role="intermediate",
        summary="do two questions on Quora ask the same",
        languages=EN,
        train="qqp",
        metrics=("accuracy",),
        labels=YES_NO,
        max_length=256,
        files={
            # GLUE's own file has a few rows torn apart by line breaks; GLUE's counts are without them.
            "train": (
                File("intermediate:qqp/train.tsv", "table", {"columns": QQP_TABLE, "ragged": 10}),
                File("intermediate:QQP/train.tsv", "table", {"columns": QQP_TABLE, "ragged": 10}),
            ),
            "dev": (
                File("intermediate:qqp/dev.tsv", "table", {"columns": QQP_TABLE, "ragged": 10}),
                File("intermediate:QQP/dev.tsv", "table", {"columns": QQP_TABLE, "ragged": 10}),
            ),
        },
        hub=Hub(
            "nyu-mll/glue",
            "qqp",
            splits={"train": "train", "dev": "validation"},
            columns={"text": "question1", "pair": "question2", "label": "label"},
            labels={"not_duplicate": "0", "duplicate": "1"},
            revision=GLUE_REVISION,
        ),
        licence="Quora's terms, non-commercial",
        citation="Iyer et al. 2017",
        url="https://gluebenchmark.com/tasks",
    ),
    Task(
        "squad_v1",
        kind="extract",
        role="intermediate",
        summary="questions on Wikipedia, every one has an answer",
        languages=EN,
        train="squad_v1",
        metrics=("f1", "exact_match"),
        max_length=384,
        stride=128,
        epochs=2,
        batch_size=16,
        files={
            "train": (
                File("squad/train-v1.1.json", "squad"),
                File("intermediate:squad/train-v1.1.json", "squad"),
            ),
            "dev": (
                File("squad/dev-v1.1.json", "squad"),
                File("intermediate:squad/dev-v1.1.json", "squad"),
            ),
        },
        hub=Hub(
            "rajpurkar/squad",
            "plain_text",
            splits={"train": "train", "dev": "validation"},
            columns=SQUAD_COLUMNS,
            revision="7b6d24c440a36b6815f21b70d25016731768db1f",
        ),
        licence="CC BY-SA 4.0",
        citation="Rajpurkar et al. 2016",
        url="https://rajpurkar.github.io/SQuAD-explorer",
    ),
    Task(
        "squad_v2",
        kind="extract",
        role="intermediate",
        summary="SQuAD with questions that have no answer",
        languages=EN,
        train="squad_v2",
        metrics=("f1", "exact_match"),
        max_length=384,
        stride=128,
        unanswerable=True,
        epochs=2,
        batch_size=16,
        files={
            "train": (File("intermediate:squad/train-v2.0.json", "squad"),),
            "dev": (File("intermediate:squad/dev-v2.0.json", "squad"),),
        },
        hub=Hub(
            "rajpurkar/squad_v2",
            "squad_v2",
            splits={"train": "train", "dev": "validation"},
            columns=SQUAD_COLUMNS,
            revision="3ffb306f725f7d2ce8394bc1873b24868140c412",
        ),
        licence="CC BY-SA 4.0",
        citation="Rajpurkar et al. 2018",
        url="https://rajpurkar.github.io/SQuAD-explorer",
    ),
    Task(
        "hellaswag",
        kind="choose",
        role="intermediate",
        summary="which of four sentences comes next",
        languages=EN,
        train="hellaswag",
        metrics=("accuracy",),
        max_length=256,
        files={
            "train": (File("intermediate:hellaswag/hellaswag_train.jsonl", "hellaswag"),),
            "dev": (File("intermediate:hellaswag/hellaswag_val.jsonl", "hellaswag"),),
        },
        hub=Hub(
            "Rowan/hellaswag",
            None,
            splits={"train": "train", "dev": "validation"},
            columns={"context": "ctx", "options": "endings", "label": "label"},
            revision="218ec52e09a7e7462a5400043bb9a69a41d06b76",
        ),
        licence="MIT",
        citation="Zellers et al. 2019",
        url="https://rowanzellers.com/hellaswag",
    ),
    Task(
        "cosmos_qa",
        kind="choose",
        role="intermediate",
        summary="reading between the lines of blogs, four answers",
        languages=EN,
        train="cosmos_qa",
        metrics=("accuracy",),
        max_length=256,
        files={
            "train": (File("intermediate:cosmos_qa/train.csv", "cosmos"),),
            "dev": (File("intermediate:cosmos_qa/valid.csv", "cosmos"),),
        },
        licence="CC BY 4.0",
        citation="Huang et al. 2019",
        url="https://github.com/wilburOne/cosmosqa",
    ),
    Task(
        "commonsense_qa",
        kind="choose",
        role="intermediate",
        summary="common sense, five answers",
        languages=EN,
        train="commonsense_qa",
        metrics=("accuracy",),
        max_length=256,
        files={
            "train": (File("intermediate:commonsense_qa/train_rand_split.jsonl", "commonsense"),),
            "dev": (File("intermediate:commonsense_qa/dev_rand_split.jsonl", "commonsense"),),
        },
        hub=Hub(
            "tau/commonsense_qa",
            None,
            splits={"train": "train", "dev": "validation"},
            columns={
                "question": "question",
                "options": "choices.text",
                "keys": "choices.label",
                "label": "answerKey",
            },
            revision="94630fe30dad47192a8546eb75f094926d47e155",
        ),
        licence="MIT",
        citation="Talmor et al. 2019",
        url="https://www.tau-nlp.org/commonsenseqa",
    ),
)
