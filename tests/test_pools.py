"""Retrieval from a pool: BUCC, LAReQA and Mewsli-X as their files are, and what is said of broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from folders import Write, refused

from xadapt.data.folder import Folder
from xadapt.tasks.examples import Sought


def sought(folder: Folder, task: str, language: str, split: str) -> tuple[list[Sought], list[Sought]]:
    """Queries and candidates."""
    examples = [e for e in folder.load(task, language, split) if isinstance(e, Sought)]
    assert len({e.id for e in examples}) == len(examples)
    sides = ("query", "candidate")
    queries, candidates = ([e for e in examples if e.side == side] for side in sides)
    return queries, candidates


class TestBucc:
    FILES = {  # noqa: RUF012
        "zh": "zh-1\t你好\nzh-2\t再见\n",
        "en": "en-1\tGoodbye\nen-2\tHello\nen-3\tNothing\n",
        "gold": "zh-1\ten-2\n",
    }

    def put(self, write: Write, stem: str = "bucc2018/zh-en.dev", **files: str | bytes) -> Path:
        return [write(f"{stem}.{end}", body) for end, body in {**self.FILES, **files}.items()][-1]

    def test_most_sentences_have_no_translation(self, folder: Folder, write: Write) -> None:
        self.put(write)
        queries, candidates = sought(folder, "bucc", "zh", "dev")
        assert queries == [
            Sought("zh-1", "query", "你好", "", ("en-2",)),
            Sought("zh-2", "query", "再见", "", ()),
        ]
        assert [c.id for c in candidates] == ["en-1", "en-2", "en-3"]
        assert candidates[0] == Sought("en-1", "candidate", "Goodbye", "", None)
        assert folder.languages("bucc", "dev") == ("zh",)

    def test_xtreme_removes_the_gold_of_the_test_set(self, folder: Folder, write: Write) -> None:
        self.put(write, "bucc2018/zh-en.test")
        assert folder.test_split("bucc") == "test"
        (folder.root / "bucc2018" / "zh-en.test.gold").unlink()
        queries, _ = sought(folder, "bucc", "zh", "test")
        assert [query.answers for query in queries] == [None, None]
        assert folder.label_status("bucc", "zh", "test") == "unlabelled"
        self.put(write)
        assert folder.test_split("bucc") == "dev"

    def test_buccs_own_names_serve_as_well(self, folder: Folder, write: Write) -> None:
        self.put(write, "bucc2018/zh-en/zh-en.sample")
        self.put(write, "bucc2018/zh-en/zh-en.training")
        assert folder.languages("bucc", "dev") == folder.languages("bucc", "test") == ("zh",)

    def test_carriage_returns_bom_and_blank_lines_at_the_end_do_no_harm(
        self, folder: Folder, write: Write
    ) -> None:
        self.put(write, zh="\ufeff" + self.FILES["zh"].replace("\n", "\r\n") + "\r\n\n")
        assert [q.text for q in sought(folder, "bucc", "zh", "dev")[0]] == ["你好", "再见"]

    @pytest.mark.parametrize(
        ("files", "said"),
        [
            ({"gold": "zh-1\ten-9\n"}, "gold:1: 'en-9' is not in zh-en.dev.en"),
            ({"gold": "zh-1\ten-2\nzh-7\ten-1\n"}, "gold:2: 'zh-7' is not in zh-en.dev.zh"),
            ({"gold": "zh-1\n"}, "gold:1: got 'zh-1'"),
            ({"gold": "zh-1\ten-2\nzh-1\ten-2\n"}, "gold:2: the pair zh-1 en-2 a second time"),
            ({"zh": "zh-1\ta\nzh-1\tb\n"}, "zh:2: id 'zh-1' a second time"),
            ({"en": "en-2\ta\n\nen-3\tb\n"}, "en:2: got ''"),
            ({"en": b"en-2\tcaf\xe9\n"}, "en:1: not UTF-8: byte 0xe9"),
        ],
    )
    def test_what_does_not_fit(
        self, folder: Folder, write: Write, files: dict[str, str | bytes], said: str
    ) -> None:
        self.put(write, **files)
        assert f"zh-en.dev.{said}" in (message := refused(folder, "bucc", "zh", "dev"))
        assert "do: " in message


class TestLareqa:
    @staticmethod
    def file(*sentences: str, start: int = 0, identifier: str = "q", **more: Any) -> str:
        context = " ".join(sentences)
        breaks, at = [], 0
        for sentence in sentences:
            breaks.append([at, at + len(sentence)])
            at += len(sentence) + 1
        question = {"id": identifier, "question": "?", "answers": [{"text": "x", "answer_start": start}]}
        paragraph = {"context": context, "sentence_breaks": breaks, "qas": [question], **more}
        return json.dumps({"data": [{"paragraphs": [paragraph]}]})

    def test_a_question_is_answered_by_a_sentence_in_every_language(
        self, folder: Folder, write: Write
    ) -> None:
        write("lareqa/xquad-r/de.json", self.file("Eins.", "Zwei.", start=6))
        write("lareqa/xquad-r/en.json", self.file("One.", "Two.", "Three.", start=5))
        queries, candidates = sought(folder, "lareqa", "en", "test")
        assert queries == [Sought("q_en", "query", "?", "", ("en_1_1", "de_1_1"))]
        assert [c.id for c in candidates] == ["en_1_0", "en_1_1", "en_1_2", "de_1_0", "de_1_1"]
        assert candidates[4] == Sought("de_1_1", "candidate", "Zwei.", "Eins. Zwei.", None)
        assert [q.answers for q in sought(folder, "lareqa", "de", "test")[0]] == [("de_1_1", "en_1_1")]

    def test_the_pool_is_part_of_the_revision(self, folder: Folder, write: Write) -> None:
        write("lareqa/xquad-r/en.json", self.file("One."))
        before = folder.revision("lareqa", "en", "test")
        write("lareqa/xquad-r/de.json", self.file("Eins."))
        assert folder.revision("lareqa", "en", "test") != before

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (file("One.", start=4), "the answer of question 'q' at character 4 is in no sentence"),
            (file("One.", qas=[{"id": "q", "question": "?", "answers": []}]), "question 'q' has 0 answers"),
            (json.dumps({"data": [{"paragraphs": [{"context": "a"}]}]}), "has no 'sentence_breaks'"),
        ],
    )
    def test_what_does_not_fit(self, folder: Folder, write: Write, content: str, said: str) -> None:
        path = write("lareqa/xquad-r/en.json", content)
        assert f"{path}: " in (message := refused(folder, "lareqa", "en", "test"))
        assert said in message


def mention(identifier: str, entity: str, text: str, words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A context in two sentences and a mention in it."""
    middle = text.index(". ") + 1
    spans = [{"start": 0, "end": middle}, {"start": middle + 1, "end": len(text)}]
    start = text.index(words)
    span = {"start": start, "end": start + len(words), "text": words}
    return (
        {"language": "de", "text": text, "sentence_spans": spans},
        {"example_id": identifier, "entity_id": entity, "mention_span": span},
    )


