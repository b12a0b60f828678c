"""Sentences: a frame and a form in, the tokens of one language out.

Sentences begin in lower case, so that a vocabulary of 3,000 pieces holds whole words; names and
German nouns keep their capitals. Articles are definite throughout where a language has them.
Each token carries its part of speech (UD), its entity tag (BIO) and its frame slot, so that every task
reads off one and the same rendering.
"""

from __future__ import annotations

from typing import NamedTuple

from xadapt.data.pocket import morphology as m
from xadapt.data.pocket.frames import NP, Frame
from xadapt.data.pocket.lexicon import Lexicon
from xadapt.data.pocket.phrases import Phrases, Token


class Form(NamedTuple):
    """How a frame is said.

    Attributes:
        object_first: a passive (en, de, es, sw) or a scrambled order (ru, tr, hi).
        front: ``time`` or ``place`` said first.
        negated: the event does not happen.
        ask: the slot that is asked for; the sentence is a question.
        pronoun: the agent is he, she or it.
    """

    object_first: bool = False
    front: str | None = None
    negated: bool = False
    ask: str | None = None
    pronoun: bool = False


PLAIN = Form()
STOPS = {"hi": "।"}
# Orders of slots. V is the verb, X what closes a German passive. Questions on a slot put it first
# (en de es ru) or leave it where the language asks (tr hi before the verb, sw in place).
ORDERS = {
    "en": "agent verb object recipient org manner place time",
    "de": "agent verb recipient time object org manner place",
    "es": "agent verb object recipient org manner place time",
    "ru": "agent manner verb recipient object org place time",
    "tr": "agent time place recipient object org manner verb",
    "sw": "agent verb object recipient org manner place time",
    "hi": "agent time place recipient object org manner verb",
}
OBJECT_FIRST = {
    "en": "object verb recipient agent manner place time",
    "de": "object verb recipient time agent manner place participle",
    "es": "object verb recipient agent manner place time",
    "ru": "object manner verb recipient agent place time",
    "tr": "object recipient time place agent manner verb",
    "sw": "object verb recipient agent manner place time",
    "hi": "object recipient time place agent manner verb",
}
# The word that asks for a slot; objects are asked for by ``what`` or ``whom``.
ASKING = {"agent": "who", "recipient": "to_whom", "place": "where", "time": "when"}


