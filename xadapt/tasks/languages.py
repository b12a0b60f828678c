"""The languages of XTREME: their English names and three-letter codes.

The three-letter codes are Tatoeba's: the individual language where ISO 639-3 has
one (``cmn``, ``pes``, ``swh``), not the macrolanguage.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from xadapt.errors import UserError

# code: (name, three-letter code)
LANGUAGES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "af": ("Afrikaans", "afr"),
        "ar": ("Arabic", "ara"),
        "bg": ("Bulgarian", "bul"),
        "bn": ("Bengali", "ben"),
        "de": ("German", "deu"),
        "el": ("Greek", "ell"),
        "en": ("English", "eng"),
        "es": ("Spanish", "spa"),
        "et": ("Estonian", "est"),
        "eu": ("Basque", "eus"),
        "fa": ("Persian", "pes"),
        "fi": ("Finnish", "fin"),
        "fr": ("French", "fra"),
        "he": ("Hebrew", "heb"),
        "hi": ("Hindi", "hin"),
        "hu": ("Hungarian", "hun"),
        "id": ("Indonesian", "ind"),
        "it": ("Italian", "ita"),
        "ja": ("Japanese", "jpn"),
        "jv": ("Javanese", "jav"),
        "ka": ("Georgian", "kat"),
        "kk": ("Kazakh", "kaz"),
        "ko": ("Korean", "kor"),
        "ml": ("Malayalam", "mal"),
        "mr": ("Marathi", "mar"),
        "ms": ("Malay", "zsm"),
        "my": ("Burmese", "mya"),
        "nl": ("Dutch", "nld"),
        "pt": ("Portuguese", "por"),
        "ru": ("Russian", "rus"),
        "sw": ("Swahili", "swh"),
        "ta": ("Tamil", "tam"),
        "te": ("Telugu", "tel"),
        "th": ("Thai", "tha"),
        "tl": ("Tagalog", "tgl"),
        "tr": ("Turkish", "tur"),
        "ur": ("Urdu", "urd"),
        "vi": ("Vietnamese", "vie"),
        "yo": ("Yoruba", "yor"),
        "zh": ("Chinese", "cmn"),
    }
)


def name_of(language: str) -> str:
    """The English name. Raises ``UserError`` for an unknown code."""
    return _entry(language)[0]


def iso3_of(language: str) -> str:
    """Tatoeba's three-letter code. Raises ``UserError`` for an unknown code."""
    return _entry(language)[1]


def _entry(language: str) -> tuple[str, str]:
    if language not in LANGUAGES:
        raise UserError(
            f"unknown language {language!r}",
            expected=f"one of {' '.join(LANGUAGES)}",
            do="use the two-letter code (ISO 639-1)",
        )
    return LANGUAGES[language]
