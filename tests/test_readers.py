"""The readers: what a file may look like, and what is said of one that does not fit."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
from folders import XNLI, Write, question, refused, squad

from xadapt.common.errors import UserError
from xadapt.data.folder import Folder
from xadapt.data.lazy import LARGE
from xadapt.data.text import bytes_of
from xadapt.tasks.examples import Chosen, Classified, Extracted, Tagged


class TestPairs:
    def test_bom_carriage_returns_and_blank_lines_at_the_end_do_no_harm(
        self, folder: Folder, write: Write
    ) -> None:
        write("xnli/dev-de.tsv", "\ufeff" + XNLI.replace("\n", "\r\n") + "\r\n\n")
        assert folder.load("xnli", "de", "dev")[1] == Classified(
            "1", "A man sleeps.", "He runs.", "contradiction"
        )

    def test_quotes_are_literal_and_only_a_line_feed_ends_a_line(self, folder: Folder, write: Write) -> None:
        write("xnli/dev-de.tsv", '"No" he said\tA\u2028B\x85C\tneutral\n"""\t"\tneutral\n')
        texts = [(e.text, e.pair) for e in folder.load("xnli", "de", "dev") if isinstance(e, Classified)]
        assert texts == [('"No" he said', "A\u2028B\x85C"), ('"""', '"')]

    def test_a_file_that_csv_wrote_is_unwrapped(self, folder: Folder, write: Write) -> None:
        write("xnli/dev-de.tsv", '"""No"" he said"\tHe said no.\tneutral\nYes\t"It is ""yes"""\tneutral\n')
        texts = [(e.text, e.pair) for e in folder.load("xnli", "de", "dev") if isinstance(e, Classified)]
        assert texts == [('"No" he said', "He said no."), ("Yes", 'It is "yes"')]
        assert folder.notes("xnli", "de", "dev") == {"unwrapped": 2}

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (XNLI + "torn\n", ":3: 1 column\n  expected: 3 between tabs: text, pair, label"),
            ("a\tb\tc\tneutral\n", ":1: 4 columns\n"),
            (XNLI + "\n" + XNLI, ":3: 1 column\n"),
            (XNLI + "a\tb\tmaybe\n", ":3: unknown label 'maybe'\n  expected: one of entailment, neutral"),
            (b"a\tb\tneutral\nca\xe9\tb\tneutral\n", ":2: not UTF-8: byte 0xe9"),
            ("", ": empty file (0 bytes)"),
            (" \n\n", ": empty file (3 bytes)"),
        ],
    )
    def test_what_does_not_fit(self, folder: Folder, write: Write, content: str | bytes, said: str) -> None:
        path = write("xnli/dev-de.tsv", content)
        assert f"{path}{said}" in refused(folder, "xnli", "de", "dev")


class TestOddTexts:
    """A blank text, or a NUL in one, is no reason to refuse a file: it is counted, in every format."""

    def test_in_pairs(self, folder: Folder, write: Write) -> None:
        write("xnli/dev-de.tsv", "\tb\tneutral\na\t \tneutral\na\0\tb\tneutral\na\tb\tneutral\n")
        assert len(folder.load("xnli", "de", "dev")) == 4
        assert folder.notes("xnli", "de", "dev") == {"blank": 2, "NUL": 1}

    def test_in_pairs_that_are_too_many_for_a_list(self, folder: Folder, write: Write) -> None:
        write("xnli/dev-de.tsv", "\tb\tneutral\na\0\tb\tneutral\n" + "a\tb\tneutral\n" * LARGE)
        assert not isinstance(folder.load("xnli", "de", "dev"), list)
        assert folder.notes("xnli", "de", "dev") == {"blank": 1, "NUL": 1}

    def test_in_questions(self, folder: Folder, write: Write) -> None:
        write("xquad/xquad.en.json", squad(question(question=" "), question("x", question="a\0?")))
        assert folder.notes("xquad", "en", "test") == {"blank": 1, "NUL": 1}

    def test_in_choices(self, folder: Folder, write: Write) -> None:
        row = '{"ctx": "%s", "endings": ["b", "%s"], "label": 0}'
        rows = [row % given for given in (("a", "c"), ("", "c"), ("a", ""), ("a", r"\u0000"))]
        write("../intermediate/hellaswag/hellaswag_val.jsonl", "\n".join(rows))
        assert folder.notes("hellaswag", "en", "dev") == {"blank": 2, "NUL": 1}


