"""The list of a large store: what was read of manifests is kept, and never believed against a manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from store_common import put

from xadapt.store import listing
from xadapt.store.integrity import peek
from xadapt.store.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(listing, "MANY", 3)
    store = Store(tmp_path)
    for n in range(3):
        put(store, n)
    return store


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The modules whose manifests are read."""
    seen: list[Path] = []

    def noted(path: Path) -> object:
        seen.append(path)
        return peek(path)

    monkeypatch.setattr(listing, "peek", noted)
    return seen


def test_a_manifest_is_read_once(store: Store, read: list[Path]) -> None:
    first = store.modules()
    assert len(read) == len(first) == 3
    assert Store(store.root).modules() == first
    assert len(read) == 3


def test_what_is_new_or_altered_is_read_again_and_what_is_gone_is_not_listed(
    store: Store, read: list[Path]
) -> None:
    _, second, third = store.modules()
    new = put(store, 9)
    assert store.remove(second.address)
    manifest = third.path / "manifest.json"
    altered = json.loads(manifest.read_text()) | {"expression": "sst2"}
    manifest.write_text(json.dumps(altered))
    read.clear()
    found = {info.address: info.expression for info in store.modules()}
    assert sorted(read) == sorted([third.path, new.path])
    assert second.address not in found
    assert found[third.address] == "sst2"
    assert len(found) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:100],
        lambda text: text.replace('"schema": 1', '"schema": 0'),
        lambda text: text.replace('"expression", ', ""),
        lambda text: "[]",
        lambda text: '{"schema": 1, "modules": 3}',
    ],
    ids=["torn", "another version", "another form", "no object", "no modules"],
)
def test_a_damaged_file_is_made_anew(store: Store, read: list[Path], damage: Callable[[str], str]) -> None:
    first, path = store.modules(), store.cache.root / "listing.json"
    whole = path.read_text()
    path.write_text(damage(whole))
    read.clear()
    assert store.modules() == first
    assert len(read) == 3
    assert path.read_text() == whole


def test_a_small_store_gets_no_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, 1)
    assert len(store.modules()) == 1
    assert not (tmp_path / "cache").exists()


def test_what_cannot_be_written_is_listed_all_the_same(store: Store) -> None:
    (store.root / "cache").write_text("in the way")
    assert len(store.modules()) == len(store.modules()) == 3
