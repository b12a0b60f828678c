"""The targets: XTREME's nine tasks, with its own lists of languages and what XTREME-R adds to them.

Epochs, batch and length are those of jiant's guide to XTREME, which the paper's
authors wrote. Hub rows are pinned to the head of the repository as public code pins
it; all hold Parquet or JSON lines, none a dataset script.
"""

from __future__ import annotations

from xadapt.tasks.nli import NLI, NLI_NUMBERS, PREMISE_HYPOTHESIS, XNLI_REVISION
from xadapt.tasks.rows import ALL_SPLITS, EN, EXTRACT, SQUAD_COLUMNS, YES_NO, per_split
from xadapt.tasks.task import File, Hub, Task


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PANX = _words(
    "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw ta te th "
    "tl tr ur vi yo zh"
)
UDPOS = tuple(code for code in PANX if code not in {"bn", "jv", "ka", "ml", "ms", "my", "sw"})
TATOEBA = tuple(code for code in PANX if code not in {"en", "ms", "my", "yo"})
XNLI = _words("ar bg de el en es fr hi ru sw th tr ur vi zh")
PAWSX = _words("de en es fr ja ko zh")
XQUAD = _words("ar de el en es hi ru th tr vi zh")
MLQA = _words("ar de en es hi vi zh")
TYDIQA = _words("ar bn en fi id ko ru sw te")
BUCC = _words("de fr ru zh")

# What XTREME-R adds (Ruder et al. 2021; the lists of its scripts/download_data.sh).
UDPOS_R = _words("lt pl uk wo ro")
PANX_R = _words("qu pl uk az lt pa gu ro")
XQUAD_R = _words("ro")
TATOEBA_R = _words("az lt pl uk ro")

UD_TAGS = _words("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X")
ENTITIES = ("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O")

XTREME_REVISION = "ec5f1f46e9af79639a90684a7a70a956c4998f04"

