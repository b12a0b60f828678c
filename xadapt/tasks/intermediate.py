"""The intermediate tasks: English, trained below a target; and running text, in any language.

Epochs, batch and length are jiant's defaults (3 epochs, 32 examples, 256 tokens);
SQuAD takes those of jiant's guide for the targets that train on it. Running text is
read once: how much of it a study takes is said in its expression.

Hub rows are pinned to the head of the repository as public code pins it; all hold
Parquet or JSON lines.

A training file with ``{lang}`` in its name is a translation by machine: a user's own,
or one that XNLI, XTREME or XTREME-R distribute.
"""

from __future__ import annotations

from xadapt.tasks.languages import LANGUAGES
from xadapt.tasks.nli import ANLI, GLUE_REVISION, MNLI
from xadapt.tasks.rows import EN, EXTRACT, SQUAD_COLUMNS, TRAIN_DEV, YES_NO, english, files
from xadapt.tasks.task import File, Hub, Task

QQP_TABLE = {"columns": {"text": "question1", "pair": "question2", "label": "is_duplicate"}}
# GLUE's own files have a few rows torn apart by line breaks; GLUE's counts are without them.
QQP_TORN = {**QQP_TABLE, "ragged": 10}

# Sections of the Wall Street Journal: train 02 to 21, dev 00, test 23, as since Hockenmaier (2003).
SECTIONS = {"train": ("0[2-9]", "1[0-9]", "2[01]"), "dev": ("00",), "test": ("23",)}


def _ccgbank(folder: str, split: str) -> File:
    """A split of CCGbank as the LDC distributes it: one file a Journal's file, in the AUTO format."""
    first, *others = (f"intermediate:{folder}/data/AUTO/{section}/*.auto" for section in SECTIONS[split])
    return File(first, "auto", beside=tuple(others))


