r"""A small CKY parser for categories of combinatory categorial grammar, to prove supertags by.

Rules: application and composition (forward, backward, backward crossed), type raising of noun and
prepositional phrases, and CCGbank's unary N to NP, conjunction and punctuation.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple


class Atom(NamedTuple):
    name: str
    feature: str  # "" where it takes any


class Functor(NamedTuple):
    result: Category
    slash: str
    argument: Category


Category = Atom | Functor


@cache
def read(text: str) -> Category:
    """Left-associative; brackets group."""
    depth = 0
    for i in range(len(text) - 1, -1, -1):
        depth += (text[i] == ")") - (text[i] == "(")
        if depth == 0 and text[i] in "/\\":
            return Functor(read(text[:i]), text[i], read(text[i + 1 :]))
    if text.startswith("("):
        return read(text[1:-1])
    name, _, feature = text.partition("[")
    return Atom(name, feature.rstrip("]"))


def bind(wanted: Category, given: Category, feature: str = "") -> str | None:
    """The feature that ``wanted``'s open ``S`` take to equal ``given``; ``None`` where they differ."""
    if isinstance(wanted, Atom) or isinstance(given, Atom):
        if not (isinstance(wanted, Atom) and isinstance(given, Atom)) or wanted.name != given.name:
            return None
        if wanted.name != "S" or wanted.feature == given.feature:
            return feature
        if wanted.feature and given.feature:
            return None
        found = wanted.feature or given.feature
        return found if not feature or feature == found else None
    if wanted.slash != given.slash:
        return None
    inner = bind(wanted.result, given.result, feature)
    return None if inner is None else bind(wanted.argument, given.argument, inner)


def fill(category: Category, feature: str) -> Category:
    """Open ``S`` with the feature."""
    if isinstance(category, Atom):
        return category._replace(feature=feature) if category == Atom("S", "") else category
    return Functor(fill(category.result, feature), category.slash, fill(category.argument, feature))


def combine(left: Category, right: Category) -> set[Category]:
    """All that two neighbours make."""
    made: set[Category] = set()
    full_stop, conj = Atom(".", ""), Atom("conj", "")
    if right == full_stop:
        made.add(left)
    if left == conj and right == Atom("S", "dcl"):
        made.add(Functor(right, "\\", right))
    if isinstance(left, Functor) and left.slash == "/":
        feature = bind(left.argument, right)
        if feature is not None:  # X/Y Y -> X
            made.add(fill(left.result, feature))
        if isinstance(right, Functor) and right.slash == "/":
            feature = bind(left.argument, right.result)
            if feature is not None:  # X/Y Y/Z -> X/Z
                made.add(Functor(fill(left.result, feature), "/", fill(right.argument, feature)))
    if isinstance(right, Functor) and right.slash == "\\":
        feature = bind(right.argument, left)
        if feature is not None:  # Y X\Y -> X
            made.add(fill(right.result, feature))
        if isinstance(left, Functor):
            feature = bind(right.argument, left.result)
            if feature is not None:  # Y\Z X\Y -> X\Z, and crossed: Y/Z X\Y -> X/Z
                made.add(Functor(fill(right.result, feature), left.slash, fill(left.argument, feature)))
    return made


VP = read(r"S\NP")


def raised(category: Category) -> set[Category]:
    """Unary rules: N to NP, NP to S/(S\\NP), PP to (S\\NP)\\((S\\NP)/PP)."""
    if category == Atom("N", ""):
        noun_phrase = Atom("NP", "")
        return {noun_phrase, *raised(noun_phrase)}
    if category == Atom("NP", ""):
        return {Functor(Atom("S", ""), "/", VP)}
    if category == Atom("PP", ""):
        return {Functor(VP, "\\", Functor(VP, "/", category))}
    return set()


def spans(tags: tuple[str, ...]) -> set[Category]:
    """What the whole sequence can be."""
    size = len(tags)
    chart: dict[tuple[int, int], set[Category]] = {}
    for i, tag in enumerate(tags):
        category = read(tag)
        chart[i, i + 1] = {category, *raised(category)}
    for width in range(2, size + 1):
        for i in range(size - width + 1):
            cell: set[Category] = set()
            for j in range(i + 1, i + width):
                for left in chart[i, j]:
                    for right in chart[j, i + width]:
                        cell |= combine(left, right)
            chart[i, i + width] = cell.union(*(raised(c) for c in cell))
    return chart[0, size]
