"""What the disk refuses, checkpoints, and scores: whole or not at all."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from store_common import determinants, put, weights

from xadapt.common import files as disk
from xadapt.common.errors import UserError
from xadapt.common.tensors import load_checkpoint, save_checkpoint
from xadapt.store.maintenance import gc
from xadapt.store.store import Saved, Store, address_of

# -- what the disk refuses ----------------------------------------------------------------------


def everything_that_writes(store: Store) -> list[Any]:
    address = address_of(determinants(1))

    def locked() -> None:
        with store.lock(address):
            pass

    return [
        lambda: put(store, 1),
        lambda: store.write_scores(address, {"n": 1}),
        lambda: store.work(address),
        lambda: save_checkpoint(store.root / "work" / "c", weights(1), {}),
        locked,
    ]


@pytest.mark.parametrize("which", range(5))
def test_a_file_for_a_folder_is_said(tmp_path: Path, which: int) -> None:
    (tmp_path / "file").write_text("x")
    store = Store(tmp_path / "file")
    assert not store.has("0" * 20)
    assert store.modules() == store.verify() == []
    with pytest.raises(UserError, match=str(tmp_path / "file")) as caught:
        everything_that_writes(store)[which]()
    assert "do:" in str(caught.value)
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("which", range(5))
def test_a_folder_that_cannot_be_written_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, which: int
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(UserError, match=f"{os.strerror(number)}\n.*do: give yourself the right"):
        everything_that_writes(store)[which]()


@pytest.mark.parametrize("which", [0, 1, 3])
def test_a_full_disk_is_said_and_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match=r"No space left on device\n.*do: free some space"):
        everything_that_writes(store)[which]()
    assert [path for path in store.root.rglob("*") if path.is_file()] == []
    assert store.leftovers() == [] or which == 3


@pytest.mark.parametrize("which", [0, 1])
def test_on_a_full_disk_encoded_items_give_way_to_modules_and_scores(
    store: Store, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    free, used = (store.cache.root / (digit * 20) for digit in "ab")
    half = store.cache.root / f".tmp-{'c' * 20}-1-abcd"
    for path in (free, used, half):
        path.mkdir(parents=True)
        (path / "tokens.npy").touch()
    fsync = os.fsync

    def full(handle: int) -> None:
        if free.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with store.lock(used.name):
        everything_that_writes(store)[which]()
    assert [path.name for path in store.cache.root.iterdir()] == [used.name]


@pytest.mark.parametrize("path", ["x" * 5000, "/".join(["x" * 100] * 50)], ids=["a name", "folders"])
def test_a_path_that_is_too_long_is_said_in_short(tmp_path: Path, path: str) -> None:
    store = Store(tmp_path / path)
    address = address_of(determinants(1))
    reading = [
        lambda: store.has(address),
        lambda: store.load(address),
        lambda: store.read_scores(address),
        lambda: store.locks.held(address),
        lambda: store.records.keep("run", ["xnli"], []),
        store.modules,
        store.verify,
        store.leftovers,
        lambda: gc(store),
    ]
    for act in [*reading, *everything_that_writes(store)]:
        with pytest.raises(
            UserError, match=r"File name too long.*\n  expected: .*\n  do: choose a shorter"
        ) as said:
            act()
        assert len(str(said.value)) < 500


def test_a_full_disk_found_by_safetensors_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No space left"), disk.explained(tmp_path):
        raise SafetensorError("I/O error: No space left on device (os error 28)")


def test_a_store_that_can_only_be_read_is_read(
    store: Store, module: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("mkdir", "rename", "replace", "fsync", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    assert store.load(module.address).weights
    assert [check.problem for check in store.verify()] == [None]


# -- checkpoints --------------------------------------------------------------------------------


def test_a_checkpoint_comes_back_as_it_was(store: Store) -> None:
    path = store.work("0" * 20) / "checkpoint.safetensors"
    assert load_checkpoint(path) is None
    for step in (1, 2):
        save_checkpoint(path, weights(step), {"step": step, "best": float("-inf")})
    found = load_checkpoint(path)
    assert found is not None
    assert found[1] == {"step": 2, "best": float("-inf")}
    assert all(torch.equal(found[0][name], tensor) for name, tensor in weights(2).items())
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert [path for path, _ in store.leftovers()] == [path.parent]
    store.done("0" * 20)
    store.done("0" * 20)
    assert store.leftovers() == []


def test_what_a_killed_save_left_is_ignored_and_cleared(tmp_path: Path) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, weights(1), {})
    (tmp_path / "c.tmp").mkdir()
    (tmp_path / "c.tmp" / "c").write_bytes(b"half")
    assert load_checkpoint(path) is not None
    save_checkpoint(path, weights(2), {})
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_fails_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    save_checkpoint(tmp_path / "c", weights(1), {"step": 1})
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match="free some space"):
        save_checkpoint(tmp_path / "c", weights(2), {"step": 2})
    found = load_checkpoint(tmp_path / "c")
    assert found is not None
    assert found[1] == {"step": 1}


def test_a_damaged_checkpoint_is_said(tmp_path: Path) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, weights(1), {})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"(?s)c: this checkpoint is damaged.*do: delete it"):
        load_checkpoint(path)


# -- cells --------------------------------------------------------------------------------------


def test_a_cell_is_kept(store: Store) -> None:
    key = address_of({"cell": 1})
    assert store.read_scores(key) is None
    store.write_scores(key, {"scores": {"accuracy": 50.0}, "n": 3})
    assert store.read_scores(key) == {"scores": {"accuracy": 50.0}, "n": 3}
    store.write_scores(key, {"n": 4})
    assert Store(store.root).read_scores(key) == {"n": 4}


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"cell": {"n": 4}}', b'{"cell": {"n": NaN}, "sha256": ""}'],
)
def test_a_damaged_cell_is_no_cell_and_is_replaced(store: Store, damage: bytes) -> None:
    key = address_of({"cell": 1})
    store.write_scores(key, {"n": 4})
    (file,) = (store.root / "cells").rglob("*.json")
    file.write_bytes(damage)
    assert store.read_scores(key) is None
    store.write_scores(key, {"n": 4})
    assert store.read_scores(key) == {"n": 4}


def test_an_altered_score_is_no_score(store: Store) -> None:
    key = address_of({"cell": 1})
    store.write_scores(key, {"score": 51.5})
    (file,) = (store.root / "cells").rglob("*.json")
    file.write_text(file.read_text().replace("51.5", "91.5"))
    assert store.read_scores(key) is None


def test_a_key_cannot_lead_out_of_the_store(store: Store) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        store.write_scores("../../../tmp/xx", {})


def test_all_cells_are_listed_but_damaged_ones(store: Store) -> None:
    assert list(store.all_scores()) == []
    keys = sorted(address_of({"cell": i}) for i in range(3))
    for i, key in enumerate(keys):
        store.write_scores(key, {"n": i})
    next((store.root / "cells").rglob(f"{keys[1]}.json")).write_text("{")
    assert list(store.all_scores()) == [(keys[0], {"n": 0}), (keys[2], {"n": 2})]
