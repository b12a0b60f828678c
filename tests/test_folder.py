"""The folder source: which file serves which task, language and split, and what is said where none does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from folders import XNLI, Write, question, refused, squad

from xadapt.common.errors import UserError
from xadapt.data.folder import Folder
from xadapt.data.sources import open_source
from xadapt.tasks import CATALOGUE, File, Task, task_named
from xadapt.tasks.examples import Chosen, Classified, Extracted, Paired, Tagged, Text


class TestWhichFileServesWhat:
    def test_languages_are_those_with_a_file_in_the_tasks_order(self, folder: Folder, write: Write) -> None:
        for language in ("zh", "de", "pl"):
            write(f"xnli/dev-{language}.tsv", XNLI)
        assert folder.languages("xnli", "dev") == ("de", "en", "zh")  # en is held out; pl is not XTREME's
        assert folder.languages("xnli", "train") == ("en",)
        assert folder.languages("xnli", "test") == ()

    def test_mnli_is_glues_file_or_else_xtremes(self, folder: Folder, write: Write) -> None:
        before = Classified("0", "A man sleeps.", "He rests.", "entailment")
        assert folder.load("mnli", "en", "train")[0] == before
        write(
            "../intermediate/mnli/train.tsv",
            "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\tGlue.\tStuck.\tneutral\tneutral\n",
        )
        assert folder.load("mnli", "en", "train") == [Classified("0", "Glue.", "Stuck.", "neutral")]

    def test_the_last_tenth_of_training_is_the_development_set_where_there_is_none(
        self, folder: Folder, write: Write
    ) -> None:
        write("pawsx/train-en.tsv", "".join(f"a{i}\tb\t{i % 2}\n" for i in range(50)))
        train, dev = folder.load("pawsx", "en", "train"), folder.load("pawsx", "en", "dev")
        assert ([e.id for e in train], [e.id for e in dev]) == (
            [str(i) for i in range(45)],
            [str(i) for i in range(45, 50)],
        )
        assert folder.revision("pawsx", "en", "train") != folder.revision("pawsx", "en", "dev")
        assert folder.held_out("pawsx", "en")
        write("pawsx/dev-en.tsv", "a\tb\t1\n")
        assert not folder.held_out("pawsx", "en")
        assert len(folder.load("pawsx", "en", "train")) == 50
        assert len(folder.load("pawsx", "en", "dev")) == 1

    def test_at_most_a_thousand_are_held_out(self, folder: Folder, write: Write) -> None:
        write("pawsx/train-en.tsv", "a\tb\t1\n" * 20000)
        assert len(folder.load("pawsx", "en", "dev")) == 1000

    def test_tydiqas_other_training_files_are_development_sets(self, folder: Folder, write: Write) -> None:
        for language in ("en", "fi"):
            ids = (question("7"), question("7"))  # XTREME's script cuts ids down to numbers that repeat
            write(f"tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.{language}.train.json", squad(*ids))
        assert folder.languages("tydiqa", "train") == ("en",)
        assert folder.languages("tydiqa", "dev") == ("en", "fi")
        assert [e.id for e in folder.load("tydiqa", "fi", "dev")] == ["0-7", "1-7"]

    def test_the_folder_of_intermediate_tasks_can_be_elsewhere(self, tmp_path: Path, write: Write) -> None:
        row = json.dumps({"ctx": "He", "endings": ["runs.", "eats."], "label": 1})
        path = write("../elsewhere/hellaswag/hellaswag_train.jsonl", f"{row}\n")
        folder = Folder(tmp_path / "xtreme", path.parents[1])
        assert folder.load("hellaswag", "en", "train") == [Chosen("0", "He", "", ("runs.", "eats."), 1)]

    def test_revisions_follow_the_bytes(self, folder: Folder, write: Write) -> None:
        path = write("xnli/dev-de.tsv", XNLI)
        before = folder.revision("xnli", "de", "dev")
        assert (
            folder.revision("xnli", "de", "dev")
            == before
            == Folder(folder.root).revision("xnli", "de", "dev")
        )
        path.write_text(XNLI.replace("sleeps", "snores"))
        assert folder.revision("xnli", "de", "dev") != before

    @pytest.mark.parametrize(
        "change",
        [
            {
                "files": {
                    "dev": (
                        File("xnli/d.tsv", "table", {"columns": {"text": "b", "pair": "a", "label": "c"}}),
                    )
                }
            },
            {"files": {"dev": (File("xnli/d.tsv", "pairs"),)}},
            {"labels": ("neutral", "entailment", "contradiction")},
            {"open_labels": True},
            {"kind": "tag"},
        ],
    )
    def test_and_how_they_are_read(self, folder: Folder, write: Write, change: dict[str, Any]) -> None:
        def revision(row: Task) -> str:
            return Folder(folder.root, catalogue={"xnli": row}).revision("xnli", "en", "dev")

        columns = {"columns": {"text": "a", "pair": "b", "label": "c"}}
        write("xnli/d.tsv", XNLI)
        write("xnli/elsewhere/d.tsv", XNLI)
        row = replace(task_named("xnli"), files={"dev": (File("xnli/d.tsv", "table", columns),)})
        assert revision(replace(row, **change)) != revision(row)
        moved = {"dev": (File("xnli/elsewhere/d.tsv", "table", columns, but=("fr",)),)}
        assert revision(replace(row, files=moved, summary="another", metrics=("f1",))) == revision(row)


class TestTranslations:
    """Training data of an intermediate task in other languages, translated by machine."""

    def test_a_users_own_files_and_xnlis(self, folder: Folder, write: Write) -> None:
        header = "sentence1\tsentence2\tgold_label\n"
        write("../intermediate/mnli/train-de.tsv", header + "Eins.\tZwei.\tneutral\n")
        write("xnli/translate-train/ru.tsv", "Раз.\tДва.\tneutral\n")
        write(
            "xnli/XNLI-MT-1.0/multinli/multinli.train.sw.tsv",
            "premise\thypo\tlabel\nMoja.\tMbili.\tcontradictory\n",
        )
        assert folder.languages("mnli", "train") == ("en", "de", "ru", "sw")
        assert folder.load("mnli", "de", "train") == [Classified("0", "Eins.", "Zwei.", "neutral")]
        assert folder.load("mnli", "ru", "train") == [Classified("0", "Раз.", "Два.", "neutral")]
        assert folder.load("mnli", "sw", "train") == [Classified("0", "Moja.", "Mbili.", "contradiction")]
        assert folder.languages("xnli", "train") == ("en",), "a target trains in English"

    def test_its_last_tenth_is_the_development_set(self, folder: Folder, write: Write) -> None:
        write("xnli/dev-en.tsv", XNLI)
        write("xnli/translate-train/de.tsv", "a\tb\tneutral\n" * 50)
        assert folder.languages("mnli", "dev") == ("en", "de")
        assert len(folder.load("mnli", "de", "train")) == 45
        assert len(folder.load("mnli", "de", "dev")) == 5

    def test_an_answer_that_the_translation_lost_drops_its_question(
        self, folder: Folder, write: Write
    ) -> None:
        name = "squad/translate-train/squad.translate.train.en-de.json"
        path = write(name, squad(question("x"), question("y", "Spain")))
        assert [e.id for e in folder.load("squad_v1", "de", "train")] == ["x"]
        assert folder.notes("squad_v1", "de", "train") == {"dropped": 1}
        write(name, squad(question("y", "Spain")))
        assert f"{path}: not one of 1 questions has its answers" in refused(folder, "squad_v1", "de", "train")

    @pytest.mark.parametrize("task", [t for t in CATALOGUE.values() if t.role == "intermediate"])
    def test_every_intermediate_task_with_files_of_sentences_has_a_place_for_them(self, task: Task) -> None:
        named = {file.path for file in task.files.get("train", ()) if "{lang}" in file.path}
        assert bool(named) == (task.name not in ("anli", "ccg"))


class TestRunningText:
    def test_a_paragraph_a_line_in_any_language(self, folder: Folder, write: Write) -> None:
        write("mlm/de.txt", "\ufeffEin Satz.\r\n\r\nNoch einer.\r\n" + "Und.\n" * 18)
        write("mlm/sw/a.txt", "Moja.\n")
        write("mlm/sw/b.txt", "Mbili.\n")
        assert folder.languages("mlm", "train") == ("de", "sw")
        examples = folder.load("mlm", "de", "train")
        assert (len(examples), examples[:2]) == (18, [Text("0", "Ein Satz."), Text("1", "Noch einer.")])
        assert [e.id for e in folder.load("mlm", "de", "dev")] == ["18", "19"]
        assert folder.load("mlm", "sw", "train") == [Text("0", "Moja."), Text("1", "Mbili.")]

    def test_all_files_of_a_folder_are_part_of_the_revision(self, folder: Folder, write: Write) -> None:
        write("mlm/sw/a.txt", "Moja.\n")
        before = folder.revision("mlm", "sw", "train")
        write("mlm/sw/b.txt", "Mbili.\n")
        assert folder.revision("mlm", "sw", "train") != before


class TestParts:
    """ANLI+: MNLI, SNLI and ANLI's three rounds under one head."""

    ROUND = json.dumps({"uid": "u", "context": "C", "hypothesis": "H", "label": "c"}) + "\n"
    SNLI = '{"sentence1": "S", "sentence2": "T", "gold_label": "%s"}\n'

    def put(self, write: Write) -> None:
        for number in (1, 2, 3):
            write(f"../intermediate/anli/R{number}/train.jsonl", self.ROUND)
        write(
            "../intermediate/snli/snli_1.0_train.jsonl",
            self.SNLI % "neutral" + self.SNLI % "-" + self.SNLI % "entailment",
        )

    def test_one_after_the_other_with_ids_of_their_own(self, folder: Folder, write: Write) -> None:
        assert folder.languages("anli", "train") == ()
        self.put(write)
        assert folder.languages("anli", "train") == ("en",)
        examples = folder.load("anli", "en", "train")
        assert [e.id for e in examples] == [
            "anli_r1-0", "anli_r2-0", "anli_r3-0", "snli-0", "snli-1", "mnli-0", "mnli-1"
        ]  # fmt: skip
        assert examples[0] == Classified("anli_r1-0", "C", "H", "contradiction")
        assert (len(examples), examples[-1].id, [e.id for e in examples[5:]]) == (
            7, "mnli-1", ["mnli-0", "mnli-1"]
        )  # fmt: skip
        with pytest.raises(IndexError):
            examples[7]
        assert folder.notes("anli", "en", "train") == {"dropped": 1}, "no agreement on the label"
        assert folder.label_status("anli", "en", "train") == "labelled"

    def test_the_revision_is_that_of_all_parts(self, folder: Folder, write: Write) -> None:
        self.put(write)
        before = folder.revision("anli", "en", "train")
        write("../intermediate/anli/R3/train.jsonl", self.ROUND * 2)
        assert folder.revision("anli", "en", "train") != before

    def test_a_missing_part_is_named(self, folder: Folder, write: Write) -> None:
        self.put(write)
        (folder.intermediate / "anli/R2/train.jsonl").unlink()
        assert folder.languages("anli", "train") == ()
        assert "no train file of anli_r2 in 'en'" in refused(folder, "anli", "en", "train")


