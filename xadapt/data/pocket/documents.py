"""Longer documents: span questions in other styles (``mlqa``, ``tydiqa``) and running text (``mlm``).

``mlqa`` has documents of four to six sentences in which the agent recurs as a pronoun, with what is known
of its words in between. ``tydiqa``'s questions are asked by somebody who has not read the document: they
leave more out and name a noun by its hypernym.
"""

from __future__ import annotations

from functools import partial

from xadapt.data.pocket.frames import NP, Frame
from xadapt.data.pocket.grammar import PLAIN, Form
from xadapt.data.pocket.making import Maker
from xadapt.data.pocket.phrases import Token
from xadapt.data.pocket.reading import ASKABLE, Asked, alone, located, shortened


def _covers(make: Maker, wide: object, narrow: object) -> bool:
    """Does a hypernym, or the same without its adjective, stand for the other?"""
    if not isinstance(wide, NP) or not isinstance(narrow, NP) or wide.name or narrow.name:
        return wide == narrow or (
            isinstance(wide, NP)
            and isinstance(narrow, NP)
            and narrow.head == "per"
            and not wide.name
            and make.is_person(wide)
        )
    if wide.adj is not None and wide.adj != narrow.adj:
        return False
    return wide.head == narrow.head or wide.head in make.lexicon.ancestors(narrow.head)


def _known(make: Maker, frame: Frame) -> list[Token]:
    """What is known of a noun of the frame: what it is, or what another thing of its kind is like."""
    nouns = [np.head for np in (frame.agent, frame.object) if np is not None and not np.name]
    ups = [(n, up) for n in nouns for up in make.lexicon.ancestors(n)[:1]]
    if not ups:
        return []
    return make.grammar.kind_of(*make.rng.choice(ups))


def portrait(make: Maker) -> Asked:
    """Four to six sentences on one agent, others and their words in between; one frame is asked about."""
    rng = make.rng
    while True:
        first = make.sampler.draw(rate=0.8)
        frames = [first]
        for _ in range(rng.randint(3, 4)):
            roll = rng.random()
            other = make.sampler.draw(verb=first.verb if roll > 0.75 else None, rate=0.8)
            shared = make.by(first.agent, other)
            if roll < 0.55 and shared and make.owns(shared) and first.agent.head != "org":
                other = shared
            frames.append(other)
        sentences: list[list[Token]] = []
        told: dict[int, tuple[Frame, bool]] = {}  # the sentences that tell a frame, whether by a pronoun
        for i, frame in enumerate(frames):
            repeats = i > 0 and frames[i - 1].agent == frame.agent
            form = make.form(frame)
            pronoun = repeats and not form.object_first and rng.random() < 0.7
            # a pronoun follows its noun at once: nothing may come in between
            if not repeats and rng.random() < 0.3 and (known := _known(make, frame)):
                sentences.append(known)
            told[len(sentences)] = frame, pronoun
            sentences.append(make.grammar.sentence(frame, form._replace(pronoun=pronoun)))
        at = rng.choice(list(told))
        target, spoken = told[at]
        slots = [s for s in ASKABLE if s in target.slots() and not (s == "agent" and spoken)]
        if not slots:
            continue
        slot = rng.choice(slots)
        index = frames.index(target)
        if not alone(frames, index, target, slot):
            continue
        context, answer = located(sentences, at, slot)
        question = shortened(make, frames, index, slot)
        return make.say(question, Form(ask=slot)), context, (answer,)


def inquiry(make: Maker) -> Asked:
    """Three to five sentences and a question that leaves out what it can, one noun broadened."""
    rng = make.rng
    while True:
        target = make.sampler.draw()
        slot = rng.choice([s for s in ASKABLE if s in target.slots()])
        frames = [target]
        for _ in range(rng.randint(2, 4)):
            frames.append(make.sampler.draw(verb=target.verb if rng.random() < 0.35 else None, rate=0.8))
        rng.shuffle(frames)
        at = frames.index(target)
        covers = partial(_covers, make)
        question = target
        for change in rng.sample(("time", "place", "manner", "agent", "object", "recipient"), 6):
            value = getattr(question, change)
            if change == slot or value is None or (change == "place" and target.verb == "live"):
                continue
            less = question.put(change, make.broader(value) if isinstance(value, NP) else None)
            if change in ("time", "place", "manner"):
                less = question.put(change, None)
            if alone(frames, at, less, slot, covers):
                question = less
        if alone(frames, at, question, slot, covers):
            sentences = [make.told(f) for f in frames]
            context, answer = located(sentences, at, slot)
            return make.say(question, Form(ask=slot)), context, (answer,)


def running(make: Maker) -> tuple[str]:
    """One to four sentences in any form, what is known of their words among them; nothing is asked of it."""
    rng = make.rng
    words: list[Token] = []
    last: NP | None = None
    for _ in range(rng.choice((1, 2, 2, 3, 4))):
        frame = make.sampler.draw(rate=0.8)
        if last is not None and rng.random() < 0.35:
            shared = make.by(last, frame)
            frame = shared if shared and make.owns(shared) else frame
        form = make.form(frame)
        pronoun = last == frame.agent and not form.object_first and rng.random() < 0.6
        form = form._replace(negated=rng.random() < 0.15, pronoun=pronoun)
        asked = [s for s in ASKABLE if s in frame.slots()]
        if rng.random() < 0.1:
            words += make.grammar.sentence(frame, Form(ask=rng.choice(asked)))
        words += make.grammar.sentence(frame, form if rng.random() < 0.8 else PLAIN._replace(pronoun=pronoun))
        last = frame.agent if frame.agent.head != "org" else None
        if rng.random() < 0.12 and (known := _known(make, frame)):
            words += known
            last = None
    return (make.text(words),)
