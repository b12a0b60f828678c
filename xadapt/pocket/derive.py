"""The pocket world's tasks: which there are, how large, and their items.

Item i of a split is drawn from a generator that is named by task, split and i, never by the language:
test sets are parallel. Training items use three quarters of the names, so that a test shows names that
no training item had.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..data.examples import Answer, Chosen, Classified, Example, Extracted, Sought, Tagged, Text
from . import documents
from .choices import ASKINGS, Asking, choice
from .frames import NP, Frame
from .grammar import Form, Grammar
from .inference import Pair, nli, paraphrase, questions
from .lexicon import LANGUAGES, Lexicon
from .making import Maker
from .mentions import mewslix
from .paragraphs import lareqa
from .phrases import Token
from .pools import bucc, tatoeba
from .reading import Asked, reading
from .rounds import rounds
from .supertags import supertagged

TRAIN_NAMES = 0.75
NAMED = 0.8  # the share of panx sentences that must hold a name


Build = Callable[[Maker, str], Example]
Pool = Callable[[Lexicon, Maker, str, int], Sequence[Example]]


@dataclass(frozen=True)
class Shape:
    """What there is of a task.

    Attributes:
        sizes: items a split; of pools with candidates, queries.
        build: makes one item from a generator and its name.
        test: the languages that have the test split.
        translated: whether train and dev are there in every language, parallel to English; else in
            English only.
        pool: makes all items at once instead, where they depend on one another: (lexicon, maker, task,
            size).
    """

    sizes: dict[str, int]
    build: Build | None
    test: tuple[str, ...] = LANGUAGES
    translated: bool = False
    pool: Pool | None = None


# --- one item each --------------------------------------------------------------------------------
def _classified(pair: Callable[[Maker], Pair], make: Maker, name: str) -> Example:
    return Classified(name, *pair(make))


def _read(make: Maker, name: str, unanswerable: float = 0.0) -> Example:
    return _extracted(partial(reading, unanswerable=unanswerable), make, name)


def _extracted(ask: Callable[[Maker], Asked], make: Maker, name: str) -> Example:
    question, context, answers = ask(make)
    return Extracted(name, question, context, tuple(Answer(t, s) for t, s in answers))


def _chosen(asking: Asking, make: Maker, name: str) -> Example:
    return Chosen(name, *choice(make, asking))


def _supertags(make: Maker, name: str) -> Example:
    return Tagged(name, *supertagged(make))


def _text(make: Maker, name: str) -> Example:
    return Text(name, documents.running(make))


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


ENGLISH = ("en",)


def _intermediate(train: int, build: Build) -> Shape:
    """Train and dev in every language; a model is trained on the English ones unless told otherwise."""
    return Shape({"train": train, "dev": 1_000}, build, (), translated=True)


def _target(train: int, build: Build) -> Shape:
    """Train and dev in English, test in every language."""
    return Shape({"train": train, "dev": 1_000, "test": 1_000}, build)


SHAPES: dict[str, Shape] = {
    "anli": _intermediate(16_000, partial(_classified, rounds)),
    "mnli": _intermediate(20_000, partial(_classified, nli)),
    "qqp": _intermediate(12_000, partial(_classified, questions)),
    "squad_v1": _intermediate(10_000, _read),
    "squad_v2": _intermediate(12_000, partial(_read, unanswerable=1 / 3)),
    "hellaswag": _intermediate(8_000, partial(_chosen, ASKINGS["hellaswag"])),
    "ccg": Shape({"train": 8_000, "dev": 1_000}, _supertags, ()),
    "cosmos_qa": _intermediate(8_000, partial(_chosen, ASKINGS["cosmos_qa"])),
    "commonsense_qa": _intermediate(8_000, partial(_chosen, ASKINGS["commonsense_qa"])),
    "siqa": _intermediate(8_000, partial(_chosen, ASKINGS["siqa"])),
    "copa": _intermediate(4_000, partial(_chosen, ASKINGS["copa"])),
    "mlm": _intermediate(16_000, _text),
    "xnli": _target(16_000, partial(_classified, nli)),
    "pawsx": _target(8_000, partial(_classified, paraphrase)),
    "udpos": _target(8_000, _pos),
    "panx": _target(8_000, _ner),
    "xquad": Shape({"test": 1_000}, _read),
    "mlqa": Shape({"test": 1_000}, partial(_extracted, documents.portrait)),
    "tydiqa": _target(8_000, partial(_extracted, documents.inquiry)),
    "xcopa": Shape({"test": 1_000}, partial(_chosen, ASKINGS["copa"])),
    "tatoeba": Shape({"test": 1_000}, None, LANGUAGES[1:], pool=tatoeba),
    "bucc": Shape({"dev": 1_000, "test": 1_000}, None, LANGUAGES[1:], pool=bucc),
    "lareqa": Shape({"test": 300}, None, pool=lareqa),
    "mewslix": Shape({"train": 6_000, "dev": 300, "test": 300}, None, pool=mewslix),
}


def languages_of(task: str, split: str) -> tuple[str, ...]:
    """The languages that have ``split`` of ``task``, English first; ``()`` where none."""
    shape = SHAPES.get(task)
    if shape is None or split not in shape.sizes:
        return ()
    if split == "test" or task == "bucc":  # whose dev set tunes each language's threshold
        return shape.test
    return LANGUAGES if shape.translated else ENGLISH


def derive(lexicon: Lexicon, task: str, language: str, split: str, size: int | None = None) -> list[Example]:
    """The first ``size`` items, all of them by default; of pools with candidates the first ``size``
    queries and every candidate."""
    shape = SHAPES[task]
    count = shape.sizes[split] if size is None else min(size, shape.sizes[split])
    names = TRAIN_NAMES if split == "train" else 1.0
    make = Maker(lexicon, Grammar(language, lexicon), random.Random(0), split, names)
    if shape.pool is not None:
        return _limited(shape.pool(lexicon, make, task, count), count)
    assert shape.build is not None
    items = []
    for i in range(count):
        name = f"{task}-{split}-{i}"
        make.reseed(name)
        items.append(shape.build(make, name))
    return items


def _limited(items: Sequence[Example], count: int) -> list[Example]:
    """The first ``count`` queries or pairs, and every candidate."""
    wanted = [e for e in items if not (isinstance(e, Sought) and e.side == "candidate")]
    return [*wanted[:count], *(e for e in items if isinstance(e, Sought) and e.side == "candidate")]
