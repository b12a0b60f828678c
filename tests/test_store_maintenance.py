"""Removing, sweeping and copying: what is referred to stays, and nothing is half there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from store_common import determinants, manifest, put, weights

from xadapt.common import files as disk
from xadapt.common.errors import UserError
from xadapt.store.maintenance import closure, copy, gc, remove, resolve, stands_on
from xadapt.store.store import Saved, Store, address_of


def above(store: Store, *below: Saved, key: str = "below", n: int = 100) -> Saved:
    """A module that stands on others."""
    refers: Any = [s.address for s in below] if len(below) > 1 else below[0].address
    stands: dict[str, Any] = determinants(n) | {key: refers}
    return store.write(
        address_of(stands), weights=weights(n), head={}, manifest=manifest(n) | {"determinants": stands}
    )


def addresses(store: Store) -> set[str]:
    return {info.address for info in store.modules()}


# -- what stands on what ------------------------------------------------------------------------


def test_every_address_among_the_determinants_is_stood_on_and_nothing_else(store: Store) -> None:
    a, b = put(store, 1), put(store, 2)
    top = above(store, a, b, key="operands")
    assert set(stands_on(top.manifest)) == {a.address, b.address}
    assert stands_on(a.manifest) == ()
    higher = above(store, top, n=101)
    assert closure(store, [higher.address])[-2:] == (top.address, higher.address)  # lowest first
    assert set(closure(store, [higher.address])) == {a.address, b.address, top.address, higher.address}


def test_a_module_is_found_by_its_address_its_first_digits_or_its_name(store: Store) -> None:
    a = put(store, 1)
    store.records.name("theirs", a.address)
    assert {resolve(store, w) for w in (a.address, a.address[:5], "theirs")} == {a.address}
    with pytest.raises(UserError, match="did you mean 'theirs'"):
        resolve(store, "thiers")
    for word in (a.address[:3], "", "..", "../modules"):
        with pytest.raises(UserError, match="means no modules"):
            resolve(store, word)


# -- rm -----------------------------------------------------------------------------------------


def test_rm_refuses_what_another_module_stands_on(store: Store) -> None:
    a = put(store, 1)
    top = above(store, a)
    with pytest.raises(UserError, match=f"1 modules stand on {a.address}: {top.address}"):
        remove(store, a.address)
    assert store.load(a.address)
    remove(store, a.address, force=True)
    assert addresses(store) == {top.address}
    remove(store, top.address)
    assert addresses(store) == set()


def test_rm_takes_the_name_as_well(store: Store) -> None:
    a = put(store, 1)
    store.records.name("theirs", a.address)
    remove(store, a.address)
    assert store.records.names() == {}
    with pytest.raises(UserError, match="has no module"):
        remove(store, a.address)


# -- gc -----------------------------------------------------------------------------------------


def test_gc_keeps_what_a_study_a_copy_or_a_name_leads_to_with_all_below(store: Store) -> None:
    low, named, idle = put(store, 1), put(store, 2), put(store, 3)
    top = above(store, low)
    key = store.records.keep("run", ["mnli > xnli"], [top.address], {"seeds": [0]})
    store.records.name("theirs", named.address)
    would = gc(store, dry_run=True)
    assert [m.address for m in would.modules] == [idle.address]
    assert would.bytes == sum(f["bytes"] for f in idle.manifest["files"].values())
    assert addresses(store) == {low.address, named.address, idle.address, top.address}
    assert gc(store) == would
    assert addresses(store) == {low.address, named.address, top.address}
    assert store.records.forget(key)
    gc(store)
    assert addresses(store) == {named.address}
    assert not store.records.forget(key)


def test_gc_keeps_what_is_in_work_and_takes_what_nobody_will_come_back_for(store: Store) -> None:
    held, idle = put(store, 1), put(store, 2)
    kept_work, old_work = store.work("a" * 20), store.work("b" * 20)
    fresh, old = disk.temporary(held.path.parent, "x"), disk.temporary(held.path.parent, "y")
    os.utime(old, (0, 0))
    store.records.keep("run", ["xnli"], ["a" * 20])
    with Store(store.root).lock(held.address):
        swept = gc(store)
    assert [m.address for m in swept.modules] == [idle.address]
    assert set(swept.leftovers) == {old_work, old}
    assert held.path.exists()
    assert kept_work.exists()
    assert fresh.exists()
    assert not old_work.exists()
    assert not old.exists()


def test_gc_removes_nothing_where_it_cannot_know(store: Store) -> None:
    put(store, 1)
    with pytest.raises(UserError, match="no record of a study"):
        gc(store)
    key = store.records.keep("run", ["xnli"], [])
    record = store.root / "studies" / f"{key}.json"
    record.write_text(record.read_text().replace("xnli", "xnly"))
    with pytest.raises(UserError, match="damaged") as caught:
        gc(store)
    assert str(record) in str(caught.value)
    assert len(store.modules()) == 1
    assert gc(Store(store.root / "nothing here")).modules == ()


def test_a_record_is_kept_once(store: Store) -> None:
    first = store.records.keep("run", ["xnli"], ["a" * 20])
    assert store.records.keep("run", ["xnli"], ["a" * 20]) == first
    assert [s.key for s in store.records.all()] == [first]
    with pytest.raises(UserError, match="not the key"):
        store.records.forget("../names/theirs")


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".", "a b", "1st", "a" * 61, "é", "a\n"])
def test_a_path_or_no_name_is_refused_as_a_name(store: Store, name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name"):
        store.records.name(name, "a" * 20)
    assert not (store.root / "names").exists()


def test_a_name_means_one_module(store: Store) -> None:
    store.records.name("theirs", "a" * 20)
    store.records.name("theirs", "a" * 20)
    with pytest.raises(UserError, match="belongs to module aaaa"):
        store.records.name("theirs", "b" * 20)
    assert store.records.names() == {"theirs": "a" * 20}


# -- cp -----------------------------------------------------------------------------------------


def test_cp_takes_everything_below_along_byte_for_byte(store: Store, tmp_path: Path) -> None:
    low = put(store, 1)
    top = above(store, low)
    put(store, 2)
    other = Store(tmp_path / "other")
    assert copy(store, top.address, other) == (low.address, top.address)
    assert addresses(other) == {low.address, top.address}
    for saved in (low, top):
        files = {f.name: f.read_bytes() for f in saved.path.iterdir()}
        assert {f.name: f.read_bytes() for f in other.path(saved.address).iterdir()} == files
    assert copy(store, top.address, other) == (low.address, top.address)  # again is harmless
    put(other, 9)
    gc(other)
    assert addresses(other) == {low.address, top.address}


def test_cp_refuses_what_is_unsound_at_either_end(store: Store, tmp_path: Path) -> None:
    low = put(store, 1)
    top = above(store, low)
    other = Store(tmp_path / "other")
    copy(store, low.address, other)
    for root, end in ((other, other.path(low.address)), (store, low.path)):
        head = end / "head.safetensors"
        sound = head.read_bytes()
        head.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        with pytest.raises(UserError, match="altered"):
            copy(store, top.address, other)
        assert not other.has(top.address)
        head.write_bytes(sound)
        assert root.load(low.address)
    with pytest.raises(UserError, match="to itself"):
        copy(store, top.address, Store(store.root / ".." / "store"))
    with pytest.raises(UserError, match="no module"):
        copy(store, "0" * 20, other)


def test_cp_to_a_full_disk_copies_and_records_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = put(store, 1)
    top = above(store, low)
    other = Store(tmp_path / "other")
    fsync = os.fsync

    def full(handle: int) -> None:  # there is room for the first module only
        if other.has(low.address):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left"):
            copy(store, top.address, other)
    assert other.records.all() == []
    assert addresses(other) == set()
    assert other.leftovers() == []
    copy(store, top.address, other)
    assert [study.modules for study in other.records.all()] == [tuple(sorted({low.address, top.address}))]


def test_what_is_no_module_is_not_taken_in(store: Store, tmp_path: Path) -> None:
    saved = put(store, 1)
    other = Store(tmp_path / "other")
    (saved.path / "weights.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="unpickle"):
        other.take_in(saved.path)
    with pytest.raises(UserError):
        other.take_in(tmp_path / "nowhere")
    (saved.path / "weights.bin").unlink()
    assert torch.equal(other.take_in(saved.path).weights["a"], saved.weights["a"])
    assert other.leftovers() == []


def test_a_name_whose_module_is_gone_can_be_given_up(store: Store) -> None:
    store.records.name("theirs", "a" * 20)
    assert gc(store, dry_run=True).modules == ()
    remove(store, resolve(store, "theirs"))
    assert store.records.names() == {}
