"""Words in a sentence's company: noun phrases and adverbials of one language, as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xadapt.data.pocket import morphology as m
from xadapt.data.pocket.frames import NP
from xadapt.data.pocket.lexicon import Lexicon

POS = {"P": "ADP", "D": "DET", "N": "NOUN", "R": "ADV", "O": "PROPN", "J": "ADJ"}


class Token(NamedTuple):
    """One word. ``slot`` is ``agent``, ``verb``, ``object``, ... or ``""`` for punctuation."""

    text: str
    pos: str
    ner: str
    slot: str


class Phrases:
    """Noun phrases are remembered, since they recur."""

    def __init__(self, language: str, lexicon: Lexicon) -> None:
        self.language, self.lexicon = language, lexicon
        self._phrases: dict[tuple[NP, str, str], tuple[Token, ...]] = {}

    def cell(self, concept: str) -> str:
        """The lexicon's cell in this language; empty where it does without the word."""
        return self.lexicon[concept].words[self.language]

    def gender(self, np: NP) -> str:
        """The mark that agreement follows: gender, or the noun class in Swahili."""
        lang = self.language
        if np.name:
            if lang == "sw":
                return "1"
            if np.head != "per":
                return "m"
            return self.lexicon[np.name[0]].isa
        mark = m.split_cell(self.cell(np.head))[2]
        if lang == "ru":
            gender = m.ru_gender(mark)
            return gender if gender in ("f", "n", "i") else "m"
        if lang == "hi":
            return "f" if mark == "f" else "m"
        return mark

    def animate(self, np: NP) -> bool:
        """People and animals, named or not."""
        return np.head == "per" or (not np.name and self.lexicon[np.head].kind == "being")

    def phrase(self, np: NP, case: str, slot: str) -> tuple[Token, ...]:
        """A noun phrase with its adposition or case ending."""
        key = (np, case, slot)
        found = self._phrases.get(key)
        if found is None:
            found = tuple(self._name(np, case, slot) if np.name else self._noun(np, case, slot))
            self._phrases[key] = found
        return found

    def _name(self, np: NP, case: str, slot: str) -> list[Token]:
        lang, kind = self.language, np.head.upper()
        words = [w for part in np.name for w in self.cell(part).split()]
        if lang == "ru" and np.head != "org":
            feminine = np.head == "per" and self.lexicon[np.name[0]].isa == "f"
            first = 0 if np.head == "per" else len(words) - 1
            words = [
                m.ru_name(w, case if case != "by" else "nom", feminine, np.head == "per") if i >= first else w
                for i, w in enumerate(words)
            ]
        if lang == "tr" and case not in ("nom", "by") and slot != "org":
            words[-1] = m.tr_suffix(words[-1], words[-1], case, "'")
        tokens = [Token(w, "PROPN", ("B-" if i == 0 else "I-") + kind, slot) for i, w in enumerate(words)]
        return self._adpositions(np, case, slot, tokens)

    def _noun(self, np: NP, case: str, slot: str) -> list[Token]:
        lang, cell, gender = self.language, self.cell(np.head), self.gender(np)
        adj = self.cell(np.adj) if np.adj else ""
        animate = self.animate(np)
        tokens: list[Token] = []
        if lang == "en":
            tokens = [Token("the", "DET", "O", slot)]
            word = cell
        elif lang == "de":
            article, word = m.de_noun(cell, "dat" if case in ("loc", "by") else case)
            tokens = [Token(article, "DET", "O", slot)]
            adj = m.de_adjective(adj, gender, "dat" if case in ("loc", "by") else case) if adj else ""
        elif lang == "es":
            word = m.split_cell(cell)[0]
            tokens = [Token("la" if gender == "f" else "el", "DET", "O", slot)]
            adj = m.es_agree(adj, gender)
        elif lang == "ru":
            word = m.ru_noun(cell, "nom" if case == "by" else case, animate)
            adj = m.ru_adjective(adj, gender, case, animate) if adj else ""
        elif lang == "tr":
            word = m.tr_suffix(*m.split_cell(cell)[:2], case)
        elif lang == "sw":
            word = m.split_cell(cell)[0]
            adj = m.sw_adjective(adj, gender) if adj else ""
        else:
            oblique = case in ("dat", "loc") or (case == "acc" and (animate or slot == "first"))
            word, _ = m.hi_noun(cell, oblique)
            adj = m.hi_adjective(adj, gender, oblique) if adj else ""
        nouns = [Token(w, "NOUN", "O", slot) for w in word.split()]
        if adj:
            if lang in ("es", "sw"):
                nouns.append(Token(adj, "ADJ", "O", slot))
            else:
                nouns.insert(0, Token(adj, "ADJ", "O", slot))
        return self._adpositions(np, case, slot, tokens + nouns)

    def _adpositions(self, np: NP, case: str, slot: str, tokens: list[Token]) -> list[Token]:
        lang = self.language
        before = after = ""
        if slot == "org":
            before = {"en": "for", "de": "für", "es": "para", "ru": "в", "sw": "kwa"}.get(lang, "")
            after = {"tr": "için", "hi": "के लिए"}.get(lang, "")
        elif case == "loc":
            before = {"en": "in", "de": "in", "es": "en", "ru": "в", "sw": "katika"}.get(lang, "")
            after = {"hi": "में"}.get(lang, "")
            if not np.name:
                marks = self.lexicon[np.head].marks
                own = dict(p.split("=") for p in marks.split(",") if "=" in p)
                before = own.get(lang, before) if lang != "hi" else ""
                after = own.get("hi", after) if lang == "hi" else ""
                if lang == "ru" and m.split_cell(self.cell(np.head))[2].startswith("na"):
                    before = "на"
        elif case == "dat":
            before = {"en": "to", "es": "a", "sw": "kwa"}.get(lang, "")
            after = {"hi": "को"}.get(lang, "")
        elif case == "by":
            before = {"en": "by", "de": "von", "es": "por", "sw": "na"}.get(lang, "")
        elif case == "acc":
            animate = self.animate(np)
            before = "a" if lang == "es" and animate else ""
            after = "को" if lang == "hi" and (animate or slot == "first") else ""
        if lang == "es" and before == "a" and tokens[0].text == "el":
            before, tokens = "al", tokens[1:]
        slot = "object" if slot == "first" else slot
        around = [Token(w, "ADP", "O", slot) for w in before.split()]
        behind = [Token(w, "ADP", "O", slot) for w in after.split()]
        return [*around, *(t._replace(slot=slot) for t in tokens), *behind]

    def words(self, concept: str, pos: str, slot: str = "") -> list[Token]:
        """A cell's own words as tokens, of the part of speech that each is marked with (``in_P the_D
        morning_N``), else of ``pos``; none where the language does without."""
        tokens = []
        for part in self.cell(concept).split():
            word, _, code = part.partition("_")
            tokens.append(Token(word, POS[code] if code else pos, "O", slot))
        return tokens


def spell(tokens: Sequence[Token]) -> tuple[str, list[int]]:
    """The text, and where each token begins in it, in characters: words joined by spaces, with none
    before punctuation and none after ``¿``."""
    pieces: list[str] = []
    starts: list[int] = []
    at = 0
    glue = True
    for token in tokens:
        closing = token.pos == "PUNCT" and token.text != "¿"
        if not glue and not closing:
            pieces.append(" ")
            at += 1
        starts.append(at)
        pieces.append(token.text)
        at += len(token.text)
        glue = token.text == "¿"
    return "".join(pieces), starts