INTERMEDIATE = (
    ANLI,
    MNLI,
    english(
        "qqp",
        kind="classify",
        summary="do two questions on Quora ask the same",
        metrics=("accuracy",),
        labels=YES_NO,
        max_length=256,
        size=363_846,
        files={
            "train": (
                *files("table", "intermediate:qqp/train.tsv", "intermediate:QQP/train.tsv", options=QQP_TORN),
                File("intermediate:qqp/train-{lang}.tsv", "table", QQP_TABLE, but=EN),
            ),
            "dev": files("table", "intermediate:qqp/dev.tsv", "intermediate:QQP/dev.tsv", options=QQP_TORN),
        },
        hub=Hub(
            "nyu-mll/glue",
            "qqp",
            splits=TRAIN_DEV,
            columns={"text": "question1", "pair": "question2", "label": "label"},
            labels={"not_duplicate": "0", "duplicate": "1"},
            revision=GLUE_REVISION,
        ),
        licence="Quora's terms, non-commercial",
        citation="Iyer et al. 2017",
        url="https://gluebenchmark.com/tasks",
    ),
    english(
        "squad_v1",
        **EXTRACT,
        summary="questions on Wikipedia, every one has an answer",
        size=87_599,
        files={
            "train": (
                *files("squad", "squad/train-v1.1.json", "intermediate:squad/train-v1.1.json"),
                # A translation whose answer is not where it says is of no use and common among machine's.
                *files(
                    "squad",
                    "squad/translate-train/squad.translate.train.en-{lang}.json",
                    "intermediate:squad/train-v1.1-{lang}.json",
                    options={"drop": True},
                    but=EN,
                ),
            ),
            "dev": files("squad", "squad/dev-v1.1.json", "intermediate:squad/dev-v1.1.json"),
        },
        hub=Hub(
            "rajpurkar/squad",
            "plain_text",
            splits=TRAIN_DEV,
            columns=SQUAD_COLUMNS,
            revision="7b6d24c440a36b6815f21b70d25016731768db1f",
        ),
        licence="CC BY-SA 4.0",
        citation="Rajpurkar et al. 2016",
        url="https://rajpurkar.github.io/SQuAD-explorer",
    ),
    english(
        "squad_v2",
        **EXTRACT,
        summary="SQuAD with questions that have no answer",
        unanswerable=True,
        size=130_319,
        files={
            "train": (
                File("intermediate:squad/train-v2.0.json", "squad"),
                File("intermediate:squad/train-v2.0-{lang}.json", "squad", {"drop": True}, but=EN),
            ),
            "dev": (File("intermediate:squad/dev-v2.0.json", "squad"),),
        },
        hub=Hub(
            "rajpurkar/squad_v2",
            "squad_v2",
            splits=TRAIN_DEV,
            columns=SQUAD_COLUMNS,
            revision="3ffb306f725f7d2ce8394bc1873b24868140c412",
        ),
        licence="CC BY-SA 4.0",
        citation="Rajpurkar et al. 2018",
        url="https://rajpurkar.github.io/SQuAD-explorer",
    ),
    english(
        "hellaswag",
        kind="choose",
        summary="which of four sentences comes next",
        metrics=("accuracy",),
        max_length=256,
        size=39_905,
        files={
            "train": (
                File("intermediate:hellaswag/hellaswag_train.jsonl", "hellaswag"),
                File("intermediate:hellaswag/hellaswag_train-{lang}.jsonl", "hellaswag", but=EN),
            ),
            "dev": (File("intermediate:hellaswag/hellaswag_val.jsonl", "hellaswag"),),
        },
        hub=Hub(
            "Rowan/hellaswag",
            None,
            splits=TRAIN_DEV,
            columns={"context": "ctx", "options": "endings", "label": "label"},
            revision="218ec52e09a7e7462a5400043bb9a69a41d06b76",
        ),
        licence="MIT",
        citation="Zellers et al. 2019",
        url="https://rowanzellers.com/hellaswag",
    ),
    english(
        "ccg",
        kind="tag",
        summary="CCG supertags of the Wall Street Journal",
        metrics=("accuracy",),
        open_labels=True,
        max_length=256,
        size=38_015,
        files={
            split: (
                File(f"intermediate:ccg/{split}.txt", "supertags"),
                *(_ccgbank(folder, split) for folder in ("ccg", "ccgbank", "ccgbank_1_1")),
            )
            for split in ("train", "dev", "test")
        },
        no_hub="CCGbank is licensed by the LDC and on no hub",
        licence="LDC user agreement",
        citation="Hockenmaier and Steedman 2007",
        url="https://catalog.ldc.upenn.edu/LDC2005T13",
    ),
    english(
        "cosmos_qa",
        kind="choose",
        summary="reading between the lines of blogs, four answers",
        metrics=("accuracy",),
        max_length=256,
        size=25_262,
        files={
            "train": (
                File("intermediate:cosmos_qa/train.csv", "cosmos"),
                File("intermediate:cosmos_qa/train-{lang}.csv", "cosmos", but=EN),
            ),
            "dev": (File("intermediate:cosmos_qa/valid.csv", "cosmos"),),
        },
        hub=Hub(  # a copy in Parquet: allenai/cosmos_qa is a dataset script. No commit of it is known
            "Samsoup/cosmos_qa",
            None,
            splits=TRAIN_DEV,
            columns={
                "context": "context",
                "question": "question",
                "options": "answer0 answer1 answer2 answer3",
                "label": "label",
            },
        ),
        licence="CC BY 4.0",
        citation="Huang et al. 2019",
        url="https://github.com/wilburOne/cosmosqa",
    ),
    english(
        "commonsense_qa",
        kind="choose",
        summary="common sense, five answers",
        metrics=("accuracy",),
        max_length=256,
        size=9_741,
        files={
            "train": (
                File("intermediate:commonsense_qa/train_rand_split.jsonl", "commonsense"),
                File("intermediate:commonsense_qa/train-{lang}.jsonl", "commonsense", but=EN),
            ),
            "dev": (File("intermediate:commonsense_qa/dev_rand_split.jsonl", "commonsense"),),
        },
        hub=Hub(
            "tau/commonsense_qa",
            None,
            splits=TRAIN_DEV,
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
    Task(
        "mlm",
        kind="mlm",
        role="intermediate",
        summary="guess masked words of running text, in any language",
        languages=tuple(LANGUAGES),
        train="mlm",
        trains_in=tuple(LANGUAGES),
        metrics=("accuracy",),
        max_length=256,
        epochs=1,
        files={
            "train": files("running", "mlm/{lang}.txt", "mlm/{lang}/*.txt", "intermediate:mlm/{lang}.txt"),
            "dev": files("running", "mlm/dev-{lang}.txt", "intermediate:mlm/dev-{lang}.txt"),
        },
        hub=Hub(  # the first of a Wikipedia's files, and of that the first articles: all in English are 20 GB
            "wikimedia/wikipedia",
            "20231101.{lang}",
            splits={"train": "train"},
            columns={"text": "text"},
            revision="b04c8d1ceb2f5cd4588862100d08de323dccfbaa",
            file="20231101.{lang}/train-00000-of-*.parquet",
            rows=20_000,
        ),
        licence="CC BY-SA 3.0 (Wikipedia), or that of your text",
        citation="Wikimedia Foundation 2023",
        url="https://dumps.wikimedia.org",
    ),
)
