"""The languages of XTREME and XTREME-R, and what groups them: script, family, how much XLM-R read.

The three-letter codes are Tatoeba's: the individual language where ISO 639-3 has
one (``cmn``, ``pes``, ``swh``), not the macrolanguage.

Sizes are those of CC-100, XLM-R's pretraining corpus, in GiB of text: Conneau et al. 2020,
"Unsupervised Cross-lingual Representation Learning at Scale" (arXiv 1911.02116), table 6. The figure
for Ukrainian was misprinted there; this one is what its authors gave to
github.com/mayhewsw/multilingual-data-stats. Where the table has a language in two scripts or encodings,
that of XTREME's data counts: simplified Chinese (46.9, not the 16.6 of traditional Chinese), Burmese in
Unicode (1.6, not the 0.4 in Zawgyi), nothing romanised. A language without a row there is unseen.

Families and branches are those of Universal Dependencies (docs-automation/codes_and_flags.yaml);
for languages without a treebank there, Glottolog's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from xadapt.common.errors import UserError

GroupBy = Literal["resource", "family", "script", "seen"]

# GiB of CC-100 from which on a language counts as high, and as middle, in resources. The thresholds are
# ours, no standard: say so where they are used.
HIGH, MIDDLE = 20.0, 4.0


class Language(NamedTuple):
    """What is known of a language.

    Attributes:
        name: in English.
        iso3: Tatoeba's three-letter code.
        script: in which XTREME's data writes it.
        family: the family and, within Indo-European and other large ones, the branch.
        cc100: GiB of its text in CC-100; None where XLM-R has not seen it.
    """

    name: str
    iso3: str
    script: str
    family: str
    cc100: float | None


LANGUAGES: Mapping[str, Language] = MappingProxyType(
    {
        "af": Language("Afrikaans", "afr", "Latin", "Indo-European: Germanic", 1.3),
        "ar": Language("Arabic", "ara", "Arabic", "Afro-Asiatic: Semitic", 28.0),
        "az": Language("Azerbaijani", "aze", "Latin", "Turkic", 6.5),
        "bg": Language("Bulgarian", "bul", "Cyrillic", "Indo-European: Slavic", 57.5),
        "bn": Language("Bengali", "ben", "Bengali", "Indo-European: Indic", 8.4),
        "de": Language("German", "deu", "Latin", "Indo-European: Germanic", 66.6),
        "el": Language("Greek", "ell", "Greek", "Indo-European: Greek", 46.9),
        "en": Language("English", "eng", "Latin", "Indo-European: Germanic", 300.8),
        "es": Language("Spanish", "spa", "Latin", "Indo-European: Romance", 53.3),
        "et": Language("Estonian", "est", "Latin", "Uralic", 6.1),
        "eu": Language("Basque", "eus", "Latin", "Basque", 2.0),
        "fa": Language("Persian", "pes", "Arabic", "Indo-European: Iranian", 111.6),
        "fi": Language("Finnish", "fin", "Latin", "Uralic", 54.3),
        "fr": Language("French", "fra", "Latin", "Indo-European: Romance", 56.8),
        "gu": Language("Gujarati", "guj", "Gujarati", "Indo-European: Indic", 1.9),
        "he": Language("Hebrew", "heb", "Hebrew", "Afro-Asiatic: Semitic", 31.6),
        "hi": Language("Hindi", "hin", "Devanagari", "Indo-European: Indic", 20.2),
        "ht": Language("Haitian Creole", "hat", "Latin", "Creole", None),
        "hu": Language("Hungarian", "hun", "Latin", "Uralic", 58.4),
        "id": Language("Indonesian", "ind", "Latin", "Austronesian", 148.3),
        "it": Language("Italian", "ita", "Latin", "Indo-European: Romance", 30.2),
        "ja": Language("Japanese", "jpn", "Japanese", "Japanese", 69.3),
        "jv": Language("Javanese", "jav", "Latin", "Austronesian", 0.2),
        "ka": Language("Georgian", "kat", "Georgian", "Kartvelian", 9.1),
        "kk": Language("Kazakh", "kaz", "Cyrillic", "Turkic", 6.4),
        "ko": Language("Korean", "kor", "Hangul", "Korean", 54.2),
        "lt": Language("Lithuanian", "lit", "Latin", "Indo-European: Baltic", 13.7),
        "ml": Language("Malayalam", "mal", "Malayalam", "Dravidian", 7.6),
        "mr": Language("Marathi", "mar", "Devanagari", "Indo-European: Indic", 2.8),
        "ms": Language("Malay", "zsm", "Latin", "Austronesian", 8.5),
        "my": Language("Burmese", "mya", "Burmese", "Sino-Tibetan", 1.6),
        "nl": Language("Dutch", "nld", "Latin", "Indo-European: Germanic", 29.3),
        "pa": Language("Punjabi", "pan", "Gurmukhi", "Indo-European: Indic", 0.8),
        "pl": Language("Polish", "pol", "Latin", "Indo-European: Slavic", 44.6),
        "pt": Language("Portuguese", "por", "Latin", "Indo-European: Romance", 49.1),
        "qu": Language("Quechua", "que", "Latin", "Quechuan", None),
        "ro": Language("Romanian", "ron", "Latin", "Indo-European: Romance", 61.4),
        "ru": Language("Russian", "rus", "Cyrillic", "Indo-European: Slavic", 278.0),
        "sw": Language("Swahili", "swh", "Latin", "Niger-Congo", 1.6),
        "ta": Language("Tamil", "tam", "Tamil", "Dravidian", 12.2),
        "te": Language("Telugu", "tel", "Telugu", "Dravidian", 4.7),
        "th": Language("Thai", "tha", "Thai", "Tai-Kadai", 71.7),
        "tl": Language("Tagalog", "tgl", "Latin", "Austronesian", 3.1),
        "tr": Language("Turkish", "tur", "Latin", "Turkic", 20.9),
        "uk": Language("Ukrainian", "ukr", "Cyrillic", "Indo-European: Slavic", 84.6),
        "ur": Language("Urdu", "urd", "Arabic", "Indo-European: Indic", 5.7),
        "vi": Language("Vietnamese", "vie", "Latin", "Austro-Asiatic", 137.3),
        "wo": Language("Wolof", "wol", "Latin", "Niger-Congo", None),
        "yo": Language("Yoruba", "yor", "Latin", "Niger-Congo", None),
        "zh": Language("Chinese", "cmn", "Han", "Sino-Tibetan", 46.9),
    }
)


def name_of(language: str) -> str:
    """The English name. Raises ``UserError`` for an unknown code."""
    return _entry(language).name


def iso3_of(language: str) -> str:
    """Tatoeba's three-letter code. Raises ``UserError`` for an unknown code."""
    return _entry(language).iso3


