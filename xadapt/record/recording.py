"""From results to the record of a study: the standard figures, the methods, where everything is from."""

from __future__ import annotations

import datetime
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xadapt.record.figure import Figure
from xadapt.record.methods_text import READING, bibliography, methods_text, sources, versions_now
from xadapt.record.record import StudyRecord
from xadapt.record.standard import manifests_of, standard_figures
from xadapt.store.store import Store
from xadapt.study.results import Results


def record_of(
    results: Results,
    store: Store | str | Path,
    *,
    name: str,
    question: str,
    answer: str,
    literature: Sequence[str] = (),
    command: str | None = None,
    definition: Mapping[str, Any] | None = None,
    figures: Sequence[Figure] = (),
    notes: Sequence[str] = (),
    standard: bool = True,
) -> StudyRecord:
    """The record of a study that was run, kept in the store under ``name``.

    Args:
        results: whose modules and scores ``store`` has.
        command: that runs it again; None for the words that this process was started with.
        definition: what was asked for, in plain values.
        figures: that answer the question; the standard ones (``standard_figures``) come after them.
        standard: whether they do.

    Raises:
        UserError: a name that no file can have, scores that are no longer in the store, a disk that refuses.
    """
    there = store if isinstance(store, Store) else Store(store)
    manifests = manifests_of(results.modules, there)
    record = StudyRecord(
        name=name,
        question=question,
        answer=answer,
        results=results,
        literature=tuple(literature),
        command=_command() if command is None else command,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        definition=dict(definition or {}),
        figures=(*figures, *(standard_figures(results, there, manifests) if standard else ())),
        reading=READING if results.findings else "",
        methods=methods_text(results, manifests),
        bibtex=bibliography(results, manifests),
        sources=sources(results, there, manifests),
        versions=versions_now(),
        notes=(*notes, *_instead(results)),
    )
    record.keep(there)
    return record


def _instead(results: Results) -> tuple[str, ...]:
    """What stood for a language module in languages that have none."""
    found: dict[str, list[str]] = {}
    for c in results.cells:
        if c.instead and c.lang not in (langs := found.setdefault(f"{c.expr}: {c.instead}", [])):
            langs.append(c.lang)
    return tuple(f"{what} in {' '.join(langs)}" for what, langs in found.items())


def _command() -> str:
    """The words that the process was started with, its script by the end of its path."""
    script, *words = sys.argv or ["python"]
    place = Path(script)
    shown = f"python {'/'.join(place.parts[-2:])}" if place.suffix == ".py" else place.name
    return " ".join([shown, *map(shlex.quote, words)])