class TestWhatIsNoFile:
    def test_a_folder_a_dangling_link_and_a_pipe(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        os.mkfifo(tmp_path / "pipe")
        for name, said in {
            "folder": "this is a folder",
            "link": "a link that leads nowhere",
            "pipe": "this is a pipe or a device",
            "absent": "no such file",
            "a" * 5000: "cannot be read: File name too long",
        }.items():
            with pytest.raises(UserError, match=said):
                bytes_of(tmp_path / name)


class TestTable:
    HEADER = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"

    def test_columns_are_found_by_the_header(self, folder: Folder, write: Write) -> None:
        write("../intermediate/qqp/train.tsv", self.HEADER + "9\t1\t2\tWho?\tWhat?\t0\n")
        assert folder.load("qqp", "en", "train") == [Classified("0", "Who?", "What?", "0")]

    def test_a_few_torn_rows_are_dropped_and_counted(self, folder: Folder, write: Write) -> None:
        write("../intermediate/qqp/train.tsv", self.HEADER + "9\t1\t2\tWho?\tWhat?\t0\n" + "torn\n" * 10)
        assert len(folder.load("qqp", "en", "train")) == 1
        assert folder.notes("qqp", "en", "train") == {"dropped": 10}

    def test_many_are_an_error(self, folder: Folder, write: Write) -> None:
        path = write("../intermediate/qqp/train.tsv", self.HEADER + "torn\n" * 11)
        assert f"{path}:2: 1 column" in refused(folder, "qqp", "en", "train")

    def test_a_missing_column_is_named(self, folder: Folder, write: Write) -> None:
        path = write("../intermediate/qqp/train.tsv", "id\tquestion1\n1\tWho?\n")
        said = refused(folder, "qqp", "en", "train")
        assert f"{path}:1: no column question2, is_duplicate; the header has id, question1" in said


class TestInferenceInJsonLines:
    ROW: ClassVar = '{"context": "c", "hypothesis": "h", "label": "%s"}'

    def test_labels_are_ours(self, folder: Folder, write: Write) -> None:
        for name in ("R1", "R2", "R3"):
            write(f"../intermediate/anli/{name}/dev.jsonl", self.ROW % "n")
        write(
            "../intermediate/snli/snli_1.0_dev.jsonl",
            '{"sentence1": "a", "sentence2": "b", "gold_label": "-"}',
        )
        said = refused(folder, "anli", "en", "dev")
        assert "snli_1.0_dev.jsonl: no row has a label" in said

    def test_an_unknown_label(self, folder: Folder, write: Write) -> None:
        path = write("../intermediate/anli/R1/train.jsonl", f"{self.ROW % 'e'}\n{self.ROW % 'x'}\n")
        said = refused(folder, "anli", "en", "train")
        assert f"{path}:2: unknown label 'x'\n  expected: one of e, n, c" in said


class TestTagged:
    def test_sentences_end_at_blank_lines(self, folder: Folder, write: Write) -> None:
        write("panx/dev-de.tsv", "\ufeffIn\tO\r\nBonn\tB-LOC\r\n \r\n\r\nJa\tO")
        assert folder.load("panx", "de", "dev") == [
            Tagged("0", ("In", "Bonn"), ("O", "B-LOC")),
            Tagged("1", ("Ja",), ("O",)),
        ]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("In\tO\n\u00a0\tO\n", ":2: got '\\xa0\\tO'\n  expected: a word, a tab and its tag"),
            ("In\tO\nBonn\n", ":2: got 'Bonn'"),
            ("In\tO\nBonn\t\n", ":2: unknown tag ''"),
            ("In\tO\tO\n", ":1: got 'In\\tO\\tO'"),
            ("In\tADP\n", ":1: unknown tag 'ADP'\n  expected: one of B-LOC, B-ORG"),
        ],
    )
    def test_what_does_not_fit(self, folder: Folder, write: Write, content: str, said: str) -> None:
        path = write("panx/dev-de.tsv", content)
        assert f"{path}{said}" in refused(folder, "panx", "de", "dev")


