"""Word forms: how a cell of the lexicon becomes the word that a sentence needs.

Cases are ``nom``, ``acc``, ``dat``, ``loc`` and ``by`` (the agent of a passive). Only what the grammar
asks for is here; singular and present tense throughout.
"""

from __future__ import annotations

BACK = {
    "a": ("ı", "a"),
    "ı": ("ı", "a"),
    "â": ("ı", "a"),
    "o": ("u", "a"),
    "u": ("u", "a"),
    "e": ("i", "e"),
    "i": ("i", "e"),
    "ö": ("ü", "e"),
    "ü": ("ü", "e"),
}
DE_ARTICLES = {"m": ("der", "den", "dem"), "f": ("die", "die", "der"), "n": ("das", "das", "dem")}
SW_SUBJECT = {"1": "a", "3": "u", "5": "li", "6": "ya", "7": "ki", "9": "i", "11": "u", "16": "pa"}
SW_ADJECTIVE = {"1": "m", "3": "m", "5": "", "6": "ma", "7": "ki", "9": "", "11": "m", "16": "pa"}


def split_cell(cell: str) -> tuple[str, str, str]:
    """``word~oblique.mark`` -> (word, oblique or word, mark or "")."""
    body, _, mark = cell.partition(".")
    word, _, oblique = body.partition("~")
    return word, oblique or word, mark


# --- German ---------------------------------------------------------------------------------------
def de_noun(cell: str, case: str) -> tuple[str, str]:
    """(article, noun)"""
    word, oblique, gender = split_cell(cell)
    article = DE_ARTICLES[gender][0 if case == "nom" else 1 if case == "acc" else 2]
    return article, word if case == "nom" else oblique


def de_adjective(cell: str, gender: str, case: str) -> str:
    """After a definite article: -e in the nominative and for f, n in the accusative, else -en."""
    _, stem, _ = split_cell(cell)
    strong = case == "nom" or (case == "acc" and gender != "m")
    return stem + ("e" if strong else "en")


# --- Spanish --------------------------------------------------------------------------------------
def es_agree(word: str, gender: str) -> str:
    """Adjective or participle; ``e`` marks feminine nouns with the article el."""
    return word[:-1] + "a" if gender in ("f", "e") and word.endswith("o") else word


# --- Russian --------------------------------------------------------------------------------------
def ru_gender(mark: str) -> str:
    """``na`` and ``naf`` are a masculine and a feminine place that take на; ``mu`` has a locative in -у."""
    return {"na": "m", "naf": "f", "mu": "m", "": "m"}.get(mark, mark[:1])


def ru_noun(cell: str, case: str, animate: bool) -> str:
    """Declined by its ending; ``i`` does not decline, ``k`` is a soft masculine stem, ``w`` an adjective."""
    word, stem, mark = split_cell(cell)
    gender = ru_gender(mark)
    if case == "loc" and mark.endswith("u"):  # the old locative: в саду
        return word + "у"
    if case == "nom" or gender == "i" or (gender == "n" and case == "acc"):
        return word
    masculine = gender in ("m", "k", "w") and word[-1] not in "ая"
    if masculine and case == "acc" and not animate:
        return word
    if gender == "w":
        return stem + {"acc": "его", "dat": "ему", "loc": "ем"}[case]
    if masculine:
        soft = word[-1] in "ьй" or gender == "k"
        base = stem if stem != word else word[:-1] if soft else word
        return (
            base
            + ({"acc": "я", "dat": "ю", "loc": "е"} if soft else {"acc": "а", "dat": "у", "loc": "е"})[case]
        )
    if gender == "n":
        ending = "и" if word.endswith("ие") and case == "loc" else "е"
        return word[:-1] + ({"dat": "у" if word[-1] == "о" else "ю", "loc": ending})[case]
    if word[-1] == "ь":
        return word if case == "acc" else (stem if stem != word else word[:-1]) + "и"
    if word.endswith("ия"):
        return word[:-1] + ("ю" if case == "acc" else "и")
    return word[:-1] + ({"а": "у", "я": "ю"}[word[-1]] if case == "acc" else "е")


def ru_name(word: str, case: str, feminine: bool, animate: bool) -> str:
    """Names decline unless their ending is foreign, or they are a woman's and end in a consonant."""
    last = word[-1]
    if last in "оиуеэ" or (feminine and last not in "ая"):
        return word
    return ru_noun(word + (".f" if last in "ая" else ".m"), case, animate)


