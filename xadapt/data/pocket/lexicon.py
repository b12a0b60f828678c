"""The pocket world's words: ``lexicon.tsv``, one concept a row, one column a language.

Columns: ``concept kind isa marks`` and the seven languages. What a cell may hold:

* nouns (``being``, ``thing``, ``place``): ``word~oblique stem.mark``. The mark is the gender in de,
  es, ru and hi and the noun class in sw. ``isa`` is the hypernym; a place's ``marks`` are prepositions.
* verbs (``vt`` ``vi`` ``vd`` ``vl`` ``vo``): ``present/participle`` (en, de, es), ``present/negated
  present`` (tr), ``stem/negated stem/passive stem`` (sw), stem (hi). ``marks`` are three lists joined by
  ``;``: who does it, to what, where. They are the affinities that make the text predictable.
* adjectives (``adj``): ``isa`` is the scale with its pole (``size+`` against ``size-``; ``colour`` has
  no poles), ``marks`` the categories it may describe. In sw ``=word`` does not inflect.
* ``manner``, ``time`` and ``word`` (question words, pronouns, links): words, some with the one letter of
  their part of speech; ``-`` where a language does without.
* names (``per``, ``sur``, ``loc``, ``org``, ``orgtype``): ``=`` is the English spelling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "de", "es", "ru", "tr", "sw", "hi")
COLOUR = "colour"


@dataclass(frozen=True)
class Concept:
    """One row. ``words`` maps a language to its cell, with what ``=`` and ``-`` stand for in their place."""

    name: str
    kind: str
    isa: str
    marks: str
    words: Mapping[str, str]


class Lexicon:
    """The rows with the questions that grammar and frames ask of them."""

    def __init__(self, concepts: list[Concept]) -> None:
        self.concepts = {c.name: c for c in concepts}
        self.by_kind: dict[str, tuple[str, ...]] = {}
        for c in concepts:
            self.by_kind[c.kind] = (*self.by_kind.get(c.kind, ()), c.name)
        self._children: dict[str, tuple[str, ...]] = {}
        for c in concepts:
            if c.kind in ("being", "thing", "place") and c.isa != "-":
                self._children[c.isa] = (*self._children.get(c.isa, ()), c.name)
        scales: dict[str, list[str]] = {}
        for c in concepts:
            if c.kind in ("adj", "manner"):
                scales.setdefault(c.isa.rstrip("+-"), []).append(c.name)
        self._scales = {s: tuple(v) for s, v in scales.items()}
        # Asked again for every sentence, and the rows do not change.
        self.leaves = cache(self._leaves)
        self.ancestors = cache(self._ancestors)
        self.arguments = cache(self._arguments)
        self.describes = cache(self._describes)

    def __getitem__(self, name: str) -> Concept:
        return self.concepts[name]

    def parent(self, name: str) -> str | None:
        """The hypernym, ``None`` at a root."""
        isa = self.concepts[name].isa
        return isa if isa in self.concepts else None

    def children(self, name: str) -> tuple[str, ...]:
        """Direct hyponyms; ``()`` at a leaf."""
        return self._children.get(name, ())

    def _ancestors(self, name: str) -> tuple[str, ...]:
        """Hypernyms from the nearest to the root."""
        found: list[str] = []
        up = self.parent(name)
        while up is not None:
            found.append(up)
            up = self.parent(up)
        return tuple(found)

    def _leaves(self, name: str) -> tuple[str, ...]:
        """``name`` if it has no hyponym, else all leaves below it."""
        below = self.children(name)
        if not below:
            return (name,)
        return tuple(leaf for child in below for leaf in self.leaves(child))

    def _arguments(self, verb: str) -> tuple[tuple[str, ...], ...]:
        """(agents, objects, places) that a verb takes: leaves only, an inner noun stands for all below it."""
        lists = (part.split(",") if part != "-" else [] for part in self.concepts[verb].marks.split(";"))
        return tuple(self._below(names) for names in lists)

    def _below(self, names: Sequence[str]) -> tuple[str, ...]:
        """The leaves below nouns, or below the roots of a kind of nouns."""
        leaves: dict[str, None] = {}
        for name in names:
            roots = [n for n in self.by_kind.get(name, ()) if self.parent(n) is None] or [name]
            leaves.update(dict.fromkeys(leaf for root in roots for leaf in self.leaves(root)))
        return tuple(leaves)

    def rivals(self, adjective: str) -> tuple[str, ...]:
        """Adjectives or manners that exclude this one: the other pole, or the other colours."""
        scale = self._scales[self.concepts[adjective].isa.rstrip("+-")]
        return tuple(a for a in scale if a != adjective)

    def _describes(self, noun: str) -> tuple[str, ...]:
        """The adjectives that may describe a noun."""
        belongs = {noun, self.concepts[noun].kind, *self.ancestors(noun)}
        if COLOUR in self.concepts[noun].marks.split(","):
            belongs.add(COLOUR)
        return tuple(
            a for a in self.by_kind["adj"] if belongs.intersection(self.concepts[a].marks.split(","))
        )


def read_lexicon(path: Path | None = None) -> Lexicon:
    """Parse ``lexicon.tsv`` (beside this file unless told otherwise)."""
    text = (path or Path(__file__).with_name("lexicon.tsv")).read_text(encoding="utf-8")
    header, *rows = (line.split("\t") for line in text.splitlines() if line)
    concepts = []
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        words = {lang: {"=": cells["en"], "-": ""}.get(cells[lang], cells[lang]) for lang in LANGUAGES}
        concepts.append(Concept(cells["concept"], cells["kind"], cells["isa"], cells["marks"], words))
    return Lexicon(concepts)
