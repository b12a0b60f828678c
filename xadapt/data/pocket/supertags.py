r"""CCG supertags of English sentences, read off the grammar's own construction: ``ccg``.

Categories follow CCGbank (Hockenmaier & Steedman 2007, https://aclanthology.org/J07-3004/): results to the
left of the slash, ``/`` for an argument on the right and ``\`` on the left; features on ``S`` say dcl
(declarative), wq and q (questions), b (bare verb), pss (passive) and adj (predicate adjective). A modifier's
``S`` has none: it takes that of what it modifies. As in CCGbank, a bare noun becomes a noun phrase, and
punctuation and the conjunction combine by rules of their own. ``tests/test_pocket_supertags.py`` parses.
"""

from __future__ import annotations

from xadapt.data.pocket.frames import NP, Frame
from xadapt.data.pocket.grammar import PLAIN, Form
from xadapt.data.pocket.making import Maker
from xadapt.data.pocket.phrases import Token

ADVERB = r"(S\NP)\(S\NP)"
ASKED = ("agent", "object", "place", "time", "recipient")
# All categories of the training sentences, sorted; ``tests/test_pocket_supertags.py`` counts them.
# fmt: off
LABELS = (
    r"((S[b]\NP)/PP)/NP", r"((S[dcl]\NP)/PP)/NP", r"((S\NP)\(S\NP))/NP", "(S/S)/NP", r"(S[b]\NP)/NP",
    r"(S[b]\NP)/PP", r"(S[dcl]\NP)/(S[adj]\NP)", r"(S[dcl]\NP)/(S[b]\NP)", r"(S[dcl]\NP)/(S[pss]\NP)",
    r"(S[dcl]\NP)/NP", r"(S[dcl]\NP)/PP", r"(S[pss]\NP)/PP", r"(S[q]/(S[b]\NP))/NP",
    r"(S[wq]/(S[q]/PP))\(PP/NP)", r"(S\NP)\(S\NP)", ".", "N", "N/N", "NP", "NP/N", "PP/NP", "S/S",
    r"S[adj]\NP", r"S[b]\NP", r"S[dcl]\NP", r"S[pss]\NP", r"S[wq]/(S[dcl]\NP)", "S[wq]/(S[q]/NP)",
    "S[wq]/(S[q]/PP)", "S[wq]/S[q]", "conj",
)
# fmt: on


def _verb(frame: Frame, feature: str, passive: bool = False) -> str:
    r"""What the verb takes, nearest last: ``((S[dcl]\NP)/PP)/NP`` for giving something to somebody."""
    category = rf"S[{feature}]\NP"
    if frame.recipient is not None or frame.org is not None or frame.verb == "live":
        category = f"({category})/PP"
    if frame.object is not None and not passive:
        category = f"({category})/NP"
    return category


def _noun_phrase(tokens: list[Token]) -> list[str]:
    """Determiner, modifiers and the head of a noun phrase, without its preposition."""
    before = ["NP/N" if t.pos == "DET" else "N/N" for t in tokens[:-1]]
    return [*before, "NP" if tokens[-1].pos == "PRON" else "N"]


def _preposed(tokens: list[Token], preposition: str) -> list[str]:
    """A phrase with its preposition, or an adverb, which needs no argument."""
    if tokens[0].pos == "ADP":
        return [preposition, *_noun_phrase(tokens[1:])]
    return [preposition.removesuffix("/NP")[1:-1]]


def _extracted(frame: Frame, slot: str) -> str:
    r"""What a question word leaves open in the clause: ``S[wq]/(S[q]/NP)`` asks for an object."""
    if slot == "agent":
        return r"S[wq]/(S[dcl]\NP)"
    if slot == "object":
        return "S[wq]/(S[q]/NP)"
    return "S[wq]/(S[q]/PP)" if slot == "recipient" or frame.verb == "live" else "S[wq]/S[q]"


def _asked(frame: Frame, slot: str, tokens: list[Token]) -> list[str]:
    """``who``, ``what``, ``where``; ``to whom`` is two words, the second of which takes the first."""
    tag = _extracted(frame, slot)
    return ["PP/NP", rf"({tag})\(PP/NP)"] if len(tokens) == 2 else [tag]


def _verbs(frame: Frame, form: Form, tokens: list[Token]) -> list[str]:
    """The verb group's words: auxiliary, negation, verb."""
    passive = form.object_first and frame.object is not None
    asks = form.ask is not None and form.ask != "agent"
    verbal = "pss" if passive else "b"
    tags = []
    for t in tokens:
        if t.pos == "PART":
            tags.append(ADVERB)
        elif t.pos == "AUX" and asks:
            tags.append(r"(S[q]/(S[b]\NP))/NP")
        elif t.pos == "AUX":
            tags.append(rf"(S[dcl]\NP)/(S[{verbal}]\NP)")
        else:
            alone = len(tokens) == 1 and not asks
            tags.append(_verb(frame, "dcl" if alone else verbal, passive))
    return tags