class TestSquad:
    def load(
        self, folder: Folder, write: Write, content: str | bytes, task: str = "xquad"
    ) -> list[Extracted]:
        name = {"xquad": "xquad/xquad.en.json", "squad_v1": "squad/dev-v1.1.json"}
        write(name.get(task, "../intermediate/squad/dev-v2.0.json"), content)
        split = "test" if task == "xquad" else "dev"
        return [e for e in folder.load(task, "en", split) if isinstance(e, Extracted)]

    def test_answers_lie_where_they_say(self, folder: Folder, write: Write) -> None:
        (example,) = self.load(folder, write, "\ufeff" + squad(question()))
        assert example.answers is not None
        (answer,) = example.answers
        assert example.context[answer.start :][: len(answer.text)] == answer.text == "France"

    @pytest.mark.parametrize(
        ("text", "start"), [("France", 10), ("France", 30), (" France\n", 11), ("\ufeffFrance", 12)]
    )
    def test_offsets_that_are_a_little_off_are_repaired_and_counted(
        self, folder: Folder, write: Write, text: str, start: int
    ) -> None:
        (example,) = self.load(folder, write, squad(question(text=text, start=start)))
        assert example.answers is not None
        assert (example.answers[0].text, example.answers[0].start) == ("France", 12)
        assert folder.notes("xquad", "en", "test") == {"repaired": 1}

    def test_the_nearest_occurrence_is_the_answer(self, folder: Folder, write: Write) -> None:
        (example,) = self.load(folder, write, squad(question(text="a", start=7), context="a.... a........ a"))
        assert example.answers is not None
        assert example.answers[0].start == 6

    def test_squad_v2_has_questions_without_answer(self, folder: Folder, write: Write) -> None:
        nowhere = {"id": "n", "question": "Why?", "answers": [], "is_impossible": True}
        examples = self.load(folder, write, squad(question(), nowhere), "squad_v2")
        assert [example.answers == () for example in examples] == [False, True]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (
                squad(question("x", "Spain")),
                "question 'x': answer 'Spain' is not in its context at or near character 12",
            ),
            (squad(question(start=200)), "is not in its context at or near character 200, where it says ''"),
            (squad(question("x"), question("x")), "two questions have the id 'x'"),
            (squad(question(), {"id": "y", "question": "?", "answers": []}), "question 'y' has no answer"),
            (squad(question(), question("y", text="", start=0)), "question 'y' has no answer"),
            (
                squad({"id": "y", "answers": [{"text": "a", "answer_start": 1}]}),
                "data[0].paragraphs[0].qas[0] has no 'question'",
            ),
            ('{"data": [\n{"paragraphs": [', ":2: broken JSON"),
            ('{"data": {}}', "the file.data is of type dict\n  expected: list"),
            ('{"data": []}', "no questions"),
            ("[]", "the file is of type list\n  expected: an object"),
            ('{"data": ' + "[" * 100_000 + "]" * 100_000 + "}", ":1: broken JSON: nested too deeply"),
            ('{"data": ' + "9" * 5000 + "}", ":1: broken JSON: a number of thousands of digits"),
            (
                squad(question()).replace("Where?", r"Where\ud800?"),
                r":1: broken JSON: the escape \ud800 is half a character",
            ),
            (b"\xff", ":1: not UTF-8"),
        ],
    )
    def test_what_does_not_fit(self, folder: Folder, write: Write, content: str | bytes, said: str) -> None:
        with pytest.raises(UserError) as caught:
            self.load(folder, write, content)
        assert said in str(caught.value)
        assert "xquad.en.json" in str(caught.value)

    def test_a_character_in_two_escapes_is_one(self, folder: Folder, write: Write) -> None:
        (example,) = self.load(folder, write, squad(question()).replace("Where?", r"\ud83c\udf4e?"))
        assert example.question == "\N{RED APPLE}?"

    def test_a_v2_file_under_a_v1_name_is_recognised(self, folder: Folder, write: Write) -> None:
        with pytest.raises(UserError, match="task squad_v2"):
            self.load(folder, write, squad(question(is_impossible=True)), "squad_v1")


