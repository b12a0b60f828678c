"""CCG supertags of the pocket world: every sentence's categories combine to a sentence."""

from __future__ import annotations

import pytest
from ccg import Atom, spans

from xadapt.data.labels import labels_of
from xadapt.data.pocket.source import Pocket
from xadapt.tasks.examples import Tagged

SENTENCES = {Atom("S", "dcl"), Atom("S", "wq")}


@pytest.fixture(scope="module")
def items() -> list[Tagged]:
    return [e for e in Pocket().load("ccg", "en", "train", 600) if isinstance(e, Tagged)]


def test_the_categories_that_are_written_down_are_those_of_the_training_sentences() -> None:
    assert Pocket().labels("ccg") == labels_of(Pocket().load("ccg", "en", "train"))


def test_every_sentence_parses(items: list[Tagged]) -> None:
    for e in items:
        assert e.tags is not None
        assert len(e.words) == len(e.tags)
        found = spans(e.tags) & SENTENCES
        wanted = Atom("S", "wq" if e.words[-1] == "?" else "dcl")
        assert found == {wanted}, list(zip(e.words, e.tags, strict=True))


def test_the_checker_refuses_a_wrong_category(items: list[Tagged]) -> None:
    verb, intransitive = r"(S[dcl]\NP)/NP", r"S[dcl]\NP"
    changed = [
        tuple(intransitive if t == verb else t for t in e.tags or ()) for e in items if verb in (e.tags or ())
    ]
    assert len(changed) > 50
    assert not any(spans(tags) & SENTENCES for tags in changed)


def test_categories_of_constructions(items: list[Tagged]) -> None:
    def find(word: str, tag: str) -> bool:
        return any((word, tag) in zip(e.words, e.tags or (), strict=True) for e in items)

    assert find("the", "NP/N")
    assert find("is", r"(S[dcl]\NP)/(S[pss]\NP)")
    assert find("by", r"((S\NP)\(S\NP))/NP")
    assert find("in", "(S/S)/NP")
    assert find("in", r"((S\NP)\(S\NP))/NP")
    assert find("not", r"(S\NP)\(S\NP)")
    assert find("does", r"(S[q]/(S[b]\NP))/NP")
    assert find("who", r"S[wq]/(S[dcl]\NP)")
    assert find("where", "S[wq]/S[q]")
    assert len({t for e in items for t in e.tags or ()}) > 25
