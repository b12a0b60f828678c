"""Pools of sentences to find translations in: ``tatoeba`` and ``bucc``."""

from __future__ import annotations

from collections.abc import Iterator

from xadapt.data.pocket.frames import NP, Frame
from xadapt.data.pocket.grammar import Grammar
from xadapt.data.pocket.making import DAYS, HOURS, NEAR, SEASONS, Maker
from xadapt.tasks.examples import Paired, Sought

FAMILY = 60  # near-twins of a sentence in Tatoeba's pool: the fewer, the easier for the bare backbone
ARGUMENTS = ("agent", "object", "recipient", "place", "time", "org")


def sibling(make: Maker, np: NP) -> NP:
    """The nearest other noun or name: of the same hypernym, or with another adjective."""
    rng, lexicon = make.rng, make.lexicon
    if np.name:
        return {"per": make.sampler.person, "loc": make.sampler.location}.get(np.head, make.sampler.company)()
    roll = rng.random()
    if np.adj and roll < 0.5:
        return NP(np.head, rng.choice([*lexicon.rivals(np.adj), *lexicon.describes(np.head)]))
    parent = lexicon.parent(np.head)
    near = lexicon.children(parent) if parent is not None else ()
    leaves = [n for n in near if n != np.head and not lexicon.children(n)]
    if not leaves:
        return np
    other = rng.choice(leaves)
    return NP(other, np.adj if np.adj in lexicon.describes(other) else None)


def twin(make: Maker, frame: Frame) -> Frame:
    """The same event but for one slot, which has the value nearest to its own."""
    rng = make.rng
    slot = rng.choice([s for s in (*ARGUMENTS, "manner") if s in frame.slots()])
    value = getattr(frame, slot)
    if slot == "time":
        group = next(g for g in (DAYS, SEASONS, HOURS, NEAR) if value in g)
        return frame.put(slot, rng.choice([t for t in group if t != value]))
    if slot == "manner":
        return frame.put(slot, rng.choice(make.lexicon.rivals(value)))
    return frame.put(slot, sibling(make, value))


def family(make: Maker, size: int) -> Iterator[Frame]:
    """``size`` sentences of one verb, each a twin of one before it, with long sentences to start from."""
    first = make.sampler.draw(rate=1.4)
    while len(first.slots()) < 4:
        first = make.sampler.draw(rate=1.4)
    found = [first]
    for _ in range(20 * size):
        if len(found) == size:
            break
        # of the first ones more often: a star, not a chain, so that all stay near
        new = twin(make, found[min(make.rng.randrange(len(found)), make.rng.randrange(len(found)))])
        taken = [np.key() for s in ("agent", "object", "recipient") if (np := getattr(new, s)) is not None]
        if new not in found and len(set(taken)) == len(taken):
            found.append(new)
    yield from found


def tatoeba(make: Maker, task: str, count: int) -> list[Paired]:
    """Translations, in families of near-twins; no English sentence twice."""
    english = Grammar("en", make.lexicon)
    items: list[Paired] = []
    seen: set[str] = set()
    number = 0
    while len(items) < count:
        make.reseed(f"{task}-test-{number}")
        number += 1
        for frame in family(make, FAMILY):
            target = make.text(english.sentence(frame))
            if target not in seen and len(items) < count:
                seen.add(target)
                items.append(Paired(f"{task}-test-{len(items)}", make.say(frame), target))
    return items


# --- bucc -----------------------------------------------------------------------------------------
BUCC_QUERIES, BUCC_CANDIDATES, BUCC_PAIRS = 1_000, 1_500, 250


def bucc(make: Maker, task: str, count: int) -> list[Sought]:
    """Queries in one language, candidates in English; a quarter of the queries have a translation there,
    near-twins of most are there."""
    english, language = Grammar("en", make.lexicon), make.grammar.language
    make.reseed(f"{task}-{make.split}")
    rng = make.rng
    both: list[Frame] = []
    queried: list[Frame] = []
    offered: list[Frame] = []
    seen: set[Frame] = set()
    while len(both) < BUCC_PAIRS or len(queried) < BUCC_QUERIES or len(offered) < BUCC_CANDIDATES:
        for frame in family(make, rng.randint(3, 7)):
            roll = rng.random()
            if frame in seen or not make.owns(frame):
                continue
            seen.add(frame)
            if roll < 0.12 and len(both) < BUCC_PAIRS:
                both.append(frame)
            elif roll < 0.45:
                queried.append(frame)
            else:
                offered.append(frame)
    queries = [*both, *queried[: BUCC_QUERIES - len(both)]]
    candidates = [*both, *offered[: BUCC_CANDIDATES - len(both)]]
    rng.shuffle(queries)
    rng.shuffle(candidates)
    # numbered like the shared task's files: the numbers of the two sides have nothing to do with each other
    where = {frame: f"en-{i:09d}" for i, frame in enumerate(candidates, 1)}
    gold = set(both)
    items: list[Sought] = []
    for i, frame in enumerate(queries, 1):
        answers = (where[frame],) if frame in gold else ()
        text = make.tell(frame)
        items.append(Sought(f"{language}-{i:09d}", "query", text, "", answers))
    for frame in candidates:
        form = make.form(frame)
        text = make.text(english.sentence(frame, form))
        items.append(Sought(where[frame], "candidate", text, "", None))
    return items