class TestChoices:
    OFFICIAL: ClassVar = {
        "id": "c",
        "answerKey": "B",
        "question": {
            "stem": "Why?",
            "choices": [{"label": "A", "text": "so"}, {"label": "B", "text": "thus"}],
        },
    }
    FLAT: ClassVar = {
        "id": "c",
        "answerKey": "B",
        "question": "Why?",
        "choices": {"label": ["A", "B"], "text": ["so", "thus"]},
    }

    COPA: ClassVar = (
        '{"premise": "p", "choice1": "a", "choice2": "b", "question": "%s", "idx": 7, "label": %d}'
    )
    SIQA: ClassVar = (
        '{"context": "c", "question": "q", "answerA": "x", "answerB": "y", "answerC": "z", "correct": "%s"}'
    )

    def test_social_iqa_and_copa(self, folder: Folder, write: Write) -> None:
        write("siqa/socialIQa_v1.4_dev.jsonl", f"\ufeff{self.SIQA % 'C'}\r\n\r\n")
        assert folder.load("siqa", "en", "dev") == [Chosen("0", "c", "q", ("x", "y", "z"), 2)]
        write("../intermediate/copa/val.jsonl", self.COPA % ("cause", 1))
        assert folder.load("copa", "en", "dev") == [Chosen("7", "p", "What was the cause?", ("a", "b"), 1)]

    @pytest.mark.parametrize("row", [OFFICIAL, FLAT], ids=["official", "hub"])
    def test_commonsense_qa_in_both_forms(self, folder: Folder, write: Write, row: dict[str, Any]) -> None:
        write("../intermediate/commonsense_qa/dev_rand_split.jsonl", json.dumps(row))
        assert folder.load("commonsense_qa", "en", "dev") == [Chosen("c", "", "Why?", ("so", "thus"), 1)]

    def test_cosmos_qa_is_csv_with_quotes_and_line_breaks(self, folder: Folder, write: Write) -> None:
        header = "id,context,question,answer0,answer1,answer2,answer3,label\r\n"
        write("../intermediate/cosmos_qa/valid.csv", header + 'i,"one,\ntwo",Why?,a,b,c,"d ""e""",3\r\n')
        assert folder.load("cosmos_qa", "en", "dev") == [
            Chosen("i", "one,\ntwo", "Why?", ("a", "b", "c", 'd "e"'), 3)
        ]

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("hellaswag/hellaswag_val.jsonl", '{"ctx": "a"\n', ":1: broken JSON"),
            (
                "hellaswag/hellaswag_val.jsonl",
                '\n{"ctx": "a", "label": 0}\n',
                ":2: the row has no 'endings'",
            ),
            (
                "hellaswag/hellaswag_val.jsonl",
                '{"ctx": "a", "endings": ["b", "c"], "label": 2}',
                ":1: unknown label 2\n  expected: one of 0, 1",
            ),
            ("hellaswag/hellaswag_val.jsonl", '{"ctx": "a", "endings": ["b", "c"]}', ":1: no label"),
            (
                "hellaswag/hellaswag_val.jsonl",
                '{"ctx": "a", "endings": ["b"], "label": 0}',
                ":1: options ['b']",
            ),
            (
                "commonsense_qa/dev_rand_split.jsonl",
                f"{json.dumps(FLAT)}\n" * 2,
                ":2: id 'c' a second time",
            ),
            ("cosmos_qa/valid.csv", "id,context\n1,2\n", ":1: no column question, answer0"),
            (
                "copa/val.jsonl",
                f"{COPA % ('why', 0)}\n",
                ":1: question 'why'\n  expected: one of cause, effect",
            ),
            ("copa/val.jsonl", f"{COPA % ('cause', 2)}\n", ":1: unknown label 2\n  expected: one of 0, 1"),
            ("copa/val.jsonl", f"{COPA % ('cause', 1)}\n" * 2, ":2: id '7' a second time"),
            ("copa/val.jsonl", '\n{"premise": "p"}\n', ":2: the row has no 'choice1'"),
            ("siqa/socialIQa_v1.4_dev.jsonl", f"{SIQA % 'D'}\n", ":1: unknown label 'D'"),
            ("siqa/socialIQa_v1.4_dev.jsonl", f"{SIQA % ''}\n", ":1: no label"),
            ("siqa/socialIQa_v1.4_dev.jsonl", '{"context": "c"}\n', ":1: the row has no 'question'"),
            ("siqa/socialIQa_v1.4_dev.jsonl", b'{"context": "\xff"}\n', ":1: not UTF-8: byte 0xff"),
            ("siqa/socialIQa_v1.4_dev.jsonl", "\n \n", ": empty file (3 bytes)"),
        ],
    )
    def test_what_does_not_fit(
        self, folder: Folder, write: Write, name: str, content: str | bytes, said: str
    ) -> None:
        path = write(f"../intermediate/{name}", content)
        assert path.name + said in refused(folder, path.parent.name, "en", "dev")
