"""The modules that an export consists of: one, and what it stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xadapt.backbone import Backbone
from xadapt.errors import UserError
from xadapt.methods import Method, parse_method
from xadapt.store import Saved, Store
from xadapt.upkeep import stands_on


@dataclass(frozen=True)
class Link:
    """A module of a chain, and how it is mounted."""

    saved: Saved
    method: Method


def chain(store: Store, address: str) -> tuple[Link, ...]:
    """The module of ``address`` and what it stands on, lowest first.

    Raises:
        UserError: a module is missing or unsound; or was combined of several in a way that the
            formats of other libraries have no place for.
    """
    found: list[Link] = []
    at: str | None = address
    while at is not None:
        saved = store.load(at)
        below = saved.manifest["determinants"].get("below")
        if set(stands_on(saved.manifest)) - {below} or not isinstance(below, str | None):
            raise UserError(
                f"module {at} ({saved.manifest.get('expression')}) was combined of several modules",
                expected="modules that stand one on the other",
                do="export its parts, or use it with xadapt",
            )
        found.append(Link(saved, parse_method(str(saved.manifest.get("method")))))
        at = below
    return tuple(reversed(found))


def check_backbone(links: Sequence[Link], backbone: Backbone) -> None:
    """Refuse a backbone that is not the modules' own."""
    for link in links:
        trained_on = link.saved.manifest["backbone"]
        if trained_on["fingerprint"] != backbone.fingerprint:
            raise UserError(
                f"module {link.saved.address} belongs to {trained_on['name']} "
                f"(fingerprint {trained_on['fingerprint'][:12]})",
                expected=f"{backbone.name} (fingerprint {backbone.fingerprint[:12]})",
                do="name the backbone that it was trained on by --backbone",
            )


def name_of(links: Sequence[Link]) -> str:
    """How messages name what is exported."""
    return str(links[-1].saved.manifest.get("expression") or links[-1].saved.address)
