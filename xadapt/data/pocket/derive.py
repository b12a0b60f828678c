"""The pocket world's tasks: which there are, how large, and their items.

Item i of a split is drawn from a generator that is named by task, split and i, never by the language:
test sets are parallel. Training items use three quarters of the names, so that a test shows names that
no training item had.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from xadapt.data.pocket.choices import ASKINGS, choice
from xadapt.data.pocket.documents import inquiry, portrait, running
from xadapt.data.pocket.frames import NP, Frame
from xadapt.data.pocket.grammar import Form, Grammar
from xadapt.data.pocket.inference import nli, paraphrase, questions
from xadapt.data.pocket.lexicon import LANGUAGES, Lexicon
from xadapt.data.pocket.making import Maker
from xadapt.data.pocket.mentions import mewslix
from xadapt.data.pocket.paragraphs import lareqa
from xadapt.data.pocket.phrases import Token
from xadapt.data.pocket.pools import bucc, tatoeba
from xadapt.data.pocket.reading import reading
from xadapt.data.pocket.rounds import rounds
from xadapt.data.pocket.supertags import supertagged
from xadapt.tasks.examples import Chosen, Classified, Example, Extracted, Paired, Sought, Tagged, Text

TRAIN_NAMES = 0.75
NAMED = 0.8  # the share of panx sentences that must hold a name


@dataclass(frozen=True)
class Shape:
    """What there is of a task.

    Attributes:
        sizes: items a split; of pools with candidates, queries.
        kind: what its items are.
        draw: makes one item's fields, all but the name; without one, ``pool`` makes all items.
        test: the languages that have the test split.
        translated: whether train and dev are there in every language, parallel to English; else in
            English only.
        pool: makes all items at once, where they depend on one another: (maker, task, size).
    """

    sizes: dict[str, int]
    kind: Callable[..., Example]
    draw: Callable[[Maker], tuple[object, ...]] | None = None
    test: tuple[str, ...] = LANGUAGES
    translated: bool = False
    pool: Callable[[Maker, str, int], Sequence[Example]] | None = None


# --- tags -----------------------------------------------------------------------------------------
def _tagged_tokens(make: Maker, frame: Frame) -> list[Token]:
    """A statement, a question, a denial, or two statements."""
    form = make.form(frame)
    roll = make.rng.random()
    if roll < 0.15:
        filled = [s for s in ("agent", "object", "place", "time") if s in frame.slots()]
        asked = [s for s in filled if make.owns(frame, s)]
        form = Form(ask=make.rng.choice(asked)) if asked else form
    elif roll < 0.25:
        form = form._replace(negated=True)
    elif roll < 0.35:
        return make.grammar.joined(frame, make.sampler.draw(rate=0.5))
    return make.grammar.sentence(frame, form)


def _parts_of_speech(make: Maker) -> tuple[tuple[str, ...], tuple[str, ...]]:
    tokens = _tagged_tokens(make, make.sampler.draw())
    return tuple(t.text for t in tokens), tuple(t.pos for t in tokens)


def _entities(make: Maker) -> tuple[tuple[str, ...], tuple[str, ...]]:
    wanted = make.rng.random() < NAMED
    frame = make.sampler.draw()
    while wanted and not any(isinstance(np := getattr(frame, s), NP) and np.name for s in frame.slots()):
        frame = make.sampler.draw()
    tokens = _tagged_tokens(make, frame)
    return tuple(t.text for t in tokens), tuple(t.ner for t in tokens)


# --- all tasks ------------------------------------------------------------------------------------
ENGLISH = ("en",)
# Intermediate tasks have train and dev in every language; a model is trained on the English ones unless told
# otherwise. Targets have them in English, and a test in every language.
_intermediate = partial(Shape, test=(), translated=True)


def _sizes(train: int, test: bool = False) -> dict[str, int]:
    return {"train": train, "dev": 1_000, **({"test": 1_000} if test else {})}


def _chosen(task: str) -> Callable[[Maker], tuple[object, ...]]:
    return partial(choice, asking=ASKINGS[task])


SHAPES: dict[str, Shape] = {
    "anli": _intermediate(_sizes(16_000), Classified, rounds),
    "mnli": _intermediate(_sizes(20_000), Classified, nli),
    "qqp": _intermediate(_sizes(12_000), Classified, questions),
    "squad_v1": _intermediate(_sizes(10_000), Extracted, reading),
    "squad_v2": _intermediate(_sizes(12_000), Extracted, partial(reading, unanswerable=1 / 3)),
    "hellaswag": _intermediate(_sizes(8_000), Chosen, _chosen("hellaswag")),
    "ccg": Shape(_sizes(8_000), Tagged, supertagged, test=()),
    "cosmos_qa": _intermediate(_sizes(8_000), Chosen, _chosen("cosmos_qa")),
    "commonsense_qa": _intermediate(_sizes(8_000), Chosen, _chosen("commonsense_qa")),
    "siqa": _intermediate(_sizes(8_000), Chosen, _chosen("siqa")),
    "copa": _intermediate(_sizes(4_000), Chosen, _chosen("copa")),
    "mlm": _intermediate(_sizes(16_000), Text, running),
    "xnli": Shape(_sizes(16_000, test=True), Classified, nli),
    "pawsx": Shape(_sizes(8_000, test=True), Classified, paraphrase),
    "udpos": Shape(_sizes(8_000, test=True), Tagged, _parts_of_speech),
    "panx": Shape(_sizes(8_000, test=True), Tagged, _entities),
    "xquad": Shape({"test": 1_000}, Extracted, reading),
    "mlqa": Shape({"test": 1_000}, Extracted, portrait),
    "tydiqa": Shape(_sizes(8_000, test=True), Extracted, inquiry),
    "xcopa": Shape({"test": 1_000}, Chosen, _chosen("copa")),
    "tatoeba": Shape({"test": 1_000}, Paired, test=LANGUAGES[1:], pool=tatoeba),
    "bucc": Shape({"dev": 1_000, "test": 1_000}, Sought, test=LANGUAGES[1:], pool=bucc),
    "lareqa": Shape({"test": 300}, Sought, pool=lareqa),
    "mewslix": Shape({"train": 6_000, "dev": 300, "test": 300}, Sought, pool=mewslix),
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
        return _limited(shape.pool(make, task, count), count)
    assert shape.draw is not None
    items = []
    for i in range(count):
        name = f"{task}-{split}-{i}"
        make.reseed(name)
        items.append(shape.kind(name, *shape.draw(make)))
    return items


def _limited(items: Sequence[Example], count: int) -> list[Example]:
    """The first ``count`` queries or pairs, and every candidate."""
    wanted = [e for e in items if not (isinstance(e, Sought) and e.side == "candidate")]
    return [*wanted[:count], *(e for e in items if isinstance(e, Sought) and e.side == "candidate")]
