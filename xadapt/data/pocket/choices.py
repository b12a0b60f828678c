"""Choices between events: what brought about what is told, or what comes of it.

``copa``, ``xcopa``, ``siqa``, ``cosmos_qa``, ``hellaswag`` and ``commonsense_qa`` all ask for the same
knowledge, ``RULES``, each in the form of the task that it is named after. Wrong options are what other rules
make of the same people and things, or the right one with its roles exchanged: each is a sound sentence, and
a right option elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from xadapt.data.pocket.frames import NP, Frame
from xadapt.data.pocket.grammar import Form
from xadapt.data.pocket.lexicon import Lexicon
from xadapt.data.pocket.making import Maker

Choice = tuple[str, str, tuple[str, ...], int]  # context, question, options, the right one
ROLES = ("agent", "object", "recipient")
CAUSE, EFFECT = "cause", "effect"
NAMED, DESCRIBED = 0.25, 0.3  # how often people have names, nouns of what is told an adjective
EXCHANGED = 0.4  # how often a wrong option is the right one with its roles exchanged
TRIES = 50  # of nouns, before other rules are drawn


@dataclass(frozen=True, slots=True)
class Side:
    """One half of a rule: a verb, and a letter for each of its agent, object and recipient."""

    verb: str
    letters: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of event brings about another. A letter that stands on both sides is the same person or
    thing; one that stands on one side only is somebody else."""

    cause: Side
    effect: Side

    def sides(self, asked: str) -> tuple[Side, Side]:
        """What is told and what is asked for."""
        return (self.effect, self.cause) if asked == CAUSE else (self.cause, self.effect)


# Agent A, object O, recipient R, somebody new N.
RULES = tuple(
    Rule(*(Side(*side.split()) for side in line.split(" > ")))
    for line in (
        "want AO > buy AO",
        "want AO > seek AO",
        "lose AO > seek AO",
        "lose AO > cry A",
        "seek AO > find AO",
        "hide AO > seek NO",
        "steal AO > hide AO",
        "steal AO > catch NA",
        "break AO > repair NO",
        "hit AO > cry O",
        "push AO > cry O",
        "praise AO > laugh O",
        "rescue AO > love OA",
        "give AOR > praise RA",
        "show AOR > see RO",
        "send AOR > read RO",
        "bring AOR > eat RO",
        "bring AOR > drink_v RO",
        "prepare AO > eat NO",
        "prepare AO > drink_v NO",
        "cut AO > eat NO",
        "wash AO > cut NO",
        "buy AO > drive AO",
        "repair AO > drive NO",
        "write AO > send AON",
        "write AO > read NO",
        "open AO > close NO",
        "paint AO > sell AON",
        "draw AO > show AON",
        "play AO > hear NO",
        "call AO > run O",
        "feed AO > sleep O",
        "carry AO > rest A",
        "pull AO > rest A",
        "clean AO > rest A",
    )
)


@cache
def alike(rule: Rule) -> tuple[Rule, ...]:
    """The rules with as many in the cause, in the effect and in both, so that answers are equally long."""

    def shape(one: Rule) -> tuple[int, int, int]:
        cause, effect = one.cause.letters, one.effect.letters
        return len(cause), len(effect), len(set(cause) & set(effect))

    return tuple(other for other in RULES if shape(other) == shape(rule))


@cache
def leads_to(verb: str) -> frozenset[str]:
    """All that may come of a verb, directly or in the end."""
    found: frozenset[str] = frozenset()
    new = frozenset({verb})
    while new:
        new = frozenset(r.effect.verb for r in RULES if r.cause.verb in new) - found
        found |= new
    return found


def answers(asked: str, verb: str, premise: str) -> bool:
    """May an event of ``verb`` be the cause (or the effect) of the premise's?"""
    return premise in leads_to(verb) if asked == CAUSE else verb in leads_to(premise)


# --- events ---------------------------------------------------------------------------------------
def takers(lexicon: Lexicon, verb: str, slot: str) -> tuple[str, ...]:
    """The nouns that a verb takes in a role."""
    if slot == "recipient":
        return lexicon.leaves("person")
    return lexicon.arguments(verb)[ROLES.index(slot)]


def drawn(make: Maker, nouns: Sequence[str]) -> NP:
    """One of the nouns, or somebody by name where one of them is a person."""
    if make.rng.random() < NAMED and not make.people.isdisjoint(nouns):
        return make.sampler.person()
    return NP(make.rng.choice(nouns))


@lru_cache(maxsize=10_000)
def suitable(lexicon: Lexicon, asked: str, rules: tuple[Rule, ...]) -> list[list[str]] | None:
    """The nouns with which all the rules may be put: for each role of the first rule's told side those
    that its verb takes and every rule's answer as well. ``None`` where there are none, or where one
    rule's answer is another's too."""
    told, _ = rules[0].sides(asked)
    nouns = [list(takers(lexicon, told.verb, slot)) for slot, _ in zip(ROLES, told.letters, strict=False)]
    for rule in rules:
        told, side = rule.sides(asked)
        others = [other.sides(asked) for other in rules if other is not rule]
        if any(
            side.verb in (theirs.verb, answer.verb) or answers(asked, side.verb, theirs.verb)
            for theirs, answer in others
        ):
            return None
        for slot, letter in zip(ROLES, side.letters, strict=False):
            if letter in told.letters:
                taken, at = takers(lexicon, side.verb, slot), told.letters.index(letter)
                nouns[at] = [n for n in nouns[at] if n in taken]
    return nouns if all(nouns) else None