def entity(identifier: str, description: str) -> dict[str, str]:
    return {"entity_id": identifier, "title": "t", "description": description}


def json_lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


class TestMewslix:
    def test_a_mention_looks_for_its_entity_among_all(self, folder: Folder, write: Write) -> None:
        context, first = mention("m1", "Q1", "Ein {Satz}. Die Stadt Rom brennt {jetzt}.", "Rom")
        other, second = mention("m2", "Q2", "Da ist. Paris hier.", "Paris")
        news = [{"context": context, "mentions": [first]}]
        news += [{"context": {**other, "language": "es"}, "mentions": [second]}]
        write("mewslix/wikinews_mentions-test.jsonl", json_lines(*news))
        write(
            "mewslix/candidate_set_entities.jsonl",
            json_lines(entity("Q1", "Rome is\n a city."), entity("Q2", "París.")),
        )
        queries, candidates = sought(folder, "mewslix", "de", "test")
        # one sentence, the mention in braces and once more in front; the text's own braces become round
        assert queries == [Sought("m1", "query", "Rom: Die Stadt { Rom } brennt (jetzt).", "", ("Q1",))]
        assert candidates == [
            Sought("Q1", "candidate", "Rome is a city.", "", None),
            Sought("Q2", "candidate", "París.", "", None),
        ]
        assert [q.id for q in sought(folder, "mewslix", "es", "test")[0]] == ["m2"]
        assert folder.revision("mewslix", "de", "test") != folder.revision("mewslix", "es", "test")
        assert "no mention in 'ja'" in refused(folder, "mewslix", "ja", "test")

    def test_english_trains_on_wikipedia_and_has_its_development_set_there(
        self, folder: Folder, write: Write
    ) -> None:
        context, first = mention("m1", "Q1", "A. Rome burns.", "Rome")
        _, second = mention("m2", "Q1", "A. Rome burns.", "Rome")
        rows = [
            {"contextual_mention": {"context": context, "mention": one}, "entity": entity("Q1", "A city.")}
            for one in (first, second)
        ]
        for split in ("train", "dev"):
            write(f"mewslix/wikipedia_pairs-{split}.jsonl", json_lines(*rows))
            queries, candidates = sought(folder, "mewslix", "en", split)
            assert [q.answers for q in queries] == [("Q1",), ("Q1",)]
            assert [c.id for c in candidates] == ["Q1"]
        assert folder.languages("mewslix", "train") == folder.languages("mewslix", "dev") == ("en",)
        rows[1]["entity"] = entity("Q9", "Another.")
        write("mewslix/wikipedia_pairs-dev.jsonl", json_lines(*rows))
        said = refused(folder, "mewslix", "en", "dev")
        assert "wikipedia_pairs-dev.jsonl:2: mention m2 means Q1, beside it is Q9" in said

    def test_articles_whose_text_was_never_filled_in_are_recognised(
        self, folder: Folder, write: Write
    ) -> None:
        context, first = mention("m1", "Q1", "A. Rom brennt.", "Rom")
        write(
            "mewslix/wikinews_mentions-test.jsonl",
            json_lines({"context": {**context, "text": ""}, "mentions": [first]}),
        )
        write("mewslix/candidate_set_entities.jsonl", json_lines(entity("Q1", "x")))
        said = refused(folder, "mewslix", "de", "test")
        assert "wikinews_mentions-test.jsonl:1: mention m1: at characters 3 to 6 stands ''" in said
        assert "get-mewsli-x.sh" in said

    def test_an_entity_twice_or_missing(self, folder: Folder, write: Write) -> None:
        context, first = mention("m1", "Q1", "A. Rom brennt.", "Rom")
        write("mewslix/wikinews_mentions-test.jsonl", json_lines({"context": context, "mentions": [first]}))
        write("mewslix/candidate_set_entities.jsonl", json_lines(entity("Q2", "x")))
        assert "Q1, which mention m1 means, is not in" in refused(folder, "mewslix", "de", "test")
        write("mewslix/candidate_set_entities.jsonl", json_lines(entity("Q1", "x"), entity("Q1", "y")))
        assert "id 'Q1' a second time" in refused(folder, "mewslix", "de", "test")
