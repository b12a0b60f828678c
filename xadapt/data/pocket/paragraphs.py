"""Questions and the sentences that answer them, in all languages at once: ``lareqa``.

As in LAReQA (Roy et al. 2020, https://aclanthology.org/2020.emnlp-main.477/) a question's answers are the
parallel sentences of every language, each read with its paragraph.
"""

from __future__ import annotations

from xadapt.data.pocket.frames import Frame
from xadapt.data.pocket.grammar import Form, Grammar
from xadapt.data.pocket.lexicon import LANGUAGES
from xadapt.data.pocket.making import Maker
from xadapt.data.pocket.reading import ASKABLE, alone
from xadapt.tasks.examples import Sought

PARAGRAPHS, SENTENCES, QUESTIONS = 100, 3, 300


def lareqa(make: Maker, task: str, count: int) -> list[Sought]:
    """One question at most a sentence, 300 in all, and 7 x 300 sentences to find the answers in."""
    make.reseed(f"{task}-{make.split}")
    rng, language = make.rng, make.grammar.language
    grammars = {lang: Grammar(lang, make.lexicon) for lang in LANGUAGES}
    frames: list[Frame] = []
    while len(frames) < PARAGRAPHS * SENTENCES:
        near = frames[-1].verb if frames and rng.random() < 0.3 else None
        frame = make.sampler.draw(verb=near, rate=0.8)
        if frame not in frames:
            frames.append(frame)
    forms = [make.form(f) for f in frames]
    paragraph = {
        (lang, p): " ".join(
            make.text(grammars[lang].sentence(frames[i], forms[i]))
            for i in range(p * SENTENCES, (p + 1) * SENTENCES)
        )
        for lang in LANGUAGES
        for p in range(PARAGRAPHS)
    }
    items: list[Sought] = []
    for i in rng.sample(range(len(frames)), len(frames)):
        told = frames[i]
        slot = rng.choice([s for s in ASKABLE if s in told.slots()])
        question = told
        for other in rng.sample(("manner", "time", "place"), 3):
            if other != slot and getattr(question, other) is not None:
                less = question.put(other, None)
                question = less if alone(frames, i, less, slot) else question
        if len(items) < QUESTIONS and alone(frames, i, question, slot):
            answers = tuple(f"{lang}-{i // SENTENCES}-{i % SENTENCES}" for lang in LANGUAGES)
            items.append(Sought(f"{language}-q{i}", "query", make.say(question, Form(ask=slot)), "", answers))
    for lang in LANGUAGES:
        for i, (frame, form) in enumerate(zip(frames, forms, strict=True)):
            text = make.text(grammars[lang].sentence(frame, form))
            p, s = divmod(i, SENTENCES)
            items.append(Sought(f"{lang}-{p}-{s}", "candidate", text, paragraph[lang, p], None))
    return items