class TestXcopa:
    @staticmethod
    def rows(count: int, label: int | None = None) -> str:
        row = {"premise": "P", "choice1": "A", "choice2": "B", "question": "effect"}
        return "".join(
            json.dumps({**row, "idx": i, "label": i % 2 if label is None else label}) + "\n"
            for i in range(count)
        )

    def test_xtremes_test_files_hold_placeholders_and_xcopas_labels(
        self, folder: Folder, write: Write
    ) -> None:
        for language in ("et", "ht"):
            write(f"xcopa/test-{language}.jsonl", self.rows(20, 0))
            write(f"xcopa/val-{language}.jsonl", self.rows(4))
        assert folder.test_split("xcopa") == "dev"
        write("xcopa/upstream/et/test.et.jsonl", self.rows(20))
        assert folder.label_status("xcopa", "et", "test") == "labelled"
        assert folder.label_status("xcopa", "ht", "test") == "unlabelled"
        assert folder.test_split("xcopa") == "dev", "the tests of some languages are placeholders"
        write("xcopa/upstream/ht/test.ht.jsonl", self.rows(20))
        assert folder.test_split("xcopa") == "test"

    def test_causes_and_effects_are_asked_for_in_words(self, folder: Folder, write: Write) -> None:
        write("xcopa/val-et.jsonl", self.rows(2))
        question = "What was the effect?"
        assert folder.load("xcopa", "et", "dev")[1] == Chosen("1", "P", question, ("A", "B"), 1)


