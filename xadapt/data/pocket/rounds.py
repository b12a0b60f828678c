"""Inference in rounds of growing difficulty, all in one mixture: ``anli``.

The plain sort is ``inference.nli``. The others have premises of several sentences: ``long`` puts
sentences around the one that counts, ``mixed`` takes the hypothesis's words from two sentences, so that
overlap says nothing, and ``joined`` needs what two sentences say together.
"""

from __future__ import annotations

from xadapt.data.pocket.frames import NP, Frame
from xadapt.data.pocket.grammar import PLAIN
from xadapt.data.pocket.inference import CONTRADICTED, ENTAILED, NEUTRAL, Pair, against, more, nli
from xadapt.data.pocket.making import Maker
from xadapt.data.pocket.phrases import Token

Told = tuple[list[list[Token]], Frame]  # the premise's sentences, and the hypothesis


def rounds(make: Maker) -> Pair:
    """Premise, hypothesis, label: a quarter of each round."""
    kind = make.rng.choice(("plain", "long", "mixed", "joined"))
    if kind == "plain":
        return nli(make)
    label = make.rng.choice((ENTAILED, NEUTRAL, CONTRADICTED))
    build = {"long": _long, "mixed": _mixed, "joined": _joined}[kind]
    while True:
        pair = build(make, label)
        if pair is not None:
            return (*pair, label)


def related(make: Maker, one: NP | None, other: NP | None) -> bool:
    """The same noun or name, or one a hypernym of the other."""
    if one is None or other is None:
        return one is other
    if one.name or other.name:
        named, noun = (one, other) if one.name else (other, one)
        return one.name == other.name or (not noun.name and named.head == "per" and make.is_person(noun))
    lexicon = make.lexicon
    return (
        one.head == other.head
        or one.head in lexicon.ancestors(other.head)
        or other.head in lexicon.ancestors(one.head)
    )


def _kin(make: Maker, one: NP | None, other: NP | None) -> bool:
    """Nouns that a common hypernym may stand for."""
    if one is None or other is None or one.name or other.name:
        return related(make, one, other)
    root = [[np.head, *make.lexicon.ancestors(np.head)][-1] for np in (one, other)]
    return root[0] == root[1]


def harmless(make: Maker, other: Frame, about: Frame) -> bool:
    """Does a sentence leave open all that may be said of ``about``, one noun broadened included?"""
    if other.verb != about.verb:
        return True
    pairs = [(getattr(other, s), getattr(about, s)) for s in ("agent", "object")]
    same = [related(make, a, b) for a, b in pairs]
    kin = [_kin(make, a, b) for a, b in pairs]
    return not ((same[0] and kin[1]) or (kin[0] and same[1]))


def _around(make: Maker, about: list[Frame], count: int) -> list[list[Token]]:
    """Sentences that share an agent or a place with the first frame, and say nothing of any of them."""
    rng = make.rng
    told: list[list[Token]] = []
    while len(told) < count:
        other = make.sampler.draw(rate=0.6)
        roll = rng.random()
        if roll < 0.35 and other.verb != about[0].verb:
            other = make.by(about[0].agent, other) or other
        elif roll < 0.55 and other.verb != "live" and about[0].place is not None:
            other = other._replace(place=about[0].place)
        if make.owns(other) and all(harmless(make, other, f) for f in about):
            told.append(make.told(other))
    return told


def _premise(make: Maker, sentences: list[list[Token]]) -> str:
    make.rng.shuffle(sentences)
    return make.text([t for s in sentences for t in s])


def _long(make: Maker, label: str) -> tuple[str, str] | None:
    """One sentence of two to four decides; the others share its agent or place."""
    rng = make.rng
    told = hypothesis = make.sampler.draw()
    negated, keep = False, ""
    if label == CONTRADICTED:
        hypothesis, keep = against(make, told)
        negated = keep == "verb"
    elif label == NEUTRAL:
        fuller = more(make, told)
        if fuller is None:
            return None
        told, hypothesis, keep = fuller
    if not make.owns(told) or not make.owns(hypothesis):
        return None
    frames = [told, hypothesis]
    broaden = 0.6 if label == ENTAILED else 0.3
    hypothesis = make.less(hypothesis, drop=0.5, broaden=broaden, keep=keep)
    if label == ENTAILED and rng.random() < 0.2:  # a denial of what is excluded
        excluded, slot = against(make, told)
        if slot != "verb":
            # the rest stays as it was told: what is denied is the whole event in other words
            hypothesis, negated = make.less(excluded, drop=0.3, broaden=0.0, keep=slot), True
    sentence = make.told(told)
    premise = _premise(make, [sentence, *_around(make, frames, rng.randint(1, 3))])
    return premise, make.say(hypothesis, make.form(hypothesis)._replace(negated=negated))


