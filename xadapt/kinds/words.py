"""Where the words of a sentence are, in any script, and what runs of tagged words name."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace

from xadapt.kinds.answers import Entity, TaggedWords

# A word in any script: one character where words are not spaced (Thai to Khmer, kana, han), else a run of
# letters, digits and the combining marks that Python's \w leaves out (Hebrew, Arabic, Indic vowel signs).
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w{_MARKS}])+")
_TOKEN = re.compile(rf"{_WORD.pattern}|[^\s]")


def words(text: str) -> list[str]:
    """Lower-cased words; single characters in scripts that do not space them."""
    return _WORD.findall(text.lower())


def split(sentence: str) -> list[tuple[int, int]]:
    """The characters [start, end) of each word and of each other sign, as treebanks split them more or less.
    A language's own rules (*don't*, *im*) are not known here: who has them gives words."""
    return [match.span() for match in _TOKEN.finditer(sentence)]


def entities_of(words: Sequence[str], tags: Sequence[str]) -> tuple[Entity, ...]:
    """What tags such as ``B-PER I-PER`` name, by seqeval's rules, which are conlleval's; none where no tag
    has such a form."""
    if not any(tag.startswith(("B-", "I-")) for tag in tags):
        return ()
    from seqeval.metrics.sequence_labeling import get_entities

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tags beside the scheme's are no entities
        found = get_entities(list(tags))
    return tuple(
        Entity(" ".join(words[first : last + 1]), kind, first, last, None, None)
        for kind, first, last in found
    )


def placed(answer: TaggedWords, sentence: str, offsets: Sequence[tuple[int, int]]) -> TaggedWords:
    """The answer with the places of its words and entities in the sentence that they were split from."""
    named = []
    for entity in answer.entities:
        start, end = offsets[entity.first][0], offsets[entity.last][1]
        named.append(replace(entity, text=sentence[start:end], start=start, end=end))
    return replace(answer, offsets=tuple(offsets), entities=tuple(named))