class TestTestSplits:
    def test_test_files_without_labels_are_for_predicting(self, folder: Folder, write: Write) -> None:
        write("xnli/dev-en.tsv", XNLI)
        write("xnli/test-de.tsv", "a\tb\nc\td\n")
        assert folder.load("xnli", "de", "test") == [
            Classified("0", "a", "b", None),
            Classified("1", "c", "d", None),
        ]
        assert folder.label_status("xnli", "de", "test") == "unlabelled"
        assert folder.test_split("xnli") == "dev"

    def test_test_files_with_labels_are_reported(self, folder: Folder, write: Write) -> None:
        write("xnli/test-de.tsv", XNLI)
        assert folder.test_split("xnli") == "test"

    def test_labels_that_are_all_alike_are_placeholders(self, folder: Folder, write: Write) -> None:
        write("pawsx/test-de.tsv", "a\tb\t0\n" * 20)
        assert {e.label for e in folder.load("pawsx", "de", "test") if isinstance(e, Classified)} == {None}
        write("pawsx/test-de.tsv", "a\tb\t0\n" * 19)  # too few to tell
        assert folder.label_status("pawsx", "de", "test") == "labelled"

    def test_tags_may_be_withheld(self, folder: Folder, write: Write) -> None:
        write("panx/test-de.tsv", "Hu\n(\n\nda\n")
        assert folder.load("panx", "de", "test") == [
            Tagged("0", ("Hu", "("), None),
            Tagged("1", ("da",), None),
        ]

    def test_answers_that_xtreme_blanked_are_withheld(self, folder: Folder, write: Write) -> None:
        write("xquad/xquad.de.json", squad(question(text="", start=0)))
        (example,) = folder.load("xquad", "de", "test")
        assert isinstance(example, Extracted)
        assert example.answers is None
        with pytest.raises(UserError, match="test files of xquad have no labels: XTREME removes them"):
            folder.test_split("xquad")

    @pytest.mark.parametrize("split", ["train", "dev"])
    def test_only_test_files_may_go_without(self, folder: Folder, write: Write, split: str) -> None:
        for name in (f"pawsx/{split}-en.tsv", f"panx/{split}-en.tsv"):
            write(name, "a\tb\n" if "pawsx" in name else "word\n")
        said = refused(folder, "pawsx", "en", split)
        assert f"{split}-en.tsv:1: 2 columns, no label" in said
        assert "name the reader `table`" in said
        assert f"{split}-en.tsv:1: words without tags" in refused(folder, "panx", "en", split)


