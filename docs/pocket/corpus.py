"""The text that the pocket backbone is pretrained on, drawn without end from frames.

It is general text about the pocket world: sentences, short documents, retellings, questions with
their answers, definitions, translations, and code-switched text in which words are replaced by their
translations (as Yang et al. 2020, ALM, https://ojs.aaai.org/index.php/AAAI/article/view/6480). No
task's labels occur in it, and no frame of a dev or test split.

A document is one or two segments. Everything is drawn from the ``random.Random`` that is handed in.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xadapt.data.pocket.frames import NP, Frame, Sampler, split_of
from xadapt.data.pocket.grammar import PLAIN, Form, Grammar
from xadapt.data.pocket.lexicon import LANGUAGES, Lexicon
from xadapt.data.pocket.phrases import Token, spell

Words = list[Token]
# how often each sort of document is drawn
SORTS = {
    "sentence": 5,
    "document": 7,
    "retelling": 22,
    "answered": 14,
    "definition": 5,
    "translation": 22,
    "cross_retelling": 14,
    "cross_answered": 11,
}
SWITCHED = 0.45  # the share of one-language documents that are code-switched
SWITCH_RATE = 0.5  # of the words of a code-switched document
PIVOT = 0.6  # how often a translation has English on one side


@dataclass(frozen=True, slots=True)
class Document:
    """One or two segments of words.

    Attributes:
        segments: the words of each.
        aligned: whether one segment can largely be read off the other.
        links: word alignments: (word of the first segment, word of the second).
    """

    segments: tuple[tuple[Token, ...], ...]
    aligned: bool
    links: tuple[tuple[int, int], ...] = ()

    def texts(self) -> tuple[str, ...]:
        return tuple(spell(s)[0] for s in self.segments)


class Corpus:
    """Documents of the training frames.

    Args:
        lexicon: the words.
        rng: every choice comes from it.
    """

    def __init__(self, lexicon: Lexicon, rng: random.Random) -> None:
        self.lexicon, self.rng = lexicon, rng
        self.sampler = Sampler(lexicon, rng, split="train")
        self.grammars = {lang: Grammar(lang, lexicon) for lang in LANGUAGES}
        self._sorts, self._weights = list(SORTS), list(SORTS.values())

    def reseed(self, rng: random.Random) -> None:
        """Draw from ``rng`` from now on: what a step sees depends on its own seed alone."""
        self.rng = self.sampler.rng = rng

    # --- what varies in telling ---------------------------------------------------------------------
    def form(self, frame: Frame, plain: float = 0.45) -> Form:
        """A way to say a frame."""
        roll = self.rng.random()
        if roll < plain:
            return PLAIN
        if frame.object is not None and roll < plain + 0.2:
            return Form(object_first=True)
        fronts = [s for s in ("time", "place") if s in frame.slots()]
        if fronts and roll < plain + 0.4:
            return Form(front=self.rng.choice(fronts))
        return Form(negated=roll > 0.85)

    def broader(self, np: NP) -> NP:
        """A hypernym in the noun's place."""
        if np.name:
            return np
        ups = self.lexicon.ancestors(np.head)
        return NP(self.rng.choice(ups), np.adj) if ups else np

    def retold(self, frame: Frame) -> Frame:
        """The same event with less detail."""
        rng = self.rng
        for slot in frame.slots():
            value = getattr(frame, slot)
            if slot in ("time", "manner") or (slot == "place" and frame.verb != "live"):
                if rng.random() < 0.3:
                    frame = frame.put(slot, None)
            elif isinstance(value, NP) and not value.name:
                if value.adj and rng.random() < 0.3:
                    value = NP(value.head)
                if rng.random() < 0.3:
                    value = self.broader(value)
                frame = frame.put(slot, value)
        return frame

    def story(self, first: Frame) -> list[Frame]:
        """One to three further frames that share an agent or a place with the first."""
        rng, frames = self.rng, [first]
        for _ in range(rng.choice((1, 1, 2, 3))):
            other = self.sampler.draw(rate=0.4)
            if first.place is not None and other.verb != "live" and rng.random() < 0.3:
                other = self.kept(other, other._replace(place=first.place))
            frames.append(other)
        return frames

    def kept(self, frame: Frame, changed: Frame) -> Frame:
        """``changed`` if that is a training frame still, else ``frame``."""
        return changed if split_of(changed) == "train" else frame

    def question(self, frame: Frame) -> tuple[Frame, Form]:
        """A question on a frame, sometimes with less detail."""
        asked = [s for s in ("agent", "object", "place", "time", "recipient") if s in frame.slots()]
        slot = self.rng.choice(asked)
        for other in ("time", "manner", "place"):
            if other != slot and self.rng.random() < 0.4:
                frame = frame.put(other, None)
        return frame, Form(ask=slot)

    # --- documents ----------------------------------------------------------------------------------
    def say(self, lang: str, frame: Frame, form: Form = PLAIN) -> Words:
        return self.grammars[lang].sentence(frame, form)

    def told(self, lang: str, frames: list[Frame], firm: bool = False) -> list[Words]:
        """A sentence for each; a repeated agent may become a pronoun. ``firm``: none negated."""
        sentences: list[Words] = []
        last: NP | None = None
        for frame in frames:
            form = self.form(frame)._replace(negated=False) if firm else self.form(frame)
            if last == frame.agent and not form.object_first and self.rng.random() < 0.5:
                form = form._replace(pronoun=True)
            last = frame.agent
            sentences.append(self.say(lang, frame, form))
        return sentences

    def short_answer(self, lang: str, frame: Frame, slot: str) -> Words:
        """The asked slot on its own, as its plain sentence says it."""
        return [t for t in self.say(lang, frame) if t.slot == slot]

    def answered(self, asking: str, telling: str) -> Document:
        """A question, often with its answer, and the text that answers it.

        The question's own words are aligned with the sentence they are about; the answer's are not.
        """
        rng, first = self.rng, self.sampler.draw()
        frames = self.story(first)
        rng.shuffle(frames)
        shorter, form = self.question(first)
        question = self.say(asking, shorter, form)
        sentences = self.told(telling, frames, firm=True)
        about = frames.index(first)
        before = sum(map(len, sentences[:about]))
        aligned = tuple((a, before + b) for a, b in links(question, sentences[about]))
        if rng.random() < 0.6:
            assert form.ask is not None
            grammar = self.grammars[asking]
            question = question + grammar.close(self.short_answer(asking, first, form.ask))
        return Document((tuple(question), tuple(joined(sentences))), True, aligned)

    def definition(self, lang: str) -> Words:
        """What is what, and what excludes what."""
        rng, grammar, lexicon = self.rng, self.grammars[lang], self.lexicon
        words: Words = []
        for _ in range(rng.randint(1, 3)):
            noun = rng.choice(lexicon.by_kind[rng.choice(("being", "thing", "place"))])
            ups = lexicon.ancestors(noun)
            adj = self.sampler.adjective(noun)
            if adj is None or (ups and rng.random() < 0.5):
                if ups:
                    words += grammar.kind_of(noun, rng.choice(ups))
            else:
                words += grammar.attribute(NP(noun), adj)
                words += grammar.attribute(NP(noun), rng.choice(lexicon.rivals(adj)), negated=True)
        return words or grammar.kind_of("apple", "fruit")

    def switched(self, words: Words, other: Words) -> Words:
        """Words replaced by their counterparts, found by slot and part of speech."""
        theirs: dict[tuple[str, str], list[Token]] = {}
        for t in other:
            theirs.setdefault((t.slot, t.pos), []).append(t)
        mine: dict[tuple[str, str], int] = {}
        for t in words:
            mine[t.slot, t.pos] = mine.get((t.slot, t.pos), 0) + 1
        result = []
        for t in words:
            key = (t.slot, t.pos)
            match = theirs.get(key, [])
            unique = t.slot and mine[key] == 1 and len(match) == 1
            result.append(match[0] if unique and self.rng.random() < SWITCH_RATE else t)
        return result

    def _switching(self, lang: str, frame: Frame, form: Form) -> Words:
        other = self.rng.choice(LANGUAGES)
        return self.switched(self.say(lang, frame, form), self.say(other, frame, form))

    def document(self) -> Document:
        """One document of a random sort."""
        rng = self.rng
        sort = rng.choices(self._sorts, self._weights)[0]
        lang, other = self._pair()
        mixed = rng.random() < SWITCHED
        if sort == "definition":
            return Document((tuple(self.definition(lang)),), False)
        if sort == "document":
            frames = self.story(self.sampler.draw())
            if rng.random() < 0.4:
                agent = frames[0].agent
                same = [self.kept(f, f._replace(agent=agent)) for f in frames[1:]]
                clash = [f.object is not None and f.object.key() == agent.key() for f in same]
                frames = [
                    frames[0],
                    *(f if no else g for f, g, no in zip(frames[1:], same, clash, strict=True)),
                ]
            if mixed:
                words = [t for f in frames for t in self._switching(lang, f, self.form(f))]
                return Document((tuple(words),), False)
            return Document((tuple(joined(self.told(lang, frames))),), False)
        if sort in ("answered", "cross_answered"):
            telling = other if sort == "cross_answered" else lang
            return self.answered(lang, telling)
        frame = self.sampler.draw()
        form = self.form(frame)
        if sort == "sentence":
            words = self._switching(lang, frame, form) if mixed else self.say(lang, frame, form)
            return Document((tuple(words),), False)
        first = (
            self._switching(lang, frame, form)
            if mixed and sort == "retelling"
            else self.say(lang, frame, form)
        )
        if sort == "translation":
            second = self.say(other, frame, form if rng.random() < 0.7 else self.reworded(frame, form))
        else:
            telling = other if sort == "cross_retelling" else lang
            second = self.retelling(telling, frame, form)
        pair = [tuple(first), tuple(second)]
        if rng.random() < 0.5:
            pair.reverse()
        return Document(tuple(pair), True, links(pair[0], pair[1]))

    def reworded(self, frame: Frame, form: Form) -> Form:
        """Another order for the same statement."""
        return self.form(frame)._replace(negated=form.negated)

    def retelling(self, lang: str, frame: Frame, form: Form) -> Words:
        """The frame again with less detail, in another order, or what it says of one noun."""
        rng = self.rng
        described = [np for np in (frame.agent, frame.object) if np is not None and np.adj]
        if described and rng.random() < 0.2:
            np = rng.choice(described)
            assert np.adj is not None
            if rng.random() < 0.5:
                return self.grammars[lang].attribute(NP(np.head), np.adj)
            return self.grammars[lang].attribute(NP(np.head), rng.choice(self.lexicon.rivals(np.adj)), True)
        again = self.retold(frame)
        return self.say(lang, again, self.reworded(again, form))

    def _pair(self) -> tuple[str, str]:
        """Two different languages."""
        rng = self.rng
        lang, other = rng.sample(LANGUAGES, 2)
        if rng.random() < PIVOT and "en" not in (lang, other):
            if rng.random() < 0.5:
                return "en", other
            return lang, "en"
        return lang, other

    def pairs(self, count: int) -> list[tuple[str, str]]:
        """``count`` translations (text, its translation), English on one side."""
        found = []
        for _ in range(count):
            frame = self.sampler.draw()
            lang = self.rng.choice(LANGUAGES[1:])
            found.append((spell(self.say("en", frame))[0], spell(self.say(lang, frame))[0]))
        return found

    def __iter__(self) -> Iterator[Document]:
        while True:
            yield self.document()


def joined(sentences: Sequence[Words]) -> Words:
    return [token for sentence in sentences for token in sentence]


def links(first: Sequence[Token], second: Sequence[Token]) -> tuple[tuple[int, int], ...]:
    """Which words say the same: the only ones of their slot and part of speech on either side."""

    def unique(words: Sequence[Token]) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], list[int]] = {}
        for i, t in enumerate(words):
            if t.slot:
                found.setdefault((t.slot, t.pos), []).append(i)
        return {key: at[0] for key, at in found.items() if len(at) == 1}

    theirs = unique(second)
    return tuple((i, theirs[key]) for key, i in unique(first).items() if key in theirs)
