"""What brings about what in the pocket world, and how those whom it befalls are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .frames import NP, Frame
from .making import Maker

ROLES = ("agent", "object", "recipient")


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of event brings about another.

    Attributes:
        cause, effect: the verbs.
        roles: for agent, object and recipient of the effect, the cause's slot that fills it;
            ``new`` for somebody else, ``-`` for nobody.
        only: what the cause's object must be, where the verbs' own lists do not say it.
    """

    cause: str
    effect: str
    roles: tuple[str, str, str]
    only: tuple[str, ...] = ()


def _rule(line: str) -> Rule:
    cause, effect, roles, *only = line.split()
    agent, thing, recipient = roles.split(",")
    return Rule(cause, effect, (agent, thing, recipient), tuple(only[0].split(",")) if only else ())


RULES = tuple(
    _rule(line)
    for line in (
        "want buy agent,object,-",
        "want seek agent,object,-",
        "lose seek agent,object,-",
        "lose cry agent,-,-",
        "seek find agent,object,-",
        "hide seek new,object,-",
        "steal hide agent,object,-",
        "steal catch new,agent,-",
        "break repair new,object,-",
        "hit cry object,-,- person",
        "hit run object,-,- animal",
        "push cry object,-,- person",
        "praise laugh object,-,- person",
        "rescue love object,agent,-",
        "give praise recipient,agent,-",
        "show see recipient,object,-",
        "send read recipient,object,-",
        "bring eat recipient,object,-",
        "bring drink_v recipient,object,-",
        "prepare eat new,object,-",
        "prepare drink_v new,object,-",
        "cut eat new,object,-",
        "wash cut new,object,-",
        "buy drive agent,object,-",
        "repair drive new,object,-",
        "write send agent,object,new",
        "write read new,object,-",
        "open read agent,object,- letter,book",
        "open close new,object,- door,window",
        "paint show agent,object,new picture",
        "paint sell agent,object,- picture",
        "play hear new,object,-",
        "play dance new,-,-",
        "call run object,-,-",
        "feed sleep object,-,-",
        "see run agent,-,- lion,bear,wolf",
        "work rest agent,-,-",
        "carry rest agent,-,-",
        "pull rest agent,-,-",
        "swim sleep agent,-,-",
        "clean rest agent,-,-",
    )
)

# how somebody is who does it, or to whom it is done
STATES = {
    ("hit", "object"): "sad",
    ("push", "object"): "sad",
    ("praise", "object"): "happy",
    ("rescue", "object"): "happy",
    ("lose", "agent"): "sad",
    ("find", "agent"): "happy",
    ("steal", "agent"): "bad",
    ("hit", "agent"): "bad",
    ("break", "agent"): "bad",
    ("cry", "agent"): "sad",
    ("laugh", "agent"): "happy",
    ("dance", "agent"): "happy",
    ("give", "recipient"): "happy",
    ("give", "agent"): "good",
    ("rescue", "agent"): "good",
    ("feed", "agent"): "good",
    ("carry", "agent"): "strong",
    ("pull", "agent"): "strong",
    ("push", "agent"): "strong",
    ("read", "agent"): "clever",
    ("write", "agent"): "clever",
    ("teach", "agent"): "clever",
    ("rest", "agent"): "weak",
    ("wait", "agent"): "sad",
}


@cache
def leads_to(verb: str) -> frozenset[str]:
    """All that may come of a verb, directly or in the end."""
    found: frozenset[str] = frozenset()
    new = frozenset({verb})
    while new:
        new = frozenset(r.effect for r in RULES if r.cause in new) - found
        found |= new
    return found


def fits(make: Maker, verb: str, slot: str, np: NP) -> bool:
    """Does the verb take it in that role? Names stand for people."""
    if slot == "recipient":
        return make.is_person(np)
    taken = make.sampler.arguments(verb)[0 if slot == "agent" else 1]
    if not np.name:
        return np.head in taken
    return np.head == "per" and not make.people.isdisjoint(taken)


def _somebody(make: Maker, verb: str, slot: str) -> NP:
    """Somebody who is not in the cause; whoever it is, the verb takes it."""
    rng, sampler = make.rng, make.sampler
    if slot == "recipient":
        taken = make.lexicon.leaves("person")
    else:
        taken = sampler.arguments(verb)[0 if slot == "agent" else 1]
    if rng.random() < 0.25 and not make.people.isdisjoint(taken):
        return sampler.person()
    return NP(rng.choice(taken))


def bare(np: NP) -> NP:
    """Without its adjective."""
    return np if np.name else NP(np.head)


def effect_of(make: Maker, rule: Rule, cause: Frame) -> Frame | None:
    """What the rule makes of an event; ``None`` where it does not hold, and in training where it makes no
    training frame."""
    if rule.only:
        thing = cause.object
        if thing is None:
            return None
        heads = (thing.head, *(() if thing.name else make.lexicon.ancestors(thing.head)))
        person = thing.name and "person" in rule.only
        if not person and not set(heads) & set(rule.only):
            return None
    filled: dict[str, NP] = {}
    for slot, source in zip(ROLES, rule.roles, strict=True):
        if source == "-":
            continue
        if source == "new":
            np = _somebody(make, rule.effect, slot)
            before = [getattr(cause, s) for s in ROLES]
            if any(n is not None and (n.key() == np.key() or set(n.name) & set(np.name)) for n in before):
                return None
        else:
            there = getattr(cause, source)
            if there is None or not fits(make, rule.effect, slot, there):
                return None
            np = bare(there)
        filled[slot] = np
    if len({np.key() for np in filled.values()}) < len(filled):
        return None
    effect = Frame(rule.effect, filled["agent"], filled.get("object"), filled.get("recipient"))
    return effect if make.split != "train" or make.owns(effect) else None


def event(make: Maker, verb: str | None = None, rate: float = 0.6, free: bool = False) -> Frame:
    """An event that somebody brings about, no company; of this split unless ``free``."""
    sampler = make.free if free else make.sampler
    while True:
        frame = sampler.draw(verb=verb, rate=rate)
        if frame.agent.head != "org":
            return frame


def caused(make: Maker, told: str, rules: tuple[Rule, ...] = RULES) -> tuple[Frame, Frame]:
    """(cause, effect); every rule alike likely. The side that is ``told`` is of this split, ``cause`` or
    ``effect``; in training both are."""
    free = told == "effect" and make.split != "train"
    while True:
        rule = make.rng.choice(rules)
        for _ in range(60):
            cause = event(make, rule.cause, free=free)
            effect = effect_of(make, rule, cause)
            if effect is not None and (told == "cause" or make.owns(effect)):
                return cause, effect
