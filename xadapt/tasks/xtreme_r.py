"""The targets that XTREME-R adds (Ruder et al. 2021), and the two tasks that XCOPA trains on.

Languages, settings and file names are those of XTREME-R's scripts (google-research/xtreme).
Its recipe for XCOPA is two stages, Social IQa and then COPA: ``siqa > xcopa`` here, since
XCOPA trains on COPA.
"""

from __future__ import annotations

from xadapt.tasks.rows import EN, TRAIN_DEV, english, files
from xadapt.tasks.task import File, Hub, Task

XCOPA = ("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh")
MEWSLIX = ("ar", "de", "en", "es", "fa", "ja", "pl", "ro", "ta", "tr", "uk")
LAREQA = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")

# COPA has a code where others have a question. English words in every language, as in XTREME-R's script.
WORDING = {"cause": "What was the cause?", "effect": "What was the effect?"}
COPA_FILE = {"wording": WORDING}
COPA_COLUMNS = {
    "context": "premise",
    "question": "question",
    "options": "choice1 choice2",
    "label": "label",
}

SIQA = english(
    "siqa",
    kind="choose",
    summary="what people feel, want and do: three answers",
    metrics=("accuracy",),
    epochs=5,
    size=33_410,
    files={
        "train": (
            *files("social", "siqa/socialIQa_v1.4_trn.jsonl", "intermediate:siqa/socialIQa_v1.4_trn.jsonl"),
            File("siqa_translate_train/socialIQa_v1.4_{lang}_translate_train.jsonl", "social", but=EN),
            File("intermediate:siqa/socialIQa_v1.4_trn-{lang}.jsonl", "social", but=EN),
        ),
        "dev": (
            *files("social", "siqa/socialIQa_v1.4_dev.jsonl", "intermediate:siqa/socialIQa_v1.4_dev.jsonl"),
            File("siqa_translate_train/socialIQa_v1.4_{lang}_translate_dev.jsonl", "social", but=EN),
        ),
        "test": files(
            "social", "siqa/socialIQa_v1.4_tst.jsonl", "intermediate:siqa/socialIQa_v1.4_tst.jsonl"
        ),
    },
    hub=Hub(  # a copy in Parquet: allenai/social_i_qa is a dataset script
        "lighteval/siqa",
        None,
        splits=TRAIN_DEV,
        columns={
            "context": "context",
            "question": "question",
            "options": "answerA answerB answerC",
            "label": "label",
        },
        labels={"1": "0", "2": "1", "3": "2"},
        revision="54c6a1f8cb6daf4f5abf24a601852612fb35eb25",
    ),
    licence="CC BY 4.0",
    citation="Sap et al. 2019",
    url="https://maartensap.com/social-iqa",
)


def _copa(split: str) -> tuple[File, ...]:
    """Where COPA's file of a split, by COPA's name for it, can lie."""
    return files(
        "copa",
        f"xcopa/{split}-en.jsonl",
        f"xcopa/{split}.en.jsonl",
        f"intermediate:copa/{split}.jsonl",
        f"intermediate:COPA/{split}.jsonl",
        options=COPA_FILE,
    )


COPA = english(
    "copa",
    kind="choose",
    summary="which of two is the cause, or the effect",
    metrics=("accuracy",),
    epochs=5,
    size=400,
    files={
        "train": (*_copa("train"), File("intermediate:copa/train-{lang}.jsonl", "copa", COPA_FILE, but=EN)),
        "dev": _copa("val"),
        "test": _copa("test"),
    },
    hub=Hub(
        "aps/super_glue",
        "copa",
        splits=TRAIN_DEV,
        columns=COPA_COLUMNS,
        labels={"choice1": "0", "choice2": "1"},
        revision="3de24cf8022e94f4ee4b9d55a6f539891524d646",
        wording=WORDING,
    ),
    licence="BSD 2-Clause",
    citation="Roemmele et al. 2011",
    url="https://people.ict.usc.edu/~gordon/copa.html",
)

FURTHER = (SIQA, COPA)

TARGETS_R = (
    Task(
        "xcopa",
        kind="choose",
        role="target",
        summary="COPA in eleven languages; trains on COPA, best above siqa",
        languages=XCOPA,
        train="copa",
        metrics=("accuracy",),
        epochs=5,
        files={
            "dev": files(
                "copa",
                "xcopa/val-{lang}.jsonl",
                "xcopa/val.{lang}.jsonl",
                "xcopa/upstream/{lang}/val.{lang}.jsonl",
                options=COPA_FILE,
            ),
            # XTREME's own test files have a placeholder where the label should be, XCOPA's have the label.
            "test": files(
                "copa",
                "xcopa/upstream/{lang}/test.{lang}.jsonl",
                "xcopa/test.{lang}.jsonl",
                "xcopa/test-{lang}.jsonl",
                options=COPA_FILE,
            ),
        },
        hub=Hub(
            "cambridgeltl/xcopa",
            "{lang}",
            splits={"dev": "validation", "test": "test"},
            columns=COPA_COLUMNS,
            revision="042f78955ba48e6404616762fa6e05e839c3907a",
            wording=WORDING,
        ),
        licence="CC BY 4.0",
        citation="Ponti et al. 2020",
        url="https://github.com/cambridgeltl/xcopa",
    ),
    Task(
        "lareqa",
        kind="retrieve",
        role="target",
        summary="find a question's answer sentences in all languages at once (XQuAD-R)",
        languages=LAREQA,
        train="squad_v1",
        metrics=("map@20",),
        max_length=256,  # XTREME-R: questions 96, answers with their paragraph 256
        epochs=3,
        batch_size=16,
        files={"test": (File("lareqa/xquad-r/{lang}.json", "lareqa", pooled=True),)},
        no_hub="the hub's copy lacks the sentence boundaries that make the candidates",
        licence="CC BY-SA 4.0",
        citation="Roy et al. 2020",
        url="https://github.com/google-research-datasets/lareqa",
    ),
    Task(
        "mewslix",
        kind="retrieve",
        role="target",
        summary="find the entity that a mention in the news means, by its description (Mewsli-X)",
        languages=MEWSLIX,
        train="mewslix",
        metrics=("map@20",),
        max_length=64,
        epochs=2,
        size=167_719,
        files={
            "train": (File("mewslix/wikipedia_pairs-train.jsonl", "entity_pairs"),),
            # English is trained on Wikipedia and has its development set there; the others' is the news.
            "dev": (
                File("mewslix/wikipedia_pairs-dev.jsonl", "entity_pairs"),
                File(
                    "mewslix/wikinews_mentions-dev.jsonl",
                    "mentions",
                    beside=("mewslix/candidate_set_entities.jsonl",),
                    but=EN,
                    shared=True,
                ),
            ),
            "test": (
                File(
                    "mewslix/wikinews_mentions-test.jsonl",
                    "mentions",
                    beside=("mewslix/candidate_set_entities.jsonl",),
                    shared=True,
                ),
            ),
        },
        no_hub="the columns of its copy on the hub have not been verified",
        licence="CC BY 2.5 (Wikinews), CC BY-SA 3.0 (Wikipedia)",
        citation="Ruder et al. 2021",
        url="https://github.com/google-research/google-research/blob/master/"
        "dense_representations_for_entity_retrieval/mel/mewsli-x.md",
    ),
)
