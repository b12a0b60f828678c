"""BibTeX of the data sets in the catalogue and of the methods that reports name: ``bibliography.bib``.

A row's ``citation`` says it as ``Conneau et al. 2018``, several parted by semicolons; the key of the entry is
that in small letters with hyphens, ``conneau-etal-2018``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files


def cited(citation: str) -> list[str]:
    """The works that a row's ``citation`` names."""
    return [one.strip() for one in citation.split(";") if one.strip()]


def key_of(citation: str) -> str:
    """The key of one work: ``conneau-etal-2018``."""
    return citation.lower().replace(" et al. ", "-etal-").replace(" ", "-")


def bibtex(citations: Iterable[str]) -> str:
    """The entries of these works, each once, in the order of their keys; what is not known is left out."""
    known = _entries()
    keys = sorted({key_of(one) for one in citations} & set(known))
    return "\n\n".join(known[key] for key in keys)


@cache
def _entries() -> dict[str, str]:
    text = (files("xadapt.tasks") / "bibliography.bib").read_text(encoding="utf-8")
    found = (entry.strip() for entry in re.split(r"\n(?=@)", text))
    return {entry.split("{")[1].split(",")[0]: entry for entry in found}