def event(make: Maker, side: Side, known: Mapping[str, NP]) -> Frame:
    """A side's event; letters that are not ``known`` are somebody new."""
    nouns = {
        slot: known.get(letter) or drawn(make, takers(make.lexicon, side.verb, slot))
        for slot, letter in zip(ROLES, side.letters, strict=False)
    }
    return Frame(side.verb, nouns["agent"], nouns.get("object"), nouns.get("recipient"))


def filled(frame: Frame) -> list[NP]:
    """Who and what takes part, in the order of ``ROLES``."""
    return [np for slot in ROLES if (np := getattr(frame, slot)) is not None]


def doubled(frames: Sequence[Frame]) -> bool:
    """Is somebody there twice, in one event or under a name that another bears in part?"""
    everybody = {np for frame in frames for np in filled(frame)}
    parts = [part for np in everybody for part in np.name or (np.head,)]
    return len(set(parts)) < len(parts) or any(len(set(filled(f))) < len(filled(f)) for f in frames)


def exchanged(make: Maker, right: Frame) -> Frame | None:
    """Agent and object in each other's role, where the verb takes them."""
    if right.object is None:
        return None
    for np, slot in ((right.object, "agent"), (right.agent, "object")):
        taken = takers(make.lexicon, right.verb, slot)
        if make.people.isdisjoint(taken) if np.name else np.head not in taken:
            return None
    return right._replace(agent=right.object, object=right.agent)


def problem(make: Maker, asked: str, count: int) -> tuple[Frame, list[Frame]]:
    """What is told and ``count`` possible answers, the right one first.

    The rules are drawn before the nouns, and nouns that all their answers take: so each rule's answer is
    wrong about as often as it is right, and the options alone tell little of which it is.
    """
    rng = make.rng
    while True:
        group = alike(rng.choice(RULES))
        if len(group) < count:
            continue
        rules = tuple(rng.sample(group, count))
        nouns = suitable(make.lexicon, asked, rules)
        for _ in range(TRIES if nouns else 0):
            told, side = rules[0].sides(asked)
            known = [drawn(make, choices) for choices in nouns or ()]
            premise = event(make, told, dict(zip(told.letters, known, strict=True)))
            options = []
            for rule in rules:
                told, side = rule.sides(asked)
                options.append(event(make, side, dict(zip(told.letters, known, strict=True))))
            if rng.random() < EXCHANGED:
                options[1] = exchanged(make, options[0]) or options[1]
            # in training the answer is a training frame too
            owned = make.owns(premise) and (make.split != "train" or make.owns(options[0]))
            if owned and not doubled([premise, *options]):
                return premise, options


def detailed(make: Maker, frame: Frame) -> Frame:
    """With adjectives, a place, a time, a manner, as a drawn frame of that verb has them."""
    other = make.free.draw(verb=frame.verb, rate=0.6)
    for slot in ROLES:
        np = getattr(frame, slot)
        if np is not None and not np.name and make.rng.random() < DESCRIBED:
            frame = frame.put(slot, NP(np.head, make.sampler.adjective(np.head)))
    return frame._replace(place=other.place, time=other.time, manner=other.manner)


# --- tasks ----------------------------------------------------------------------------------------
def question(make: Maker, how: str, premise: Frame, asked: str) -> str:
    """``briefly``: ``why?`` or ``and then?``; ``wholly``: ``why does the girl cry?`` or ``the girl cries
    and then?``, why where when would stand."""
    grammar = make.grammar
    why = grammar.words("why", "ADV")
    then = [*grammar.words("and", "CCONJ"), *grammar.words("then", "ADV")]
    if not how:
        return ""
    if how == "briefly":
        tokens = why if asked == CAUSE else then
    elif asked == EFFECT:
        tokens = [*grammar.clause(premise), *then]
    else:
        clause = grammar.clause(premise._replace(time=None), Form(ask="time"))
        at = next(i for i, t in enumerate(clause) if t.slot == "time")
        tokens = [*clause[:at], *why, *(t for t in clause[at:] if t.slot != "time")]
    return make.text(grammar.close(tokens, question=True))


@dataclass(frozen=True, slots=True)
class Asking:
    """How a task puts its items.

    Attributes:
        options: how many to choose from.
        question: ``briefly``, ``wholly``, or none: what comes of it goes without saying.
        story: whether the context tells more than the premise, one of the wrong options among it.
        alone: whether there is no context; the question says it all.
    """

    options: int
    question: str
    story: bool = False
    alone: bool = False


ASKINGS = {
    "copa": Asking(2, "briefly"),
    "siqa": Asking(3, "wholly"),
    "cosmos_qa": Asking(4, "wholly", story=True),
    "hellaswag": Asking(4, ""),
    "commonsense_qa": Asking(5, "wholly", alone=True),
}


def choice(make: Maker, asking: Asking) -> Choice:
    """One item: something of this split, its cause or its effect among the options."""
    rng = make.rng
    asked = rng.choice((CAUSE, EFFECT)) if asking.question else EFFECT
    premise, options = problem(make, asked, asking.options)
    premise = detailed(make, premise)
    told = [premise]
    if asking.story:
        # a wrong option of the story's own, and a sentence that nothing is asked about
        told += [detailed(make, options[-1]), make.sampler.draw(rate=0.6)]
        rng.shuffle(told)
    context = "" if asking.alone else " ".join(make.tell(f) for f in told)
    order = rng.sample(range(len(options)), len(options))
    said = tuple(make.say(options[i]) for i in order)
    return context, question(make, asking.question, premise, asked), said, order.index(0)
