"""What the builders of tasks share: ways to change a frame, and to say it."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from copy import copy

from xadapt.data.pocket.frames import NP, Frame, Sampler, split_of
from xadapt.data.pocket.grammar import PLAIN, Form, Grammar
from xadapt.data.pocket.lexicon import Lexicon
from xadapt.data.pocket.phrases import Token, spell

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SEASONS = ("summer", "winter", "spring", "autumn")
HOURS = ("morning", "noon", "evening", "night")
NEAR = ("today", "tomorrow")


class Maker:
    """One language's sentences and one generator's choices.

    Args:
        lexicon: the words.
        grammar: the language.
        rng: every choice; the same seed makes the same item in every language.
        split: the frames to use.
        names: see ``Sampler``.

    ``sampler`` draws frames of the split, ``free`` any: for what another frame puts into the split.
    """

    def __init__(
        self, lexicon: Lexicon, grammar: Grammar, rng: random.Random, split: str, names: float
    ) -> None:
        self.lexicon, self.grammar, self.rng = lexicon, grammar, rng
        self.split, self.sampler = split, Sampler(lexicon, rng, split, names)
        self.free = copy(self.sampler)
        self.free.split = None
        self.people = frozenset(lexicon.leaves("person"))

    def reseed(self, seed: str) -> None:
        """Begin an item."""
        self.rng = self.sampler.rng = self.free.rng = random.Random(seed)

    def owns(self, frame: Frame, asked: str | None = None) -> bool:
        """Is what is said of a changed frame this split's? A question hides the slot it asks for, so that
        questions on frames of two splits could be one text; the hash of what is left decides."""
        if asked is not None and isinstance(getattr(frame, asked), NP):
            frame = frame.put(asked, NP("?"))
        return split_of(frame) == self.split

    def owns_text(self, key: str) -> bool:
        """The same rule for what is no frame: eight keys of ten for training, one each for dev and test."""
        return ("train", "dev", "test")[max(0, zlib.crc32(key.encode()) % 10 - 7)] == self.split

    # --- saying -------------------------------------------------------------------------------------
    def text(self, tokens: Sequence[Token]) -> str:
        return spell(tokens)[0]

    def say(self, frame: Frame, form: Form = PLAIN) -> str:
        return spell(self.grammar.sentence(frame, form))[0]

    def told(self, frame: Frame) -> list[Token]:
        """The sentence in an affirmative form."""
        return self.grammar.sentence(frame, self.form(frame))

    def tell(self, frame: Frame) -> str:
        """The same as text."""
        return self.text(self.told(frame))

    def form(self, frame: Frame, plain: float = 0.5) -> Form:
        """An affirmative way to say a frame."""
        roll = self.rng.random()
        if roll < plain:
            return PLAIN
        fronts = [s for s in ("time", "place") if s in frame.slots()]
        if frame.object is not None and (not fronts or self.rng.random() < 0.5):
            return Form(object_first=True)
        return Form(front=self.rng.choice(fronts)) if fronts else PLAIN

    def by(self, agent: NP, frame: Frame) -> Frame | None:
        """The event with another agent; ``None`` where that one takes part in it already."""
        clash = any(np is not None and np.key() == agent.key() for np in (frame.object, frame.recipient))
        return None if clash else frame._replace(agent=agent)

    # --- less and more ------------------------------------------------------------------------------
    def broader(self, np: NP) -> NP:
        """One hypernym up, or further; without its adjective, which may not suit it. Roots and names stay."""
        ups = () if np.name else self.lexicon.ancestors(np.head)
        return NP(self.rng.choice(ups)) if ups else np

    def less(self, frame: Frame, drop: float, broaden: float, keep: str = "") -> Frame:
        """What a frame entails: modifiers dropped, one noun broadened. ``keep`` stays;
        with ``all``, only adjuncts may go."""
        rng = self.rng
        for slot in ("place", "time", "manner"):
            if (
                slot != keep
                and getattr(frame, slot) is not None
                and frame.verb != "live"
                and rng.random() < drop
            ):
                frame = frame.put(slot, None)
        if keep == "all":
            return frame
        nouns = [
            s for s in ("agent", "object", "recipient") if s != keep and isinstance(getattr(frame, s), NP)
        ]
        for slot in nouns:
            np = getattr(frame, slot)
            if np.adj and rng.random() < drop:
                frame = frame.put(slot, NP(np.head))
        if nouns and rng.random() < broaden:
            slot = rng.choice(nouns)
            frame = frame.put(slot, self.broader(getattr(frame, slot)))
        return frame

    def vague(self, frame: Frame, rate: float) -> Frame:
        """At the given rate, one noun broadened. An adjective that suits the hypernym stays."""
        filled = ((s, getattr(frame, s)) for s in ("agent", "object", "recipient"))
        nouns = [s for s, np in filled if np is not None and not np.name]
        if not nouns or self.rng.random() >= rate:
            return frame
        slot = self.rng.choice(nouns)
        np = getattr(frame, slot)
        up = self.broader(np).head
        return frame.put(slot, NP(up, np.adj if np.adj in self.lexicon.describes(up) else None))

    # --- what excludes ------------------------------------------------------------------------------
    def exclusive(self, time: str, other: str) -> bool:
        """Two days exclude each other, a day and an hour do not."""
        return time != other and any(time in g and other in g for g in (DAYS, SEASONS, HOURS, NEAR))

    def elsewhere(self, frame: Frame) -> NP:
        """A place that excludes the frame's: another leaf of places, another city."""
        assert frame.place is not None
        if frame.place.name:
            while True:
                place = self.sampler.location()
                if place != frame.place:
                    return place
        places = self.lexicon.arguments(frame.verb)[2]
        here = frame.place.head
        kin = {here, *self.lexicon.ancestors(here)}
        choices = [p for p in places if p not in kin] or ["forest", "kitchen"]
        return NP(self.rng.choice(choices))

    # --- swaps --------------------------------------------------------------------------------------
    def swappable(self, frame: Frame) -> str | None:
        """The slot that can change places with the agent."""
        if frame.agent.head == "org":
            return None
        if frame.recipient is not None:
            return "recipient" if self.is_person(frame.agent) else None
        other = frame.object
        if other is not None and self.grammar.animate(other) and other != frame.agent:
            return "object"
        return None

    def is_person(self, np: NP) -> bool:
        return np.head == "per" or (not np.name and "person" in (np.head, *self.lexicon.ancestors(np.head)))

    def swapped(self, frame: Frame) -> Frame:
        """Agent and patient (or recipient) exchanged, with their adjectives."""
        slot = self.swappable(frame)
        assert slot is not None
        return frame._replace(agent=getattr(frame, slot)).put(slot, frame.agent)

    def _movable(self, frame: Frame) -> bool:
        """Can an adjective of agent or object move to the other?"""
        a, o = frame.agent, frame.object
        if o is None or a.name or o.name or a.adj == o.adj:
            return False
        fits = self.lexicon.describes
        return (a.adj is None or a.adj in fits(o.head)) and (o.adj is None or o.adj in fits(a.head))

    def confusable(self, frame: Frame) -> bool:
        return bool(self.swappable(frame)) or self._movable(frame)

    def confused(self, frame: Frame) -> Frame:
        """Other roles or other attributes with the same words."""
        swap, move = self.swappable(frame), self._movable(frame)
        if move and (not swap or self.rng.random() < 0.5):
            assert frame.object is not None
            a, o = frame.agent, frame.object
            return frame._replace(agent=NP(a.head, o.adj), object=NP(o.head, a.adj))
        return self.swapped(frame)