class Grammar(Phrases):
    """One language's clauses and sentences."""

    def __init__(self, language: str, lexicon: Lexicon) -> None:
        super().__init__(language, lexicon)
        self._orders = {False: ORDERS[language].split(), True: OBJECT_FIRST[language].split()}

    # --- clauses ------------------------------------------------------------------------------------
    def _verb(self, frame: Frame, form: Form) -> dict[str, list[Token]]:
        """The verb group: ``verb``, and in German passives ``participle``; ``aux`` for English questions."""
        lang, cell = self.language, self.cell(frame.verb)
        subject = frame.object if form.object_first else frame.agent
        assert subject is not None
        groups: dict[str, list[Token]] = {}

        def say(*pairs: tuple[str, str]) -> list[Token]:
            return [Token(w, p, "O", "verb") for w, p in pairs]

        if lang == "en":
            base, _, participle = cell.partition("/")
            if form.object_first:
                negation = (("not", "PART"),) if form.negated else ()
                groups["verb"] = say(("is", "AUX"), *negation, (participle, "VERB"))
            elif form.ask and form.ask != "agent":
                groups["aux"] = say(("does", "AUX"))
                groups["verb"] = say((base, "VERB"))
            elif form.negated:
                groups["verb"] = say(("does", "AUX"), ("not", "PART"), (base, "VERB"))
            else:
                groups["verb"] = say((m.en_third(base), "VERB"))
        elif lang == "de":
            present, _, participle = cell.partition("/")
            if form.object_first:
                groups["verb"] = say(("wird", "AUX"))
                groups["participle"] = say((participle, "VERB"))
            else:
                groups["verb"] = say((present, "VERB"))
            if form.negated:
                groups["not"] = say(("nicht", "PART"))
        elif lang == "es":
            present, _, participle = cell.partition("/")
            negation = (("no", "ADV"),) if form.negated else ()
            if form.object_first:
                participle = m.es_agree(participle, self.gender(subject))
                groups["verb"] = say(*negation, ("es", "AUX"), (participle, "VERB"))
            else:
                groups["verb"] = say(*negation, (present, "VERB"))
        elif lang == "ru":
            groups["verb"] = say(*((("не", "PART"),) if form.negated else ()), (cell, "VERB"))
        elif lang == "tr":
            affirmed, _, negated = cell.partition("/")
            *nouns, last = (negated if form.negated else affirmed).split()
            groups["verb"] = say(*((n, "NOUN") for n in nouns), (last, "VERB"))
        elif lang == "sw":
            noun_class = "1" if self.animate(subject) else self.gender(subject)
            verb, *nouns = m.sw_conjugate_phrase(cell, noun_class, form.negated, form.object_first)
            groups["verb"] = say((verb, "VERB"), *((n, "NOUN") for n in nouns))
        else:
            *nouns, stem = cell.split()
            ending = "ती" if self.gender(frame.agent) == "f" and form.ask != "agent" else "ता"
            negation = (("नहीं", "PART"),) if form.negated else ()
            groups["verb"] = say(
                *((n, "NOUN") for n in nouns), *negation, (stem + ending, "VERB"), ("है", "AUX")
            )
        return groups

    def _asked(self, frame: Frame, slot: str) -> list[Token]:
        if slot == "object":
            asking = "whom" if frame.object is not None and self.animate(frame.object) else "what"
        else:
            asking = ASKING[slot]
        return self.words(asking, "ADV" if slot in ("place", "time") else "PRON", slot)

    def clause(self, frame: Frame, form: Form = PLAIN) -> list[Token]:
        """The words of a clause, without punctuation."""
        lang = self.language
        passive = form.object_first and frame.object is not None
        if form.object_first and not passive:
            form = form._replace(object_first=False)
        parts = self._verb(frame, form)
        if form.pronoun:
            parts["agent"] = self._pronoun(frame.agent)
        else:
            parts["agent"] = list(self.phrase(frame.agent, "by" if passive else "nom", "agent"))
        if frame.object is not None:
            if passive:
                case = "nom" if lang in ("en", "de", "es", "sw") else "acc"
                # Hindi marks an object that comes first with को, unless the recipient has it
                slot = "first" if lang == "hi" and frame.recipient is None else "object"
                parts["object"] = list(self.phrase(frame.object, case, slot))
            else:
                parts["object"] = list(self.phrase(frame.object, "acc", "object"))
        if frame.recipient is not None:
            parts["recipient"] = list(self.phrase(frame.recipient, "dat", "recipient"))
        if frame.org is not None:
            parts["org"] = list(self.phrase(frame.org, "acc" if lang == "de" else "nom", "org"))
        if frame.place is not None:
            parts["place"] = list(self.phrase(frame.place, "loc", "place"))
        if frame.time is not None:
            parts["time"] = self.words(frame.time, "ADV", "time")
        if frame.manner is not None:
            parts["manner"] = self.words(frame.manner, "ADV", "manner")
        if form.ask:
            parts[form.ask] = self._asked(frame, form.ask)
        order = self._arrange(form, passive, parts)
        return [token for slot in order for token in parts.get(slot, ())]

    def _pronoun(self, np: NP) -> list[Token]:
        """He, she or it; agents of passives are never pronouns, the caller sees to it."""
        lang, gender = self.language, self.gender(np)
        if lang in ("en", "sw", "tr"):  # natural gender: what Spanish marks on people
            mark = (
                self.lexicon[np.name[0]].isa
                if np.head == "per"
                else ("n" if np.name else self.lexicon[np.head].words["es"].partition(".")[2])
            )
            if lang == "en" and not np.name and "person" not in self.lexicon.ancestors(np.head):
                mark = "m" if np.head == "person" else "n"
            gender = mark
        return self.words({"f": "she", "n": "it"}.get(gender, "he"), "PRON", "agent")

    def _arrange(self, form: Form, passive: bool, parts: dict[str, list[Token]]) -> list[str]:
        """The order of slots for this form."""
        lang, order = self.language, list(self._orders[passive])
        ask = form.ask
        if "not" in parts:  # German: before manner and place
            order.insert(order.index("manner"), "not")
        if ask:
            if lang in ("en", "de", "es", "ru"):
                order.remove(ask)
                order.insert(0, ask)
                if ask != "agent" and lang in ("de", "es"):
                    order.remove("agent")
                    order.insert(order.index("verb") + 1, "agent")
                if "aux" in parts:
                    order.insert(1, "aux")
            elif lang == "sw":
                if ask in ("place", "time"):
                    order.remove(ask)
                    order.append(ask)
            else:
                order.remove(ask)
                order.insert(order.index("verb"), ask)
            if form.front and form.front in parts:
                order.remove(form.front)
                order.insert(0, form.front)
        elif form.front and form.front in parts:
            order.remove(form.front)
            order.insert(0, form.front)
            if lang == "de":
                order.remove("verb")
                order.insert(1, "verb")
        return order

    # --- sentences ----------------------------------------------------------------------------------
    def sentence(self, frame: Frame, form: Form = PLAIN) -> list[Token]:
        """A clause with its punctuation."""
        return self.close(self.clause(frame, form), bool(form.ask))

    def close(self, tokens: list[Token], question: bool = False) -> list[Token]:
        """Full stop, danda or question marks."""
        if not question:
            return [*tokens, Token(STOPS.get(self.language, "."), "PUNCT", "O", "")]
        opening = [Token("¿", "PUNCT", "O", "")] if self.language == "es" else []
        return [*opening, *tokens, Token("?", "PUNCT", "O", "")]

    def joined(self, first: Frame, second: Frame) -> list[Token]:
        """Two clauses with and."""
        return self.close([*self.clause(first), *self.words("and", "CCONJ"), *self.clause(second)])

    def attribute(self, np: NP, adj: str, negated: bool = False) -> list[Token]:
        """``the apple is (not) red``."""
        lang, gender = self.language, self.gender(np)
        subject = list(self.phrase(np, "nom", "agent"))
        cell = self.cell(adj)
        if lang == "sw":
            noun_class = "1" if self.animate(np) else gender
            tail = [("si" if negated else "ni", "AUX"), (m.sw_adjective(cell, noun_class), "ADJ")]
        elif lang == "hi":
            tail = [
                (m.hi_adjective(cell, gender, False), "ADJ"),
                *([("नहीं", "PART")] if negated else []),
                ("है", "AUX"),
            ]
        elif lang == "tr":
            tail = [(cell, "ADJ"), *([("değil", "AUX")] if negated else [])]
        elif lang == "ru":
            animate = self.animate(np)
            tail = [
                *([("не", "PART")] if negated else []),
                (m.ru_adjective(cell, gender, "nom", animate), "ADJ"),
            ]
        elif lang == "es":
            tail = [*([("no", "ADV")] if negated else []), ("es", "AUX"), (m.es_agree(cell, gender), "ADJ")]
        else:
            word = m.split_cell(cell)[0]
            tail = [
                ("is" if lang == "en" else "ist", "AUX"),
                *([("not" if lang == "en" else "nicht", "PART")] if negated else []),
                (word, "ADJ"),
            ]
        return self.close([*subject, *(Token(w, p, "O", "attribute") for w, p in tail)])

    def kind_of(self, noun: str, hypernym: str) -> list[Token]:
        """``the apple is a fruit``."""
        lang, subject = self.language, list(self.phrase(NP(noun), "nom", "agent"))
        word = m.split_cell(self.cell(hypernym))[0]
        mark = m.split_cell(self.cell(hypernym))[2]
        article = {
            "en": "an" if word[0] in "aeiou" else "a",
            "de": "eine" if mark == "f" else "ein",
            "es": "una" if mark == "f" else "un",
            "tr": "bir",
            "hi": "एक",
        }.get(lang, "")
        link = self.words("is_a", "PRON" if lang == "ru" else "AUX", "attribute")
        nouns = [Token(w, "NOUN", "O", "attribute") for w in word.split()]
        kind = [Token(article, "DET", "O", "attribute"), *nouns] if article else nouns
        return self.close([*subject, *kind, *link] if lang == "hi" else [*subject, *link, *kind])