class TestTatoeba:
    def test_the_foreign_sentence_looks_for_the_english_one(self, folder: Folder, write: Write) -> None:
        write("laser-tatoeba-v1/tatoeba.cmn-eng.cmn", "你好\n再见\n")
        write("laser-tatoeba-v1/tatoeba.cmn-eng.eng", "Hello\nGoodbye\n")
        assert folder.languages("tatoeba", "test") == ("zh",)
        assert folder.load("tatoeba", "zh", "test")[1] == Paired("1", "再见", "Goodbye")
        before = folder.revision("tatoeba", "zh", "test")
        write("laser-tatoeba-v1/tatoeba.cmn-eng.eng", "Hello\nSo long\n")
        assert folder.revision("tatoeba", "zh", "test") != before

    def test_files_of_different_length_are_refused(self, folder: Folder, write: Write) -> None:
        write("laser-tatoeba-v1/tatoeba.cmn-eng.cmn", "你好\n再见\n")
        write("laser-tatoeba-v1/tatoeba.cmn-eng.eng", "Hello\n")
        assert "2 lines beside 1 in tatoeba.cmn-eng.eng" in refused(folder, "tatoeba", "zh", "test")
        write("laser-tatoeba-v1/tatoeba.cmn-eng.eng", "\nHello\n")
        assert "tatoeba.cmn-eng.eng:1: blank line" in refused(folder, "tatoeba", "zh", "test")

    def test_xtremes_own_files_have_lost_the_pairing_and_are_refused(
        self, folder: Folder, write: Write
    ) -> None:
        write("tatoeba/zh-en.zh", "你好\n再见\n")
        write("tatoeba/zh-en.en", "Goodbye\nHello\n")
        assert folder.languages("tatoeba", "test") == ()
        assert "zh-en.zh can't be used: XTREME's script sorts the English side" in refused(
            folder, "tatoeba", "zh", "test"
        )


class TestWhatIsNotThere:
    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"no folder .*nowhere"):
            Folder(tmp_path / "nowhere")
        with pytest.raises(UserError, match=r"no folder .*elsewhere"):
            Folder(tmp_path, tmp_path / "elsewhere")

    def test_a_folder_in_another_layout(self, tmp_path: Path, folder: Folder) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(UserError, match="not laid out as XTREME's download folder") as caught:
            Folder(tmp_path / "empty")
        assert "xnli/" in str(caught.value)
        with pytest.raises(UserError, match=r"did you mean .*xtreme\?"):
            Folder(tmp_path)

    def test_no_file_says_where_it_was_looked_for_and_what_is_there(self, folder: Folder) -> None:
        said = refused(folder, "xnli", "sw", "dev")
        assert "no dev file of xnli in 'sw' (here: train: en; dev: en)" in said
        assert str(folder.root / "xnli" / "dev-sw.tsv") in said
        assert "do: put it there (https://github.com/facebookresearch/XNLI)" in said

    def test_a_target_without_training_data_of_its_own(self, folder: Folder) -> None:
        assert "do: train on squad_v1" in refused(folder, "xquad", "en", "train")

    def test_unknown_words(self, folder: Folder) -> None:
        assert "did you mean 'xnli'" in refused(folder, "xnly", "en", "dev")
        assert "xnli is not in 'pl'" in refused(folder, "xnli", "pl", "dev")
        assert "unknown split 'validation'" in refused(folder, "xnli", "en", "validation")

    def test_a_source_by_name(self, tmp_path: Path, folder: Folder) -> None:
        source = open_source(str(folder.root))
        assert source.name == str(folder.root)
        assert open_source("hub").name == "hub"
        with pytest.raises(UserError, match="with a folder only"):
            open_source("hub", tmp_path)