def _mixed(make: Maker, label: str) -> tuple[str, str] | None:
    """Two events of one verb. The hypothesis is one of them, or takes a part of the other: where the first
    has another value that contradicts it, where it has none that stays open."""
    rng = make.rng
    first = make.sampler.draw()
    second = make.sampler.draw(verb=first.verb)
    if not harmless(make, second, first):
        return None
    if label == ENTAILED:
        hypothesis = make.less(first, drop=0.4, broaden=0.3)
    else:
        parts = _borrowed(make, first, second, label)
        if not parts:
            return None
        hypothesis, slot = rng.choice(parts)
        hypothesis = make.less(hypothesis, drop=0.4, broaden=0.1, keep=slot)
        # what is borrowed must not make the second event, broadened nouns included
        if not make.owns(hypothesis) or _tells(make, second, hypothesis):
            return None
    sentences = [make.told(f) for f in (first, second)]
    if rng.random() < 0.4:
        sentences += _around(make, [first, second, hypothesis], 1)
    return _premise(make, sentences), make.tell(hypothesis)


def _tells(make: Maker, frame: Frame, other: Frame) -> bool:
    """Is ``other`` about the same participants as ``frame``?"""
    return all(related(make, getattr(frame, s), getattr(other, s)) for s in ("agent", "object"))


def _borrowed(make: Maker, first: Frame, second: Frame, label: str) -> list[tuple[Frame, str]]:
    """The first event with a part of the second that contradicts it (or stays open), and which part."""
    found: list[tuple[Frame, str]] = []
    clash = label == CONTRADICTED
    if second.time is not None:
        excludes = first.time is not None and make.exclusive(first.time, second.time)
        if excludes if clash else first.time is None:
            found.append((first._replace(time=second.time), "time"))
    if second.manner is not None:
        rivals = make.lexicon.rivals(first.manner) if first.manner else ()
        if second.manner in rivals if clash else not first.manner:
            found.append((first._replace(manner=second.manner), "manner"))
    if second.place is not None and first.verb != "live":
        here = first.place
        apart = (
            here is not None
            and bool(here.name) == bool(second.place.name)
            and not related(make, here, second.place)
        )
        if apart if clash else here is None:
            found.append((first._replace(place=second.place), "place"))
    for slot in ("agent", "object"):
        np, other = getattr(first, slot), getattr(second, slot)
        if np is None or other is None or np.name or other.name or not other.adj:
            continue
        if other.adj not in make.lexicon.describes(np.head):
            continue
        rivals = make.lexicon.rivals(np.adj) if np.adj else ()
        if other.adj in rivals if clash else not np.adj:
            found.append((first.put(slot, NP(np.head, other.adj)), slot))
    mine, theirs = first.object, second.object
    if clash or mine is None or theirs is None:
        return found
    if not related(make, mine, theirs) and theirs.key() != first.agent.key():
        found.append((first._replace(object=theirs), "object"))
    return found


def _joined(make: Maker, label: str) -> tuple[str, str] | None:
    """One sentence says what a thing is like, another what happens to it; a third gives another thing the
    adjective that the hypothesis may wrongly use."""
    rng, lexicon = make.rng, make.lexicon
    frame = make.sampler.draw(rate=0.6)
    slots = [s for s in ("agent", "object") if (np := getattr(frame, s)) is not None and not np.name]
    if not slots:
        return None
    slot = rng.choice(slots)
    head = getattr(frame, slot).head
    fits = lexicon.describes(head)
    if not fits:
        return None
    adj = rng.choice(fits)
    rivals = [a for a in lexicon.rivals(adj) if a in fits]
    free = [a for a in fits if a != adj and a not in rivals]
    pool = free if label == NEUTRAL or (label == ENTAILED and rng.random() < 0.5) else rivals
    if not pool:
        return None
    wrong = rng.choice(pool)
    # a thing that the adjective suits and that no hypernym of the first may mean
    kind = lexicon[head].kind
    others = [
        n
        for n in lexicon.by_kind[kind]
        if not lexicon.children(n)
        and not related(make, NP(n), NP(head))
        and wrong in lexicon.describes(n)
        and n not in (frame.agent.head, frame.object.head if frame.object else "")
    ]
    if not others:
        return None
    bare = frame.put(slot, NP(head))
    said = frame.put(slot, NP(head, adj if label == ENTAILED else wrong))
    if not make.owns(bare):
        return None
    hypothesis = make.less(said, drop=0.3, broaden=0.0, keep=slot)
    attributes = [
        make.grammar.attribute(NP(head), adj),
        make.grammar.attribute(NP(rng.choice(others)), wrong),
    ]
    rng.shuffle(attributes)
    sentences = [*attributes, make.told(bare)]
    if rng.random() < 0.4:
        sentences.reverse()
    text = make.text([t for s in sentences for t in s])
    form = make.form(hypothesis) if rng.random() < 0.6 else PLAIN
    return text, make.say(hypothesis, form)
