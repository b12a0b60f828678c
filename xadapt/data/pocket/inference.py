"""Pairs of sentences from frames: inference (``nli``) and paraphrase (``paraphrase``, ``questions``).

Builders take a ``Maker`` and draw from its generator only, never looking at words, so that one seed
gives the same item in every language.
"""

from __future__ import annotations

from xadapt.data.pocket.frames import NP, Frame
from xadapt.data.pocket.grammar import Form
from xadapt.data.pocket.making import Maker

Pair = tuple[str, str, str]  # text, pair, label
ENTAILED, NEUTRAL, CONTRADICTED = "entailment", "neutral", "contradiction"
ADJUNCTS = ("place", "time", "manner")


# --- inference ------------------------------------------------------------------------------------
def nli(make: Maker) -> Pair:
    """Premise, hypothesis, label. One item in four is about an attribute, one in eight denies."""
    label = make.rng.choice((ENTAILED, NEUTRAL, CONTRADICTED))
    while True:
        frame = make.sampler.draw()
        roll = make.rng.random()
        if roll < 0.25:
            pair = _attribute(make, frame, label)
        elif roll < 0.37:
            pair = _denied(make, frame, label)
        else:
            pair = _event(make, frame, label)
        if pair is not None and pair[0] != pair[1]:
            return (*pair, label)


def _attribute(make: Maker, frame: Frame, label: str) -> tuple[str, str] | None:
    """The hypothesis says what one of the nouns is, or is not."""
    rng, lexicon = make.rng, make.lexicon
    described = [np for np in (frame.agent, frame.object) if np is not None and np.adj]
    if not described:
        return None
    np = rng.choice(described)
    assert np.adj is not None
    rivals, denies = lexicon.rivals(np.adj), rng.random() < 0.5
    if label == NEUTRAL:
        free = [a for a in lexicon.describes(np.head) if a != np.adj and a not in rivals]
        if not free:
            return None
        adj = rng.choice(free)
    else:
        adj = rng.choice(rivals) if (label == ENTAILED) == denies else np.adj
    head = make.broader(NP(np.head)).head if rng.random() < 0.3 else np.head
    premise = make.tell(frame)
    return premise, make.text(make.grammar.attribute(NP(head), adj, denies))


def _denied(make: Maker, frame: Frame, label: str) -> tuple[str, str] | None:
    """The premise denies the event: what is dropped stays open, what is kept stays denied."""
    rng = make.rng
    held = [s for s in ADJUNCTS if s in frame.slots() and not (s == "place" and frame.verb == "live")]
    deny = make.say(frame, make.form(frame)._replace(negated=True))
    if label == NEUTRAL:
        if not held:
            return None
        less = frame.put(rng.choice(held), None)
        return deny, make.say(less, make.form(less)._replace(negated=rng.random() < 0.5))
    other = make.form(frame)._replace(negated=label == ENTAILED)
    return deny, make.say(frame, other)


def _event(make: Maker, frame: Frame, label: str) -> tuple[str, str] | None:
    """The hypothesis tells of the same event: less, something against it, or more."""
    rng = make.rng
    # hypernyms on both sides at times: else a hypernym in the hypothesis alone would give the label away
    frame = make.vague(frame, 0.2 if label == ENTAILED else 0.45)
    if not make.owns(frame):
        return None
    if label == ENTAILED:
        told, hypothesis = frame, make.less(frame, drop=0.35, broaden=0.7)
        if hypothesis == told and rng.random() < 0.7:
            return None
        return make.tell(told), make.tell(hypothesis)
    if label == CONTRADICTED:
        told, (changed, slot) = frame, against(make, frame)
        negated = slot == "verb"
        hypothesis = make.less(changed, drop=0.5, broaden=0.25, keep=slot)
        form = make.form(hypothesis)._replace(negated=negated)
        return make.tell(told), make.say(hypothesis, form)
    fuller = more(make, frame)
    if fuller is None:
        return None
    told, hypothesis, slot = fuller
    if not make.owns(told):
        return None
    hypothesis = make.less(hypothesis, drop=0.6, broaden=0.25, keep=slot)
    return make.tell(told), make.tell(hypothesis)


