"""The pocket world's tasks: which there are, how large, and their items.

Item i of a split is drawn from a generator that is named by task, split and i, never by the language:
test sets are parallel. Training items use three quarters of the names, so that a test shows names that
no training item had.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..data.examples import Answer, Chosen, Classified, Example, Extracted, Paired, Tagged
from .frames import NP, Frame
from .grammar import Form, Grammar
from .inference import nli, paraphrase, questions
from .lexicon import LANGUAGES, Lexicon
from .making import Maker
from .phrases import Token
from .reading import continuation, reading

TRAIN_NAMES = 0.75
NAMED = 0.8  # the share of panx sentences that must hold a name


@dataclass(frozen=True)
class Shape:
    """What there is of a task.

    Attributes:
        sizes: items a split.
        test: the languages that have the test split; train and dev are English.
        build: makes one item.
    """

    sizes: dict[str, int]
    build: Callable[[Maker, str], Example]
    test: tuple[str, ...] = LANGUAGES


# --- one item each --------------------------------------------------------------------------------
def _nli(make: Maker, name: str) -> Example:
    return Classified(name, *nli(make))


def _paraphrase(make: Maker, name: str) -> Example:
    return Classified(name, *paraphrase(make))


def _questions(make: Maker, name: str) -> Example:
    return Classified(name, *questions(make))


def _squad(make: Maker, name: str, unanswerable: float = 0.0) -> Example:
    question, context, answers = reading(make, unanswerable)
    return Extracted(name, question, context, tuple(Answer(t, s) for t, s in answers))


def _squad_v2(make: Maker, name: str) -> Example:
    return _squad(make, name, 1 / 3)


def _choice(make: Maker, name: str) -> Example:
    context, endings, right = continuation(make)
    return Chosen(name, context, "", endings, right)


def _tagged_tokens(make: Maker, frame: Frame) -> list[Token]:
    """A statement, a question, a denial, or two statements."""
    form = make.form(frame)
    roll = make.rng.random()
    if roll < 0.15:
        filled = [s for s in ("agent", "object", "place", "time") if s in frame.slots()]
        asked = [s for s in filled if make.owns(frame, s)]
        form = Form(ask=make.rng.choice(asked)) if asked else form
    elif roll < 0.25:
        form = replace(form, negated=True)
    elif roll < 0.35:
        return make.grammar.joined(frame, make.sampler.draw(rate=0.5))
    return make.grammar.sentence(frame, form)


def _pos(make: Maker, name: str) -> Example:
    tokens = _tagged_tokens(make, make.sampler.draw())
    return Tagged(name, tuple(t.text for t in tokens), tuple(t.pos for t in tokens))


def _ner(make: Maker, name: str) -> Example:
    wanted = make.rng.random() < NAMED
    frame = make.sampler.draw()
    while wanted and not any(isinstance(np := getattr(frame, s), NP) and np.name for s in frame.slots()):
        frame = make.sampler.draw()
    tokens = _tagged_tokens(make, frame)
    return Tagged(name, tuple(t.text for t in tokens), tuple(t.ner for t in tokens))


def _nothing(make: Maker, name: str) -> Example:
    raise NotImplementedError(name)  # retrieval items come in clusters: see _retrieval


ENGLISH = ("en",)
SHAPES: dict[str, Shape] = {
    "mnli": Shape({"train": 20_000, "dev": 1_000}, _nli, ENGLISH),
    "qqp": Shape({"train": 12_000, "dev": 1_000}, _questions, ENGLISH),
    "squad_v1": Shape({"train": 10_000, "dev": 1_000}, _squad, ENGLISH),
    "squad_v2": Shape({"train": 12_000, "dev": 1_000}, _squad_v2, ENGLISH),
    "hellaswag": Shape({"train": 8_000, "dev": 1_000}, _choice, ENGLISH),
    "xnli": Shape({"train": 16_000, "dev": 1_000, "test": 1_000}, _nli),
    "pawsx": Shape({"train": 8_000, "dev": 1_000, "test": 1_000}, _paraphrase),
    "xquad": Shape({"test": 1_000}, _squad),
    "udpos": Shape({"train": 8_000, "dev": 1_000, "test": 1_000}, _pos),
    "panx": Shape({"train": 8_000, "dev": 1_000, "test": 1_000}, _ner),
    "tatoeba": Shape({"test": 1_000}, _nothing, LANGUAGES[1:]),
}


def languages_of(task: str, split: str) -> tuple[str, ...]:
    """The languages that have ``split`` of ``task``; ``()`` where none."""
    shape = SHAPES.get(task)
    if shape is None or split not in shape.sizes:
        return ()
    return shape.test if split == "test" else ENGLISH


def derive(lexicon: Lexicon, task: str, language: str, split: str, size: int | None = None) -> list[Example]:
    """The first ``size`` items; all of them by default."""
    shape = SHAPES[task]
    count = shape.sizes[split] if size is None else min(size, shape.sizes[split])
    names = TRAIN_NAMES if split == "train" else 1.0
    make = Maker(lexicon, Grammar(language, lexicon), random.Random(0), split, names)
    if task == "tatoeba":
        return _retrieval(lexicon, make, count)
    items = []
    for i in range(count):
        name = f"{task}-{split}-{i}"
        make.reseed(name)
        items.append(shape.build(make, name))
    return items


# --- retrieval ------------------------------------------------------------------------------------
def _cluster(make: Maker) -> Iterator[Frame]:
    """Sentences that are easily taken for one another: two that differ in one or two slots, and of each
    also the one that says something else in the same words, its roles or its adjectives exchanged."""
    rng, sampler = make.rng, make.sampler
    first = sampler.draw()
    while not make.confusable(first):
        first = sampler.draw()
    frame = first
    for _ in range(rng.randint(1, 2)):
        other = sampler.draw(verb=first.verb)
        slots = [s for s in ("agent", "object", "recipient", "place", "time", "org") if s in first.slots()]
        slot = rng.choice([*slots, *(s for s in ("place", "time") if s not in slots)])
        value = getattr(other, slot)
        needed = slot in ("agent", "object", "recipient", "org") or first.verb == "live"
        if value is not None or not needed:
            frame = frame.put(slot, value)
    for one in (first, frame):
        yield one
        if make.confusable(one):
            yield make.confused(one)


def _retrieval(lexicon: Lexicon, make: Maker, count: int) -> list[Example]:
    """Translations; no English sentence twice."""
    english = Grammar("en", lexicon)
    items: list[Example] = []
    seen: set[str] = set()
    number = 0
    while len(items) < count:
        make.reseed(f"tatoeba-test-{number}")
        number += 1
        for frame in _cluster(make):
            target = make.text(english.sentence(frame))
            if target not in seen and len(items) < count:
                seen.add(target)
                items.append(Paired(f"tatoeba-test-{len(items)}", make.say(frame), target))
    return items