TARGETS = (
    Task(
        "xnli",
        kind="classify",
        role="target",
        summary="natural language inference in 15 languages; trains on MNLI",
        languages=XNLI,
        train="xnli",
        metrics=("accuracy",),
        labels=NLI,
        max_length=256,
        epochs=2,
        size=392_702,
        files=per_split("xnli", "pairs"),
        hub=Hub(
            "facebook/xnli",
            "{lang}",
            splits=ALL_SPLITS,
            columns=PREMISE_HYPOTHESIS,
            labels=NLI_NUMBERS,
            revision=XNLI_REVISION,
        ),
        licence="CC BY-NC 4.0",
        citation="Conneau et al. 2018",
        url="https://github.com/facebookresearch/XNLI",
    ),
    Task(
        "pawsx",
        kind="classify",
        role="target",
        summary="is it a paraphrase, although the words are the same",
        languages=PAWSX,
        train="pawsx",
        metrics=("accuracy",),
        labels=YES_NO,
        max_length=256,
        epochs=5,
        size=49_401,
        files=per_split("pawsx", "pairs"),
        hub=Hub(
            "google-research-datasets/paws-x",
            "{lang}",
            splits=ALL_SPLITS,
            columns={"text": "sentence1", "pair": "sentence2", "label": "label"},
            revision="4cd8187c404bda33cb1f62b49b001115862acf37",
        ),
        licence="free for any purpose",
        citation="Yang et al. 2019",
        url="https://github.com/google-research-datasets/paws",
    ),
    Task(
        "udpos",
        kind="tag",
        role="target",
        summary="parts of speech in 33 languages",
        languages=UDPOS,
        added=UDPOS_R,
        train="udpos",
        metrics=("f1", "accuracy"),
        labels=UD_TAGS,
        max_length=256,
        epochs=10,
        size=21_253,
        files=per_split("udpos", "tagged"),
        hub=Hub(
            "google/xtreme",
            "udpos.{name}",
            splits=ALL_SPLITS,
            columns={"words": "tokens", "tags": "pos_tags"},
            revision=XTREME_REVISION,
            names={"af": "Afrikans"},
            absent={"dev": ("kk", "th", "tl", "yo", *UDPOS_R), "test": UDPOS_R},  # v2.5, not XTREME-R's v2.7
        ),
        licence="by treebank",
        citation="Nivre et al. 2018",
        url="https://universaldependencies.org",
    ),
    Task(
        "panx",
        kind="tag",
        role="target",
        summary="names of people, places and organisations in 40 languages",
        languages=PANX,
        added=PANX_R,
        train="panx",
        metrics=("f1", "accuracy"),
        labels=ENTITIES,
        max_length=256,
        epochs=10,
        size=20_000,
        files=per_split("panx", "tagged"),
        hub=Hub(
            "google/xtreme",
            "PAN-X.{lang}",
            splits=ALL_SPLITS,
            columns={"words": "tokens", "tags": "ner_tags"},
            revision=XTREME_REVISION,
            absent={"dev": PANX_R, "test": PANX_R},
        ),
        licence="ODC-BY",
        citation="Pan et al. 2017; Rahimi et al. 2019",
        url="https://github.com/afshinrahimi/mmner",
    ),
    Task(
        "xquad",
        **EXTRACT,
        role="target",
        summary="SQuAD v1.1 translated by people into ten languages",
        languages=XQUAD,
        added=XQUAD_R,
        train="squad_v1",
        files={"test": (File("xquad/xquad.{lang}.json", "squad"),)},
        hub=Hub(
            "google/xquad",
            "xquad.{lang}",
            splits={"test": "validation"},
            columns=SQUAD_COLUMNS,
            revision="51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
        ),
        licence="CC BY-SA 4.0",
        citation="Artetxe et al. 2020",
        url="https://github.com/google-deepmind/xquad",
    ),
    Task(
        "mlqa",
        **EXTRACT,
        role="target",
        summary="questions on Wikipedia asked in seven languages",
        languages=MLQA,
        train="squad_v1",
        files={
            "dev": (File("mlqa/MLQA_V1/dev/dev-context-{lang}-question-{lang}.json", "squad"),),
            "test": (File("mlqa/MLQA_V1/test/test-context-{lang}-question-{lang}.json", "squad"),),
        },
        hub=Hub(
            "google/xtreme",
            "MLQA.{lang}.{lang}",
            splits={"dev": "validation", "test": "test"},
            columns=SQUAD_COLUMNS,
            revision=XTREME_REVISION,
        ),
        licence="CC BY-SA 3.0",
        citation="Lewis et al. 2020",
        url="https://github.com/facebookresearch/MLQA",
    ),
    Task(
        "tydiqa",
        **EXTRACT,
        role="target",
        summary="questions that speakers of nine languages really had (gold passages)",
        languages=TYDIQA,
        train="tydiqa",
        size=3_696,
        files={
            # XTREME's script cuts the ids of these files down to a number that repeats.
            "train": (
                File(
                    "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.en.train.json",
                    "squad",
                    {"number": True},
                ),
            ),
            # Nothing trains on the other languages' training sets, so they serve as development sets.
            "dev": (
                File(
                    "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.{lang}.train.json",
                    "squad",
                    {"number": True},
                    but=EN,
                ),
            ),
            "test": (File("tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.{lang}.dev.json", "squad"),),
        },
        hub=Hub(
            "google/xtreme",
            "tydiqa",
            splits={"train": "train", "test": "validation"},
            columns=SQUAD_COLUMNS,
            revision=XTREME_REVISION,
            prefix="{name}-",
        ),
        licence="Apache 2.0",
        citation="Clark et al. 2020",
        url="https://github.com/google-research-datasets/tydiqa",
    ),
    Task(
        "bucc",
        kind="retrieve",
        role="target",
        summary="which sentences of two corpora translate each other, where most have no translation",
        languages=BUCC,
        train=None,
        metrics=("f1",),
        max_length=512,
        files={
            split: tuple(
                File(
                    f"{start}.{{lang}}",
                    "bucc",
                    beside=(f"{start}.en", *((f"{start}.gold",) if gold else ())),
                )
                for gold in ((True,) if split == "dev" else (True, False))  # XTREME removes the test's
                for name in names
                for start in (f"bucc2018/{{lang}}-en.{name}", f"bucc2018/{{lang}}-en/{{lang}}-en.{name}")
            )
            # XTREME's names for BUCC's sample and training sets, and BUCC's own
            for split, names in {"dev": ("dev", "sample"), "test": ("test", "training")}.items()
        },
        no_hub="the hub's copies hold the gold pairs alone, without the sentences that make it hard",
        licence="not stated",
        citation="Zweigenbaum et al. 2018",
        url="https://comparable.limsi.fr/bucc2018",
    ),
    Task(
        "tatoeba",
        kind="retrieve",
        role="target",
        summary="find a sentence's English translation among a thousand",
        languages=TATOEBA,
        added=TATOEBA_R,
        train=None,
        metrics=("accuracy",),
        max_length=512,
        files={
            "test": (
                *(
                    File(
                        f"{folder}/tatoeba.{{iso3}}-eng.{{iso3}}",
                        "parallel",
                        beside=(f"{folder}/tatoeba.{{iso3}}-eng.eng",),
                    )
                    for folder in ("laser-tatoeba-v1", "tatoeba")
                ),
                File(
                    "tatoeba/{lang}-en.{lang}",
                    "unusable",
                    {
                        "why": "XTREME's script sorts the English side, so which sentence translates which "
                        "is lost; put the files of LASER's data/tatoeba/v1 into laser-tatoeba-v1/"
                    },
                ),
            ),
        },
        hub=Hub(
            "mteb/tatoeba-bitext-mining",
            "{iso3}-eng",
            splits={"test": "test"},
            columns={"source": "sentence1", "target": "sentence2"},
            revision="69e8f12da6e31d59addadda9a9c8a2e601a0e282",
        ),
        licence="CC BY 2.0 FR",
        citation="Artetxe and Schwenk 2019",
        url="https://github.com/facebookresearch/LASER/tree/main/data/tatoeba/v1",
    ),
)
