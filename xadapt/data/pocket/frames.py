"""Frames: who does what to whom, where, when and how, in no language.

Frames are drawn with the lexicon's affinities, so that a cook cuts carrots in a kitchen and does not
read them. A frame belongs to one split for ever: ``split_of`` hashes its core (verb, agent, object),
so frames that differ in a modifier only never fall on two sides.
"""

from __future__ import annotations

import random
import zlib
from typing import NamedTuple

from xadapt.data.pocket.lexicon import Lexicon

ORG_VERBS = ("buy", "sell", "send", "repair", "want", "seek", "praise", "show")
NAMED_AGENTS, NAMED_OBJECTS, NAMED_PLACES, FULL_NAMES = 0.25, 0.2, 0.25, 0.5


class NP(NamedTuple):
    """A noun with at most one adjective, or a name.

    Attributes:
        head: the noun's concept; ``per``, ``loc`` or ``org`` for a name.
        adj: the adjective's concept.
        name: the name's parts, as concepts.
    """

    head: str
    adj: str | None = None
    name: tuple[str, ...] = ()

    def key(self) -> str:
        return "+".join(self.name) or self.head


class Frame(NamedTuple):
    """One event. ``place`` is a place or a LOC name; ``org`` the employer where the verb has one."""

    verb: str
    agent: NP
    object: NP | None = None
    recipient: NP | None = None
    org: NP | None = None
    place: NP | None = None
    time: str | None = None
    manner: str | None = None

    def put(self, slot: str, value: NP | str | None) -> Frame:
        """The frame with another value in ``slot``; ``None`` empties it."""
        return self._replace(**{slot: value})  # type: ignore[arg-type]

    def slots(self) -> tuple[str, ...]:
        """The filled slots besides the verb."""
        return tuple(
            name for name, value in zip(self._fields[1:], self[1:], strict=True) if value is not None
        )


def split_of(frame: Frame) -> str:
    """``train`` for eight of ten cores, ``dev`` and ``test`` for one each; stable for ever."""
    other = frame.object or frame.org or (frame.place if frame.verb == "live" else None)
    core = f"{frame.verb}|{frame.agent.key()}|{other.key() if other else ''}"
    return ("train", "dev", "test")[max(0, zlib.crc32(core.encode()) % 10 - 7)]


class Sampler:
    """Draws frames with a given ``random.Random``: equal seeds give equal frames.

    Args:
        lexicon: the words.
        rng: the source of all its choices.
        split: which frames to keep; ``None`` keeps all.
        names: the share of names it may use. Training text of the tasks uses ``0.75``, so that the
            tests hold names that no training example showed.
    """

    def __init__(
        self, lexicon: Lexicon, rng: random.Random, split: str | None = None, names: float = 1.0
    ) -> None:
        self.lexicon, self.rng, self.split = lexicon, rng, split
        self.verbs = tuple(v for k in ("vt", "vt", "vi", "vd", "vd", "vl", "vo") for v in lexicon.by_kind[k])
        self._names = {
            kind: lexicon.by_kind[kind][: max(1, round(len(lexicon.by_kind[kind]) * names))]
            for kind in ("per", "sur", "loc", "org", "orgtype")
        }
        self._adjectives = {n: lexicon.describes(n) for k in ("being", "thing") for n in lexicon.by_kind[k]}

    def person(self) -> NP:
        rng, names = self.rng, self._names
        given = rng.choice(names["per"])
        if rng.random() < FULL_NAMES:
            return NP("per", None, (given, rng.choice(names["sur"])))
        return NP("per", None, (given,))

    def location(self) -> NP:
        return NP("loc", None, (self.rng.choice(self._names["loc"]),))

    def company(self) -> NP:
        rng, names = self.rng, self._names
        kind = "sur" if rng.random() < 0.4 else "org"
        return NP("org", None, (rng.choice(names[kind]), rng.choice(names["orgtype"])))

    def adjective(self, noun: str) -> str | None:
        choices = self._adjectives.get(noun, ())
        return self.rng.choice(choices) if choices else None

    def noun(self, choices: tuple[str, ...], adjective: float) -> NP:
        head = self.rng.choice(choices)
        adj = self.adjective(head) if self.rng.random() < adjective else None
        return NP(head, adj)

    def _draw(self, verb: str | None, rate: float) -> Frame:
        rng, lexicon = self.rng, self.lexicon
        verb = verb or rng.choice(self.verbs)
        kind = lexicon[verb].kind
        agents, objects, places = lexicon.arguments(verb)
        obj = recipient = org = time = manner = None
        roll = rng.random()
        if verb in ORG_VERBS and roll > 0.85:
            agent = self.company()
        elif roll < NAMED_AGENTS:
            agent = self.person()
        else:
            agent = self.noun(agents, 0.45 * rate)
        if kind in ("vt", "vd"):
            obj = self.noun(_without(objects, agent.head), 0.5 * rate)
            if lexicon[obj.head].kind == "being" and kind == "vt" and rng.random() < NAMED_OBJECTS:
                obj = self.person()
            if obj.name and obj.name[0] in agent.name:
                return self._draw(verb, rate)
        if kind == "vd":
            named = rng.random() < NAMED_OBJECTS
            if named:
                recipient = self.person()
            else:
                people = _without(lexicon.leaves("person"), agent.head)
                recipient = self.noun(_without(people, obj.head if obj else ""), 0.0)
            if named and recipient.name[0] in agent.name:
                return self._draw(verb, rate)
        if kind == "vo":
            org = self.company()
        if kind == "vl":
            return Frame(verb, agent, org=org, place=self.location())
        place = None
        if rng.random() < 0.6 * rate + 0.1:
            named = not places or rng.random() < NAMED_PLACES
            place = self.location() if named else NP(rng.choice(places))
        if rng.random() < 0.45 * rate + 0.05:
            time = rng.choice(lexicon.by_kind["time"])
        if rng.random() < 0.25 * rate:
            manner = rng.choice(lexicon.by_kind["manner"])
        return Frame(verb, agent, obj, recipient, org, place, time, manner)

    def draw(self, verb: str | None = None, rate: float = 1.0) -> Frame:
        """One frame of the sampler's split.

        Args:
            verb: its verb; any by default.
            rate: how freely modifiers are added; 0 gives almost bare frames.
        """
        while True:
            frame = self._draw(verb, rate)
            if self.split is None or split_of(frame) == self.split:
                return frame


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(n for n in names if n != name) if name in names else names
