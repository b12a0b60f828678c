"""Choices from causes and from what is known of words: ``copa``, ``siqa``, ``cosmos_qa``, ``commonsense_qa``.

Wrong options are made of the same people and things as the right one: another verb, the same verb with
its roles exchanged, or what the other direction would have (the effect where the cause is asked).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from .causes import ROLES, RULES, STATES, bare, caused, effect_of, event, fits, leads_to
from .frames import NP, Frame
from .grammar import A_KIND_OF, AND, WH, Form
from .making import Maker
from .phrases import Token

Choice = tuple[str, str, tuple[str, ...], int]  # context, question, options, the right one
CAUSE, EFFECT = "cause", "effect"
# the verbs of each side, as often as the rules have them
SIDES = {CAUSE: tuple(r.cause for r in RULES), EFFECT: tuple(r.effect for r in RULES)}
WHY = {
    "en": "why",
    "de": "warum",
    "es": "por qué",
    "ru": "почему",
    "tr": "neden",
    "sw": "kwa nini",
    "hi": "क्यों",
}
# said after and: "and then?"
THEN = {
    "en": "then",
    "de": "dann",
    "es": "luego",
    "ru": "потом",
    "tr": "sonra",
    "sw": "kisha",
    "hi": "फिर",
}


def _words(text: str, slot: str = "cause") -> list[Token]:
    return [Token(w, "ADV", "O", slot) for w in text.split()]


def _and(make: Maker) -> list[Token]:
    return [Token(AND[make.grammar.language], "CCONJ", "O", "")]


def asks(make: Maker, direction: str) -> str:
    """``why?`` or ``and then?``"""
    lang = make.grammar.language
    tokens = _words(WHY[lang]) if direction == CAUSE else [*_and(make), *_words(THEN[lang])]
    return make.text(make.grammar.close(tokens, question=True))


def asks_of(make: Maker, frame: Frame, direction: str) -> str:
    """``why does the girl cry?`` or ``the girl cries and then?`` Why stands where when would."""
    lang, grammar = make.grammar.language, make.grammar
    if direction == EFFECT:
        tokens = [*grammar.clause(frame), *_and(make), *_words(THEN[lang])]
    else:
        asked = grammar.clause(replace(frame, time=None), Form(ask="time"))
        first = next(i for i, t in enumerate(asked) if t.slot == "time")
        kept = [t for t in asked if t.slot != "time"]
        tokens = [*kept[:first], *_words(WHY[lang]), *kept[first:]]
    return make.text(grammar.close(tokens, question=True))


def asks_about(make: Maker, np: NP) -> str:
    """``and the girl?``"""
    tokens = [*_and(make), *make.grammar.phrase(np, "nom", "agent")]
    return make.text(make.grammar.close(tokens, question=True))


# --- wrong options --------------------------------------------------------------------------------
def _linked(one: str, other: str, direction: str) -> bool:
    """Could ``other`` be the cause (or the effect) of ``one``, in the end?"""
    return one in leads_to(other) if direction == CAUSE else other in leads_to(one)


def other_verb(make: Maker, premise: Frame, right: Frame, direction: str) -> Frame | None:
    """The right option with a verb that does not bring it about (or does not come of it), as often as the
    rules have it on that side: else the verb alone would tell a wrong option from a right one."""
    kind = make.lexicon[right.verb].kind
    verbs = [
        v
        for v in SIDES[direction]
        if v not in (right.verb, premise.verb)
        and make.lexicon[v].kind == kind
        and not _linked(premise.verb, v, direction)
    ]
    if not verbs:
        return None
    nouns = [(s, np) for s in ("agent", "object") if (np := getattr(right, s)) is not None]
    make.rng.shuffle(verbs)
    fit = (v for v in verbs if all(fits(make, v, s, np) for s, np in nouns))
    return replace(right, verb=next(fit, verbs[0]))


def other_roles(make: Maker, premise: Frame, right: Frame) -> Frame | None:
    """The right option with its roles exchanged, or done by another person of the premise."""
    if right.object is not None and make.is_person(right.agent) and make.is_person(right.object):
        return replace(right, agent=right.object, object=right.agent)
    taken = {np.key() for s in ROLES if (np := getattr(right, s)) is not None}
    people = [
        bare(np)
        for s in ROLES
        if (np := getattr(premise, s)) is not None and np.key() not in taken and make.grammar.animate(np)
    ]
    return replace(right, agent=make.rng.choice(people)) if people else None


def _event(make: Maker) -> tuple[str, Frame, Frame, Frame | None]:
    """(direction, premise, right option, what the other direction would have)."""
    direction = make.rng.choice((CAUSE, EFFECT))
    if make.rng.random() < 0.2:  # a chain of three: either end is the other's wrong option
        ends = {r.effect for r in RULES} & {r.cause for r in RULES}
        while True:
            first, middle = caused(make, EFFECT, tuple(r for r in RULES if r.effect in ends))
            onward = make.rng.choice([r for r in RULES if r.cause == middle.verb])
            last = effect_of(make, onward, middle)
            right, wrong = (first, last) if direction == CAUSE else (last, first)
            if right is None or wrong is None or _linked(middle.verb, wrong.verb, direction):
                continue
            return direction, middle, _plain(right), _plain(wrong)
    cause, effect = caused(make, EFFECT if direction == CAUSE else CAUSE)
    premise, right = (effect, cause) if direction == CAUSE else (cause, effect)
    return direction, premise, _plain(right), None


def _plain(frame: Frame) -> Frame:
    """The event alone: an option says neither where nor when."""
    for slot in ROLES:
        np = getattr(frame, slot)
        frame = frame if np is None else frame.put(slot, bare(np))
    return replace(frame, place=None, time=None, manner=None)


def _wrong(
    make: Maker, direction: str, premise: Frame, right: Frame, back: Frame | None, count: int
) -> list[Frame]:
    """``count`` wrong options, of mixed sorts; fewer where there are none."""
    rng = make.rng
    first = back
    if back is None and rng.random() < 0.45:
        first = other_roles(make, premise, right)
    found: list[Frame] = []
    for _ in range(4 * count):
        wrong = first or other_verb(make, premise, right, direction)
        first = None
        if rng.random() < 0.3 and wrong is not None:
            wrong = other_roles(make, premise, wrong) or wrong
        if wrong is not None and wrong not in (right, premise, *found) and len(found) < count:
            found.append(wrong)
    return found


def _shuffled(make: Maker, options: list[str]) -> tuple[tuple[str, ...], int]:
    """The options in any order; the first was the right one."""
    order = make.rng.sample(range(len(options)), len(options))
    return tuple(options[i] for i in order), order.index(0)


# --- tasks ----------------------------------------------------------------------------------------
def copa(make: Maker) -> Choice:
    """A premise, its cause or its effect, two options."""
    while True:
        direction, premise, right, back = _event(make)
        wrong = _wrong(make, direction, premise, right, back, 1)
        if wrong:
            options, label = _shuffled(make, [make.say(f) for f in (right, *wrong)])
            return make.say(premise, make.form(premise)), asks(make, direction), options, label


def siqa(make: Maker) -> Choice:
    """Why somebody did it, what comes next, or how somebody is; three answers."""
    rng = make.rng
    if rng.random() < 0.3:
        return _state(make)
    while True:
        direction, premise, right, back = _event(make)
        wrong = _wrong(make, direction, premise, right, back, 2)
        if len(wrong) == 2:
            options, label = _shuffled(make, [make.say(f) for f in (right, *wrong)])
            return make.say(premise, make.form(premise)), asks_of(make, premise, direction), options, label


def _state(make: Maker) -> Choice:
    """How is he who does it, or to whom it is done? The opposite, and something else."""
    rng = make.rng
    (verb, slot), adj = rng.choice(list(STATES.items()))
    while True:
        frame = event(make, verb)
        np = getattr(frame, slot)
        if not make.is_person(np) or np.adj:
            continue
        rivals = make.lexicon.rivals(adj)
        free = [a for a in dict.fromkeys(STATES.values()) if a != adj and a not in rivals]
        options = [adj, rng.choice(rivals), rng.choice(free)]
        said = [make.text(make.grammar.attribute(np, a)) for a in options]
        return make.say(frame, make.form(frame)), asks_about(make, np), *_shuffled(make, said)


def cosmos(make: Maker) -> Choice:
    """A story of three or four sentences; the answer is not among them, one wrong option is."""
    rng = make.rng
    while True:
        direction, premise, right, back = _event(make)
        told = [premise]
        for _ in range(rng.randint(2, 3)):
            other = event(make)
            if rng.random() < 0.5:
                shared = replace(other, agent=bare(premise.agent))
                clash = [
                    np for np in (other.object, other.recipient) if np and np.key() == premise.agent.key()
                ]
                other = other if clash or not make.owns(shared) else shared
            told.append(other)
        copied = _plain(told[-1])
        linked = [_linked(premise.verb, f.verb, direction) for f in told[1:]]
        wrong = _wrong(make, direction, premise, right, back, 2)
        if any(linked) or len(wrong) < 2 or copied in (right, *wrong):
            continue
        rng.shuffle(told)
        options, label = _shuffled(make, [make.say(f) for f in (right, *wrong, copied)])
        context = " ".join(make.say(f, make.form(f)) for f in told)
        return context, asks_of(make, replace(premise, place=None), direction), options, label


# --- what is known of words -------------------------------------------------------------------------
def concepts(make: Maker) -> Choice:
    """Who does it, to what, where, or what it is; five options, one of which is so."""
    sort = make.rng.choice(("agent", "object", "place", "isa"))
    return _isa(make) if sort == "isa" else _role(make, sort)


@cache
def _narrow(people: frozenset[str], taken: tuple[str, ...], at: int) -> bool:
    """Does a verb take some people and not others in that role, and not just anything?"""
    return bool(taken) and not people <= set(taken) and (at != 0 or not people.isdisjoint(taken))


def _role(make: Maker, slot: str) -> Choice:
    """Only one of the five does this, is done this to, or is where this is done. Wrong ones are drawn from
    what other verbs take in that role, so that they are right elsewhere just as often; of people and
    animals, two at least are people where the right one is."""
    rng, sampler, lexicon = make.rng, make.sampler, make.lexicon
    at = ("agent", "object", "place").index(slot)
    verbs = [v for v in sampler.verbs if _narrow(make.people, sampler.arguments(v)[at], at)]

    def sort(noun: str) -> str:
        return "person" if noun in make.people else lexicon[noun].kind

    while True:
        verb = rng.choice(verbs)
        frame = event(make, verb, rate=0.0)
        value = getattr(frame, slot)
        if slot == "place":
            value = NP(rng.choice(sampler.arguments(verb)[2]))
        if value is None or value.name:
            continue
        fit = {*sampler.arguments(verb)[at], *_heads(frame)}
        kin: list[str] = []
        wrong: list[str] = []
        for _ in range(60):
            n = rng.choice(sampler.arguments(rng.choice(verbs))[at])
            if n not in fit and n not in kin and n not in wrong:
                (kin if sort(n) == sort(value.head) else wrong).append(n)
            if len(kin) > 2 and len(kin) + len(wrong) > 3:
                break
        if len(kin) < 3 or len(kin) + len(wrong) < 4:
            continue
        wrong = [*kin[:3], *[*kin[3:], *wrong][:1]]
        asked = _plain(frame).put(slot, value)
        case = "loc" if slot == "place" else "nom"
        said = [make.text(make.grammar.phrase(NP(n), case, slot)) for n in (value.head, *wrong)]
        options, label = _shuffled(make, said)
        return "", make.say(asked, Form(ask=slot)), options, label


def _heads(frame: Frame) -> set[str]:
    return {np.head for s in ROLES if (np := getattr(frame, s)) is not None}


def _isa(make: Maker) -> Choice:
    """What is it? One hypernym among five."""
    rng, lexicon = make.rng, make.lexicon
    nouns = [n for k in ("being", "thing", "place") for n in lexicon.by_kind[k]]
    uppers = [n for n in nouns if lexicon.children(n)]
    while True:
        noun = rng.choice(nouns)
        ups = lexicon.ancestors(noun)
        if not ups:
            continue
        right = rng.choice(ups)
        # who asks for the same of the same noun in two splits would hand the answer over
        if not make.owns_text(f"isa|{noun}|{right}"):
            continue
        wrong = rng.sample([n for n in uppers if n != noun and n not in ups], 4)
        said = [make.text(make.grammar.phrase(NP(n), "nom", "agent")) for n in (right, *wrong)]
        options, label = _shuffled(make, said)
        return "", what_is(make, noun), options, label


def what_is(make: Maker, noun: str) -> str:
    """``what is the apple?``: the sentence of a definition, with what in the hypernym's place."""
    lang = make.grammar.language
    subject = list(make.grammar.phrase(NP(noun), "nom", "agent"))
    what = [Token(WH[lang]["thing"], "PRON", "O", "attribute")]
    link = [Token(w, "AUX", "O", "attribute") for w in A_KIND_OF[lang].split()]
    if lang in ("en", "de", "es"):
        tokens = [*what, *link, *subject]
    elif lang == "hi":
        tokens = [*subject, *what, *link]
    else:
        tokens = [*subject, *link, *what]
    return make.text(make.grammar.close(tokens, question=True))