def clause_tags(frame: Frame, form: Form, tokens: list[Token]) -> list[str]:
    """One category for each word of ``Grammar.clause(frame, form)``, English."""
    passive = form.object_first and frame.object is not None
    tags: list[str] = []
    at = 0
    # in questions the auxiliary and the verb are two groups of one slot
    verb_words = [t for t in tokens if t.slot == "verb"]
    verbs = iter(_verbs(frame, form, verb_words))
    while at < len(tokens):
        slot, end = tokens[at].slot, at
        while end < len(tokens) and tokens[end].slot == slot:
            end += 1
        group = tokens[at:end]
        if slot == "verb":
            tags += [next(verbs) for _ in group]
        elif slot == form.ask:
            tags += _asked(frame, slot, group)
        elif slot in ("recipient", "org") or (slot == "place" and frame.verb == "live"):
            tags += _preposed(group, "PP/NP")
        elif slot == "agent" and passive:
            tags += _preposed(group, rf"({ADVERB})/NP")
        elif slot in ("agent", "object"):
            tags += _noun_phrase(group)
        elif at == 0:  # said first
            tags += _preposed(group, "(S/S)/NP")
        else:
            tags += _preposed(group, rf"({ADVERB})/NP")
        at = end
    return tags


def _statement(make: Maker, frame: Frame) -> tuple[list[Token], list[str]]:
    """A clause in one of its forms: plain, passive, fronted, denied, with a pronoun, or a question."""
    rng = make.rng
    form = make.form(frame, plain=0.35)
    # what an argument says cannot stand before the clause as an adjunct
    if form.front == "place" and frame.verb == "live":
        form = PLAIN
    roll = rng.random()
    if roll < 0.2:
        asked = rng.choice([s for s in ASKED if s in frame.slots()])
        front = form.front if form.front != asked else None
        form = Form(ask=asked, front=front)
    elif roll < 0.4:
        form = form._replace(negated=True)
    elif roll < 0.5 and not form.object_first:
        form = form._replace(pronoun=True)
    tokens = make.grammar.clause(frame, form)
    return tokens, clause_tags(frame, form, tokens)


def _copular(make: Maker) -> tuple[list[Token], list[str]]:
    """``the apple is (not) red`` and ``the apple is a fruit``, of nouns of this split."""
    rng, grammar, lexicon = make.rng, make.grammar, make.lexicon
    nouns = [n for k in ("being", "thing") for n in lexicon.by_kind[k] if not lexicon.children(n)]
    while True:
        noun = rng.choice(nouns)
        ups, adj = lexicon.ancestors(noun), make.sampler.adjective(noun)
        defines = bool(ups) and (adj is None or rng.random() < 0.4)
        about = rng.choice(ups) if defines else adj
        if about is None or not make.owns_text(f"{noun}|{about}"):
            continue
        if defines:
            tokens = grammar.kind_of(noun, about)
            return tokens, ["NP/N", "N", r"(S[dcl]\NP)/NP", "NP/N", "N", "."]
        own = [a for a in lexicon.describes(noun) if a != adj and a not in lexicon.rivals(about)]
        subject = NP(noun, rng.choice(own) if own and rng.random() < 0.5 else None)
        denied = rng.random() < 0.4
        tokens = grammar.attribute(subject, about, denied)
        before = ["NP/N", *(["N/N"] if subject.adj else []), "N"]
        negation = [ADVERB] if denied else []
        return tokens, [*before, r"(S[dcl]\NP)/(S[adj]\NP)", *negation, r"S[adj]\NP", "."]


def supertagged(make: Maker) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(words, categories) of a sentence; one in six joins two clauses, one in eight has a copula."""
    rng = make.rng
    roll = rng.random()
    if roll < 0.12:
        tokens, tags = _copular(make)
    elif roll < 0.28:
        first, second = make.sampler.draw(rate=0.7), make.sampler.draw(rate=0.5)
        tokens = make.grammar.joined(first, second)
        cut = len(make.grammar.clause(first))
        tags = [
            *clause_tags(first, PLAIN, tokens[:cut]),
            "conj",
            *clause_tags(second, PLAIN, tokens[cut + 1 : -1]),
            ".",
        ]
    else:
        clause, tags = _statement(make, make.sampler.draw())
        question = tags[0].startswith(("S[wq]", "PP/NP")) or any("[wq]" in t for t in tags)
        tokens, tags = make.grammar.close(clause, question), [*tags, "."]
    return tuple(t.text for t in tokens), tuple(tags)
