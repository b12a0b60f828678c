"""CCG supertags: two forms of files, and a label set that is what the training data has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from folders import XNLI, Write, refused, writer

from xadapt.common.errors import UserError
from xadapt.data.folder import Folder
from xadapt.data.labels import LARGE, RARE, OpenLabels, labels_of
from xadapt.tasks import CATALOGUE
from xadapt.tasks.examples import Example, Tagged

PIPES = "Pierre|NNP|N/N Vinken|NNP|N joins|VBZ|(S[dcl]\\NP)/NP\n"
AUTO = (
    "ID=wsj_0001.1 PARSER=GOLD NUMPARSE=1\n"
    "(<T S[dcl] 0 2> (<T NP 0 1> (<L N NNP NNP Vinken N>) ) (<L S[dcl]\\NP VBZ VBZ smokes S[dcl]\\NP_3>) )\n"
)


def test_a_sentence_a_line_between_bars(folder: Folder, write: Write) -> None:
    write("../intermediate/ccg/dev.txt", "\ufeff" + PIPES.replace("\n", "\r\n") + "\nA|B|C\n")
    assert folder.load("ccg", "en", "dev") == [
        Tagged("0", ("Pierre", "Vinken", "joins"), ("N/N", "N", "(S[dcl]\\NP)/NP")),
        Tagged("1", ("A",), ("C",)),
    ]


def test_a_bar_in_a_word_is_part_of_it(folder: Folder, write: Write) -> None:
    write("../intermediate/ccg/dev.txt", "a|b|NN|N\n")
    assert folder.load("ccg", "en", "dev") == [Tagged("0", ("a|b",), ("N",))]


def test_the_distribution_of_ccgbank(folder: Folder, write: Write) -> None:
    root = "../intermediate/ccgbank_1_1/data/AUTO"
    for section in ("00", "01", "02", "10", "21", "22", "23"):
        write(f"{root}/{section}/wsj_{section}01.auto", AUTO.replace("0001.1", f"{section}01.1"))
    assert [e.id for e in folder.load("ccg", "en", "train")] == ["wsj_0201.1", "wsj_1001.1", "wsj_2101.1"]
    assert folder.load("ccg", "en", "dev") == [
        Tagged("wsj_0001.1", ("Vinken", "smokes"), ("N", "S[dcl]\\NP"))
    ]
    assert [e.id for e in folder.load("ccg", "en", "test")] == ["wsj_2301.1"]


def test_brackets_in_the_folders_own_name(tmp_path: Path) -> None:
    (tmp_path / "[old]").mkdir()
    write = writer(tmp_path / "[old]")
    write("xnli/train-en.tsv", XNLI)
    write("../intermediate/ccg/data/AUTO/00/wsj_0001.auto", AUTO)
    assert Folder(tmp_path / "[old]" / "xtreme").languages("ccg", "dev") == ("en",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PIPES + "word|NN\n", "dev.txt:2: got 'word|NN'\n  expected: word|POS|supertag"),
        ("word|NN|\n", "dev.txt:1: got 'word|NN|'"),
        (b"w\xff|NN|N\n", "dev.txt:1: not UTF-8"),
    ],
)
def test_what_does_not_fit(folder: Folder, write: Write, content: str | bytes, said: str) -> None:
    write("../intermediate/ccg/dev.txt", content)
    assert said in refused(folder, "ccg", "en", "dev")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (AUTO * 2, ":3: id 'wsj_0001.1' a second time"),
        (AUTO.split("\n", maxsplit=1)[0], ":1: wsj_0001.1 has no derivation"),
        (AUTO.split("\n")[1], ":1: got '(<T S[dcl] 0 2>"),
        (AUTO.split("\n", maxsplit=1)[0] + "\nnothing\n", ":2: got 'nothing'"),
    ],
)
def test_what_does_not_fit_in_the_distribution(folder: Folder, write: Write, content: str, said: str) -> None:
    path = write("../intermediate/ccg/data/AUTO/00/wsj_0001.auto", content)
    assert f"{path}{said}" in refused(folder, "ccg", "en", "dev")


class TestSettling:
    """``with_labels``: the labels of a task whose row lists none."""

    def test_the_labels_are_those_of_the_training_data(self, folder: Folder, write: Write) -> None:
        write("../intermediate/ccg/train.txt", PIPES)
        write("../intermediate/ccg/dev.txt", "A|B|never/seen\n")
        task = OpenLabels(folder).with_labels(CATALOGUE["ccg"])
        assert task.labels == ("(S[dcl]\\NP)/NP", "N", "N/N")
        assert task.open_labels, "the row still says where they come from"

    def test_other_tasks_are_as_they_were(self, folder: Folder) -> None:
        assert OpenLabels(folder).with_labels(CATALOGUE["xnli"]) is CATALOGUE["xnli"]

    def test_data_is_read_once(self, folder: Folder, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        write("../intermediate/ccg/train.txt", PIPES)
        write("../intermediate/ccg/dev.txt", PIPES)
        open_labels = OpenLabels(folder)
        first = open_labels.with_labels(CATALOGUE["ccg"])

        def load(task: str, language: str, split: str) -> Sequence[Example]:
            raise AssertionError("read again")

        monkeypatch.setattr(folder, "load", load)
        assert open_labels.with_labels(CATALOGUE["ccg"]) == first

    def test_a_rare_tag_of_a_large_set_is_no_label(self) -> None:
        often = [Tagged(str(i), ("a",), ("N",)) for i in range(LARGE - RARE)]
        edge = [Tagged(f"e{i}", ("a", "b"), ("N", "ten")) for i in range(RARE)]
        rare = replace_last(edge)
        assert labels_of([*often, *edge]) == ("N", "ten")
        assert labels_of([*often, *rare]) == ("N",)
        assert labels_of(rare) == ("N", "ten")

    def test_no_tags_at_all(self) -> None:
        with pytest.raises(UserError, match="no tag is seen"):
            labels_of([])


def replace_last(examples: list[Tagged]) -> list[Tagged]:
    """The same with one ``ten`` fewer."""
    return [*examples[:-1], Tagged("last", ("a",), ("N",))]