def resource_of(language: str) -> str:
    """``high``, ``middle`` or ``low``, by the size of CC-100; ``unseen`` where XLM-R read none of it.

    Raises:
        UserError: an unknown code.
    """
    size = _entry(language).cc100
    if size is None:
        return "unseen"
    return "high" if size >= HIGH else "middle" if size >= MIDDLE else "low"


def grouped(languages: Iterable[str], by: GroupBy) -> dict[str, tuple[str, ...]]:
    """The languages by ``resource`` (high, middle, low, unseen), ``family``, ``script``, or ``seen``
    (``seen`` and ``unseen by XLM-R``); within a group in the order given, groups that would be empty
    left out.

    A language that is not of XTREME-R's fifty (a task of a user's own) is in the group ``other``.
    """
    order = ("high", "middle", "low", "unseen") if by == "resource" else ()
    groups: dict[str, list[str]] = {name: [] for name in order}
    for code in languages:
        groups.setdefault(_group(code, by), []).append(code)
    return {name: tuple(codes) for name, codes in groups.items() if codes}


def set_of(name: str) -> str | None:
    """Of which set of language modules one is, by its name: ``wiki`` of ``wiki_de``; None where of none."""
    stem, _, language = name.rpartition("_")
    return stem if stem and language in LANGUAGES else None


def related(language: str, languages: Iterable[str]) -> tuple[str, ...]:
    """Those of ``languages`` that are of one family, or branch of a large one, with ``language``."""
    own = LANGUAGES.get(language)
    known = ((code, LANGUAGES.get(code)) for code in languages)
    return tuple(code for code, other in known if own and other and other.family == own.family)


def basis_of(by: GroupBy) -> str:
    """What ``grouped`` goes by, for people: ``script``, or what the levels of resources mean."""
    if by == "resource":
        return f"resources (CC-100: high from {HIGH:g} GiB, middle from {MIDDLE:g}; our own bounds)"
    return "what XLM-R has seen" if by == "seen" else by


def _group(code: str, by: GroupBy) -> str:
    if code not in LANGUAGES:
        return "other"
    match by:
        case "resource":
            return resource_of(code)
        case "family":
            return LANGUAGES[code].family
        case "script":
            return LANGUAGES[code].script
        case "seen":
            return "unseen by XLM-R" if LANGUAGES[code].cc100 is None else "seen"


def _entry(language: str) -> Language:
    if language not in LANGUAGES:
        raise UserError(
            f"unknown language {language!r}",
            expected=f"one of {' '.join(LANGUAGES)}",
            do="use the two-letter code (ISO 639-1)",
        )
    return LANGUAGES[language]
