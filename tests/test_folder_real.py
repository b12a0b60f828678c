"""The folder source on real files: how many examples each has, where answers lie, which labels are there."""

from __future__ import annotations

import time

import pytest
from tiny import SHARED

from xadapt.data.folder import Folder
from xadapt.tasks import CATALOGUE
from xadapt.tasks.examples import Extracted, Sought

pytestmark = pytest.mark.skipif(
    not (SHARED / "xtreme").is_dir(), reason="needs the real data in ../shared, which is not here"
)

COUNTS: dict[tuple[str, str], dict[str, int] | int] = {
    ("mnli", "train"): {"en": 3300},
    ("mnli", "dev"): {"en": 2490},
    ("qqp", "train"): {"en": 3576},
    ("qqp", "dev"): {"en": 500},
    ("squad_v1", "train"): {"en": 8278},
    ("squad_v1", "dev"): {"en": 1102},
    ("squad_v2", "train"): {"en": 9010},
    ("squad_v2", "dev"): {"en": 1164},
    ("hellaswag", "train"): {"en": 8000},
    ("hellaswag", "dev"): {"en": 2042},
    ("cosmos_qa", "train"): {"en": 2400},
    ("cosmos_qa", "dev"): {"en": 585},
    ("commonsense_qa", "train"): {"en": 1000},
    ("commonsense_qa", "dev"): {"en": 221},
    ("mlm", "train"): 13,
    ("mlm", "dev"): 13,
    ("xnli", "train"): {"en": 3300},
    ("xnli", "dev"): dict.fromkeys(CATALOGUE["xnli"].languages, 2490),
    ("pawsx", "train"): {"en": 3576},
    ("pawsx", "dev"): dict.fromkeys(CATALOGUE["pawsx"].languages, 2000),
    ("udpos", "train"): {"en": 21253},
    ("udpos", "dev"): 14,
    ("panx", "train"): {"en": 20000},
    ("panx", "dev"): 14,
    ("panx", "test"): {"de": 10000},
    ("xquad", "test"): dict.fromkeys(("ar", "de", "en", "es", "hi", "ru", "tr", "zh"), 1190),
    ("mlqa", "dev"): 7,
    ("tydiqa", "train"): {"en": 3696 - 369},
    ("tydiqa", "dev"): {"en": 369, "ko": 1625, "sw": 2755},
    ("tatoeba", "test"): 41,
    ("siqa", "dev"): {"en": 1954},
    ("siqa", "test"): {"en": 2224},
    ("copa", "train"): {"en": 400},
    ("copa", "dev"): {"en": 100},
    ("copa", "test"): {"en": 500},
    ("xcopa", "dev"): dict.fromkeys(CATALOGUE["xcopa"].languages, 100),
    ("xcopa", "test"): dict.fromkeys(CATALOGUE["xcopa"].languages, 500),
    ("bucc", "dev"): {"zh": 8624 + 13589},
    ("lareqa", "test"): dict.fromkeys(("ar", "de", "en", "es", "hi", "ru", "tr", "zh"), 1190 + 9719),
}


@pytest.mark.parametrize("task", CATALOGUE)
def test_every_real_file_can_be_read(task: str) -> None:
    source = Folder(SHARED / "xtreme")
    for split in ("train", "dev", "test"):
        languages = source.languages(task, split)
        counts = {}
        for language in languages:
            examples = source.load(task, language, split)
            counts[language] = len(examples)
            assert len({example.id for example in examples}) == len(examples)
            assert source.notes(task, language, split).keys() <= {"unwrapped"}
        expected = COUNTS.get((task, split), {})
        assert (len(counts) if isinstance(expected, int) else counts) == expected, split


def test_real_answers_lie_where_they_say() -> None:
    source = Folder(SHARED / "xtreme")
    for task, split in (("xquad", "test"), ("mlqa", "dev"), ("tydiqa", "dev"), ("squad_v2", "dev")):
        for language in source.languages(task, split):
            for example in source.load(task, language, split):
                assert isinstance(example, Extracted)
                for answer in example.answers or ():
                    assert example.context.startswith(answer.text, answer.start)


def test_the_split_to_report_of_the_real_files() -> None:
    source = Folder(SHARED / "xtreme")
    tested = {task for task in CATALOGUE if source.test_split(task) == "test"}
    assert tested == {"siqa", "xquad", "tatoeba", "lareqa"}
    assert source.label_status("panx", "de", "test") == "unlabelled"


def test_the_real_labels_of_xcopas_test_sets_are_in_six_languages() -> None:
    source = Folder(SHARED / "xtreme")
    status = {code: source.label_status("xcopa", code, "test") for code in CATALOGUE["xcopa"].languages}
    labelled = [code for code in status if status[code] == "labelled"]
    assert labelled == ["et", "ht", "qu", "sw", "tr", "zh"]
    assert source.label_status("copa", "en", "test") == "unlabelled"


def test_real_pools_answer_their_queries() -> None:
    source = Folder(SHARED / "xtreme")
    pairs = [e for e in source.load("bucc", "zh", "dev") if isinstance(e, Sought)]
    assert sum(bool(e.answers) for e in pairs) == 257
    answers = [e for e in source.load("lareqa", "de", "test") if isinstance(e, Sought)]
    known = {e.id for e in answers if e.side == "candidate"}
    for example in answers:
        if example.side == "query":
            assert example.answers is not None
            assert set(example.answers) <= known
            assert {answer.split("_")[0] for answer in example.answers} == set(
                source.languages("lareqa", "test")
            )


@pytest.mark.parametrize("task", ["udpos", "panx"])
def test_the_largest_training_sets_load_within_two_seconds(task: str) -> None:
    source = Folder(SHARED / "xtreme")
    start = time.process_time()
    source.load(task, "en", "train")
    assert time.process_time() - start < 2
