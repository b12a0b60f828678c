"""Who is meant: mentions in context and descriptions of people, in all languages at once: ``mewslix``.

As in Mewsli-X (Ruder et al. 2021, https://aclanthology.org/2021.emnlp-main.802/) a query is a mention
with its context, and candidates describe entities, each in one language. Many bear the same name: what the
context says of profession, home and habits decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from xadapt.data.pocket.frames import NP, Frame
from xadapt.data.pocket.grammar import Grammar
from xadapt.data.pocket.lexicon import LANGUAGES, Lexicon
from xadapt.data.pocket.making import Maker
from xadapt.data.pocket.phrases import Token
from xadapt.tasks.examples import Sought

# entities and mentions a split; training entities are described in English
SIZES = {"train": (2_000, 6_000), "dev": (300, 300), "test": (600, 300)}
HABITS = ("play", "paint", "repair", "wash", "feed", "drive", "buy", "read", "cut", "clean")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a name that others bear too.

    Attributes:
        name: the name's concepts.
        trade: what he or she is.
        home: a city or country.
        habit: (verb, object).
    """

    name: tuple[str, ...]
    trade: str
    home: str
    habit: tuple[str, str]

    def np(self, whole: bool = True) -> NP:
        return NP("per", None, self.name if whole else self.name[:1])


def _trades(lexicon: Lexicon) -> dict[str, list[str]]:
    """Professions by the gender that the languages mark on them, so that they agree with a name's."""
    found: dict[str, list[str]] = {"f": [], "m": []}
    for n in lexicon.leaves("person"):
        ups = lexicon.ancestors(n)
        genders = {lexicon[n].words[lang].rpartition(".")[2] for lang in ("de", "es", "hi")}
        if ("worker" in ups or "artist" in ups or n == "student") and len(genders) == 1:
            found[genders.pop()].append(n)
    return found


def _people(make: Maker, count: int) -> list[Person]:
    """Different people of this split; in groups that share a name, and mostly a home or a trade."""
    rng, sampler = make.rng, make.sampler
    trades = _trades(make.lexicon)
    found: dict[Person, None] = {}
    while len(found) < count:
        first = sampler.person()
        mine = trades[make.lexicon[first.name[0]].isa]
        habit = _habit(make, first.name[0])
        one = Person(first.name, rng.choice(mine), sampler.location().name[0], habit)
        for _ in range(6):
            if make.owns_text(f"{one.name[0]}|{one.trade}|{one.home}") and len(found) < count:
                found[one] = None
            change = rng.choice(("trade", "home", "habit", "surname"))
            if change == "trade":
                one = replace(one, trade=rng.choice(mine))
            elif change == "home":
                one = replace(one, home=sampler.location().name[0])
            elif change == "habit":
                one = replace(one, habit=_habit(make, one.name[0]))
            else:
                one = replace(one, name=(one.name[0], *sampler.person().name[1:]))
    return list(found)


def _habit(make: Maker, given: str) -> tuple[str, str]:
    """What somebody of that name does, of this split's frames."""
    while True:
        verb = make.rng.choice(HABITS)
        thing = make.rng.choice(make.lexicon.arguments(verb)[1])
        if not make.is_person(NP(thing)) and make.owns(Frame(verb, NP("per", None, (given,)), NP(thing))):
            return verb, thing


def _trade(make: Maker, grammar: Grammar, person: Person, subject: NP) -> list[Token]:
    """``Max Keller is a baker.``: a definition with a name in the noun's place."""
    tokens = grammar.kind_of("person", person.trade)
    before = [i for i, t in enumerate(tokens) if t.slot == "agent"]
    return [*grammar.phrase(subject, "nom", "agent"), *tokens[len(before) :]]


def _description(make: Maker, grammar: Grammar, person: Person) -> str:
    """Trade, home and habit, the name said once or twice."""
    np = person.np()
    verb, thing = person.habit
    home = Frame("live", np, place=NP("loc", None, (person.home,)))
    habit = Frame(verb, np, NP(thing))
    return make.text(
        [
            *_trade(make, grammar, person, np),
            *grammar.sentence(home),
            *grammar.sentence(habit),
        ]
    )


def _tells(one: Person, other: Person, clues: list[str]) -> bool:
    """Do the clues fit the other one too?"""
    return all(getattr(one, c) == getattr(other, c) for c in clues)


def _mention(make: Maker, person: Person, kin: list[Person]) -> str | None:
    """Two or three sentences that together fit nobody else of that name; ``None`` where there are none."""
    rng = make.rng
    clues = rng.sample(("trade", "home", "habit"), rng.choice((1, 2, 2, 3)))
    if any(_tells(person, other, clues) for other in kin if other is not person):
        return None
    np = person.np(whole=False)
    home = NP("loc", None, (person.home,))
    told: list[list[Token]] = []
    verb, thing = person.habit
    if "habit" in clues:
        frame = Frame(verb, np, NP(thing), time=rng.choice(make.lexicon.by_kind["time"]))
        # where it happens may say where he is at home
        if "home" in clues and rng.random() < 0.5:
            frame = frame._replace(place=home)
            clues.remove("home")
        told.append(make.told(frame))
    if "home" in clues:
        act = rng.choice(("live", "work", "rest", "wait"))
        told.append(make.grammar.sentence(Frame(act, np, place=home)))
    if "trade" in clues:
        told.append(_trade(make, make.grammar, person, np))
    # something that says nothing of who it is; without a habit, what makes the text this split's
    if "habit" not in clues or rng.random() < 0.5:
        told.append(_aside(make, np, verb))
    rng.shuffle(told)
    return make.text([t for s in told for t in s])


def _aside(make: Maker, np: NP, habit: str) -> list[Token]:
    while True:
        other = make.free.draw(rate=0.5)._replace(agent=np)
        people = [
            o for o in (other.object, other.recipient) if o is not None and (o.name or make.is_person(o))
        ]
        if not people and other.verb not in ("live", habit) and other.place is None and make.owns(other):
            return make.grammar.sentence(other)


def mewslix(make: Maker, task: str, count: int) -> list[Sought]:
    """Mentions of given names in one language; descriptions in English (train) or, by turns, in all."""
    make.reseed(f"{task}-{make.split}")
    rng, language = make.rng, make.grammar.language
    grammars = {lang: Grammar(lang, make.lexicon) for lang in LANGUAGES}
    entities, mentions = SIZES[make.split]
    people = _people(make, entities)
    rng.shuffle(people)
    namesakes: dict[str, list[Person]] = {}
    for person in people:
        namesakes.setdefault(person.name[0], []).append(person)
    number = {person: f"Q{i}" for i, person in enumerate(people)}
    items: list[Sought] = []
    while len(items) < mentions:
        person = rng.choice(people)
        context = _mention(make, person, namesakes[person.name[0]])
        if context is None:
            continue
        name = make.text(list(make.grammar.phrase(person.np(whole=False), "nom", "agent")))
        items.append(Sought(f"{language}-{len(items)}", "query", name, context, (number[person],)))
    for i, person in enumerate(people):
        grammar = grammars["en" if make.split == "train" else LANGUAGES[i % len(LANGUAGES)]]
        title = make.text(list(grammar.phrase(person.np(), "nom", "agent")))
        description = _description(make, grammar, person)
        items.append(Sought(number[person], "candidate", title, description, None))
    return items