def against(make: Maker, frame: Frame) -> tuple[Frame, str]:
    """A frame that excludes the given one, and the slot that does it (``verb``: to be negated)."""
    rng, lexicon = make.rng, make.lexicon
    choices = [(frame, "verb")]
    for slot in ("agent", "object"):
        np = getattr(frame, slot)
        if isinstance(np, NP) and np.adj:
            rival = rng.choice(lexicon.rivals(np.adj))
            choices += [(frame.put(slot, NP(np.head, rival)), slot)] * 2
    if frame.time is not None:
        times = [t for t in lexicon.by_kind["time"] if make.exclusive(t, frame.time)]
        choices.append((frame._replace(time=rng.choice(times)), "time"))
    if frame.place is not None:
        choices.append((frame._replace(place=make.elsewhere(frame)), "place"))
    if frame.manner is not None:
        choices.append((frame._replace(manner=rng.choice(lexicon.rivals(frame.manner))), "manner"))
    return rng.choice(choices)


def more(make: Maker, frame: Frame) -> tuple[Frame, Frame, str] | None:
    """(premise, hypothesis, slot): the hypothesis says something that the premise leaves open."""
    rng = make.rng
    choices: list[tuple[str, str]] = [
        ("drop", s) for s in ADJUNCTS if s in frame.slots() and frame.verb != "live"
    ]
    for slot in ("agent", "object", "recipient"):
        np = getattr(frame, slot)
        if isinstance(np, NP):
            choices += [("bare", slot)] * 2 if np.adj else []
            choices += [("narrow", slot)] if make.broader(np) != np else []
    if make.swappable(frame):
        choices += [("swap", "all")] * 3
    if not choices:
        return None
    kind, slot = rng.choice(choices)
    if kind == "drop":
        return frame.put(slot, None), frame, slot
    if kind == "swap":
        return frame, make.swapped(frame), "all"
    np = getattr(frame, slot)
    told = NP(np.head) if kind == "bare" else make.broader(np)
    return frame.put(slot, told), frame, slot


# --- paraphrase -----------------------------------------------------------------------------------
def paraphrase(make: Maker) -> Pair:
    """PAWS-like: ``1`` says the same in another order, ``0`` swaps roles or attributes."""
    label = make.rng.choice(("0", "1"))
    while True:
        frame = make.sampler.draw()
        if not make.confusable(frame):
            continue
        other = make.confused(frame) if label == "0" else frame
        first, second = make.form(frame), make.form(other, plain=0.2)
        if first == second:  # for both labels: otherwise the change of form would tell them apart
            continue
        return make.say(frame, first), make.say(other, second), label


def questions(make: Maker) -> Pair:
    """QQP-like: two questions that do or do not ask for the same."""
    rng = make.rng
    label = rng.choice(("0", "1"))
    while True:
        frame = make.sampler.draw()
        asked = [s for s in ("agent", "object", "place", "time", "recipient") if s in frame.slots()]
        slot = rng.choice(asked)
        if not make.owns(frame, slot):
            continue
        fronts: list[str | None] = [s for s in ("time", "place") if s in frame.slots() and s != slot]
        if not fronts:
            continue
        first, second = rng.sample([None, *fronts], 2)
        other, other_slot = frame, slot
        if label == "0":
            kind = rng.choice(("slot", "swap", "change"))
            if kind == "slot" and len(asked) > 1:
                other_slot = rng.choice([s for s in asked if s != slot])
                second = None
            elif kind == "swap" and make.confusable(frame):
                other = make.confused(frame)
            else:
                changed, changed_slot = against(make, frame)
                if changed_slot in ("verb", slot):
                    continue
                other = changed
        text = make.say(frame, Form(ask=slot, front=first))
        pair = make.say(other, Form(ask=other_slot, front=second))
        if text != pair:
            return text, pair, label
