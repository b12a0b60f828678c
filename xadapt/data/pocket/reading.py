"""Contexts from frames, and questions with a span as answer."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from xadapt.data.pocket.frames import Frame
from xadapt.data.pocket.grammar import Form
from xadapt.data.pocket.making import Maker
from xadapt.data.pocket.phrases import Token, spell
from xadapt.tasks.examples import Answer

ASKABLE = ("agent", "object", "place", "time", "recipient")
Asked = tuple[str, str, tuple[Answer, ...]]  # question, context, answers


def answers_to(
    frame: Frame, question: Frame, slot: str, agree: Callable[[object, object], bool] = operator.eq
) -> bool:
    """Does ``frame`` tell what ``question`` asks for? All it mentions must ``agree``, ``slot`` aside."""
    if frame.verb != question.verb or getattr(frame, slot) is None:
        return False
    return all(agree(getattr(question, s), getattr(frame, s)) for s in question.slots() if s != slot)


def alone(
    frames: Sequence[Frame],
    at: int,
    question: Frame,
    slot: str,
    agree: Callable[[object, object], bool] = operator.eq,
) -> bool:
    """Does no other frame than the one at ``at`` answer?"""
    return not any(answers_to(f, question, slot, agree) for i, f in enumerate(frames) if i != at)


def _context(make: Maker) -> tuple[list[Frame], int, str]:
    """2 to 4 frames, which one is asked about, and the slot; the others share its verb, agent or object."""
    rng = make.rng
    while True:
        target = make.sampler.draw()
        slot = rng.choice([s for s in ASKABLE if s in target.slots()])
        frames = [target]
        for _ in range(rng.randint(1, 3)):
            roll = rng.random()
            other = make.sampler.draw(verb=target.verb if roll < 0.5 else None, rate=0.8)
            if roll > 0.75 and other.verb != "live" and target.place is not None:
                other = other._replace(place=target.place)
            frames.append(other)
        rng.shuffle(frames)
        at = frames.index(target)
        if alone(frames, at, target, slot):
            return frames, at, slot


def shortened(make: Maker, frames: list[Frame], at: int, slot: str) -> Frame:
    """The asked frame with less detail, as long as only it answers."""
    question = frames[at]
    for other in ("manner", "time", "place"):
        if other != slot and getattr(question, other) is not None and make.rng.random() < 0.6:
            less = question.put(other, None)
            if alone(frames, at, less, slot):
                question = less
    return question


def trimmed(tokens: list[Token]) -> range:
    """The answer's tokens: no adpositions or articles around them."""
    first, last = 0, len(tokens)
    while first < last - 1 and tokens[first].pos in ("ADP", "DET"):
        first += 1
    while last > first + 1 and tokens[last - 1].pos == "ADP":
        last -= 1
    return range(first, last)


def located(sentences: Sequence[Sequence[Token]], at: int, slot: str) -> tuple[str, Answer]:
    """The text, and what its ``at``-th sentence says of the slot."""
    words = [t for s in sentences for t in s]
    first = sum(map(len, sentences[:at]))
    where = [first + j for j, t in enumerate(sentences[at]) if t.slot == slot]
    context, starts = spell(words)
    kept = [where[i] for i in trimmed([words[j] for j in where])]
    begin, end = starts[kept[0]], starts[kept[-1]] + len(words[kept[-1]].text)
    return context, Answer(context[begin:end], begin)


def reading(make: Maker, unanswerable: float = 0.0) -> Asked:
    """One span as answer, or none where the question fits no sentence."""
    rng = make.rng
    frames, at, slot = _context(make)
    forms = [make.form(f) for f in frames]
    question = shortened(make, frames, at, slot)
    lost = rng.random() < unanswerable
    if lost:
        question = _unanswerable(make, frames, question, slot)
    context, answer = located(
        [make.grammar.sentence(*told) for told in zip(frames, forms, strict=True)], at, slot
    )
    return make.say(question, Form(ask=slot)), context, () if lost else (answer,)


def _unanswerable(make: Maker, frames: list[Frame], question: Frame, slot: str) -> Frame:
    """Another frame's question with the same slot, which nothing in the context answers."""
    while True:
        other = make.sampler.draw(verb=question.verb if make.rng.random() < 0.5 else None)
        if slot not in other.slots():
            other = make.sampler.draw(verb=question.verb)
        if slot in other.slots() and not any(answers_to(f, other, slot) for f in frames):
            return other