def ru_adjective(word: str, gender: str, case: str, animate: bool) -> str:
    """Hard and soft adjectives in nom and acc, the only cases that carry one."""
    stem, soft = word[:-2], word[-3] in "жшщч" and not word.endswith("ой")
    if gender == "f":
        return stem + ("ую" if case == "acc" else "ая")
    if gender in ("n", "i"):
        return stem + ("ее" if soft else "ое")
    if case == "acc" and animate:
        return stem + ("его" if soft else "ого")
    return word


# --- Turkish --------------------------------------------------------------------------------------
def tr_suffix(word: str, stem: str, case: str, joint: str = "") -> str:
    """Vowel harmony, buffer consonant and hardening; ``joint`` is the apostrophe of names."""
    if case in ("nom", "by"):
        return word
    if case == "loc":
        base = stem if stem[-1] == "n" and word[-1] in BACK else word
        hard = base[-1] in "fstkçşhp"
        return base + joint + ("t" if hard else "d") + BACK[_last_vowel(base)][1]
    narrow, broad = BACK[_last_vowel(stem)]
    buffer = "y" if stem[-1] in BACK else ""
    return stem + joint + buffer + (narrow if case == "acc" else broad)


def _last_vowel(word: str) -> str:
    return next((c for c in reversed(word.replace("İ", "i").lower()) if c in BACK), "e")


# --- Swahili --------------------------------------------------------------------------------------
def sw_verb(cell: str) -> tuple[str, str, str]:
    """(stem, negated stem, passive stem); the last two by rule where the cell has one part."""
    parts = cell.split("/")
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    stem = parts[0]
    if stem.endswith("a"):
        return stem, stem[:-1] + "i", stem[:-1] + ("liwa" if stem[-2] in "aeiou" else "wa")
    return stem, stem, stem + "wa"


def sw_conjugate(cell: str, noun_class: str, negated: bool, passive: bool) -> str:
    """The present tense: ``a-na-soma``, negated ``ha-somi``."""
    stem, negative, passive_stem = sw_verb(cell)
    subject = SW_SUBJECT[noun_class]
    if passive:
        stem, negative = passive_stem, passive_stem[:-1] + "i"
    if not negated:
        return subject + "na" + stem
    return ("ha" if subject == "a" else "ha" + subject) + negative


def sw_conjugate_phrase(cell: str, noun_class: str, negated: bool, passive: bool) -> list[str]:
    """As ``sw_conjugate`` for verbs with a noun (``fanya kazi``): the first word takes the forms."""
    parts = [p.split() for p in cell.split("/")]
    verb = sw_conjugate("/".join(p[0] for p in parts), noun_class, negated, passive)
    return [verb, *parts[0][1:]]


def sw_adjective(cell: str, noun_class: str) -> str:
    """Agreement by class prefix."""
    if cell.startswith("="):
        return cell[1:]
    stem, _, ninth = cell.partition("/")
    if noun_class == "9":
        return ninth or stem
    vowel = stem[0] in "aeiou"
    if noun_class == "5":
        return ("j" if vowel else "ji" if stem == "pya" else "") + stem
    prefix = SW_ADJECTIVE[noun_class]
    if vowel:
        prefix = {"m": "mw", "ma": "m", "ki": "ch", "pa": "p"}[prefix]
    return prefix + stem


# --- Hindi ----------------------------------------------------------------------------------------
def hi_noun(cell: str, oblique: bool) -> tuple[str, str]:
    """(word, gender ``m`` or ``f``); masculine -ा becomes -े in the oblique."""
    word, _, gender = split_cell(cell)
    if oblique and gender == "m" and word.endswith("ा"):
        word = word[:-1] + "े"
    return word, "f" if gender == "f" else "m"


def hi_adjective(word: str, gender: str, oblique: bool) -> str:
    if not word.endswith("ा"):
        return word
    return word[:-1] + ("ी" if gender == "f" else "े" if oblique else "ा")


# --- English --------------------------------------------------------------------------------------
def en_third(base: str) -> str:
    """The third person singular."""
    if base.endswith(("s", "sh", "ch", "x", "o")):
        return base + "es"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + "s"
