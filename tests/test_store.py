"""A module on disk is what was written, and proves it when it is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from store_common import determinants, manifest, put, weights

from xadapt.common.errors import UserError
from xadapt.common.identity import digest
from xadapt.store.integrity import SCHEMA
from xadapt.store.store import Saved, Store, address_of

# -- a module is what was written ---------------------------------------------------------------


def test_what_is_loaded_is_what_was_written(store: Store) -> None:
    address = address_of(determinants(1))
    assert not store.has(address)
    assert put(store, 1).address == address
    assert store.has(address)
    saved = store.load(address)
    for name, tensor in weights(1).items():
        assert saved.weights[name].dtype == tensor.dtype
        assert torch.equal(saved.weights[name], tensor)
    assert torch.equal(saved.head["out.weight"], torch.ones(3, 4))
    assert saved.config == {"r": 8}
    assert saved.manifest["determinants"] == determinants(1)
    assert saved.manifest["schema"] == SCHEMA
    assert set(saved.manifest["files"]) == {
        "adapter_model.safetensors", "head.safetensors", "adapter_config.json"
    }  # fmt: skip
    assert len({file.stat().st_mode for file in saved.path.iterdir()}) == 1  # who may read one may read all
    assert {"torch", "peft", "adapters"} <= set(saved.manifest["versions"])


def test_a_full_copy_has_other_files_and_may_have_no_head(store: Store) -> None:
    tied = torch.randn(4, 4)
    saved = store.write(
        address_of(determinants(2)), weights={"in": tied, "out": tied, "t": tied.t()}, head={},
        manifest=manifest(2), weights_file="model.safetensors",
    )  # fmt: skip
    assert set(saved.manifest["files"]) == {"model.safetensors", "head.safetensors"}
    assert torch.equal(saved.weights["out"], tied)
    assert torch.equal(saved.weights["t"], tied.t())
    assert saved.head == {}
    assert saved.config is None


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (put(Store(tmp_path / name), 1).path for name in "ab")
    for name in ("adapter_model.safetensors", "head.safetensors", "adapter_config.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_the_first_of_two_writers_wins(store: Store, module: Saved) -> None:
    assert torch.equal(put(store, 1, value=7).weights["a"], module.weights["a"])


def test_the_card_is_for_people_and_may_be_edited(store: Store, module: Saved) -> None:
    card = module.path / "README.md"
    text = card.read_text()
    for part in ("# mnli[1]", "backbone: pocket", "method: lora", "accuracy 81.2", "CC0", "Nobody 2026"):
        assert part in text
    card.write_text("mine")
    assert store.load(module.address)


def test_a_module_that_goes_while_it_is_read_is_said_to_be_gone(
    store: Store, module: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process removed it after it had proven itself here."""
    proven = store._prove

    def then_gone(path: Path) -> dict[str, Any]:
        found = proven(path)
        (path / "head.safetensors").unlink()
        return found

    monkeypatch.setattr(store, "_prove", then_gone)
    with pytest.raises(UserError, match="cannot read: No such file or directory"):
        store.load(module.address)


def test_a_module_can_be_removed(store: Store, module: Saved) -> None:
    assert store.remove(module.address)
    assert not store.has(module.address)
    assert not store.remove(module.address)
    assert store.verify() == store.leftovers() == []


def test_modules_are_listed_from_their_manifests(store: Store) -> None:
    put(store, 1)
    put(store, 2)
    (store.path(address_of(determinants(1))) / "adapter_model.safetensors").unlink()  # not looked at
    first, second = store.modules()
    assert (first.expression, second.expression) == ("mnli[1]", "mnli[2]")
    assert (first.task, first.seed, first.backbone, first.method) == ("mnli", 1, "pocket", "lora")
    assert (first.data, first.dev, first.parameters) == ("pocket", "accuracy 81.2", 20)
    assert first.bytes > 100


# -- addresses ----------------------------------------------------------------------------------


def test_an_address_depends_on_meaning_only() -> None:
    assert address_of({"a": 1, "b": [1.5]}) == address_of({"b": (1.5,), "a": 1.0})
    assert address_of({"a": 1}) != address_of({"a": "1"})
    assert address_of({"a": True}) != address_of({"a": 1})
    assert address_of({"lr": 0.1 + 0.2}) != address_of({"lr": 0.3})


@pytest.mark.parametrize("bad", [{"a": float("nan")}, {"a": {1: 2}}, {"a": {1, 2}}, {"a": Path("x")}])
def test_what_has_no_plain_meaning_has_no_address(bad: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        address_of(bad)


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(max_size=3), PLAIN, max_size=3))
def test_an_address_survives_the_disk(value: dict[str, Any]) -> None:
    assert address_of(json.loads(json.dumps(value))) == address_of(value)


@pytest.mark.parametrize("address", ["", "..", "../../etc", "/etc", "a" * 19, "A" * 20, "a" * 20 + "\n"])
def test_what_is_no_address_leads_nowhere(store: Store, address: str) -> None:
    for use in (store.has, store.load, store.work, store.done, store.remove):
        with pytest.raises(UserError, match="not an address"):
            use(address)
    with pytest.raises(UserError, match="not an address"), store.lock(address):
        pass


# -- a module proves itself ---------------------------------------------------------------------

FILES = ["adapter_model.safetensors", "head.safetensors", "adapter_config.json", "manifest.json"]


def refused(store: Store, saved: Saved) -> str:
    with pytest.raises(UserError) as caught:
        store.load(saved.address)
    assert [check.problem for check in store.verify()] == [str(caught.value)]
    assert "do:" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_an_altered_byte_is_found_and_its_file_named(store: Store, module: Saved, name: str) -> None:
    file = module.path / name
    data = bytearray(file.read_bytes())
    at = data.index(b"81.25") if name == "manifest.json" else len(data) - 3
    data[at] ^= 1
    file.write_bytes(data)
    assert str(file) in refused(store, module)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_found_and_named(store: Store, module: Saved, name: str) -> None:
    file = module.path / name
    file.write_bytes(file.read_bytes()[:-2])
    got = refused(store, module)
    assert str(file) in got
    assert "truncated" in got


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found_and_named(store: Store, module: Saved, name: str) -> None:
    (module.path / name).unlink()
    assert name in refused(store, module)


def test_files_that_are_not_the_modules_are_refused(store: Store, module: Saved) -> None:
    extra = module.path / "model.safetensors"
    extra.write_bytes(b"")
    assert "not the module's: model.safetensors" in refused(store, module)
    extra.unlink()
    (module.path / "folder").mkdir()
    assert "not a plain file" in refused(store, module)


@pytest.mark.parametrize("name", ["adapter_model.bin", "head.pt", "x.PKL"])
def test_pickles_are_refused(store: Store, module: Saved, name: str) -> None:
    (module.path / name).write_bytes(b"")
    assert "unpickle" in refused(store, module)


def test_links_are_refused(store: Store, module: Saved, tmp_path: Path) -> None:
    file = module.path / "head.safetensors"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert "a link" in refused(store, module)


def test_a_linked_folder_is_refused(store: Store, module: Saved, tmp_path: Path) -> None:
    module.path.rename(tmp_path / "elsewhere")
    module.path.symlink_to(tmp_path / "elsewhere")
    assert "not a module" in refused(store, module)


def rewritten(saved: Saved, **changes: Any) -> None:
    """A manifest of someone who knows how to seal it."""
    body = {k: v for k, v in saved.manifest.items() if k != "sha256"} | changes
    (saved.path / "manifest.json").write_text(json.dumps(body | {"sha256": digest(body)}))


def test_another_schema_is_refused(store: Store, module: Saved) -> None:
    rewritten(module, schema=SCHEMA + 1)
    got = refused(store, module)
    assert f"schema version {SCHEMA + 1}" in got
    assert f"expected: {SCHEMA}" in got


@pytest.mark.parametrize("name", ["../head.safetensors", "/etc/passwd", "..", "a/b"])
def test_a_manifest_cannot_lead_out_of_its_folder(store: Store, module: Saved, name: str) -> None:
    rewritten(module, files=module.manifest["files"] | {name: {"sha256": "", "bytes": 1}})
    assert "leads out" in refused(store, module)


def test_a_module_under_another_address_is_refused(store: Store, module: Saved) -> None:
    module.path.rename(module.path.with_name("0" * 20))
    (check,) = store.verify()
    assert check.problem is not None
    assert f"this is module {module.address}" in check.problem
    rewritten_determinants = Saved("0" * 20, module.path.with_name("0" * 20), module.manifest, {}, {})
    rewritten(rewritten_determinants, address="0" * 20)
    with pytest.raises(UserError, match="this is module"):
        store.load("0" * 20)


def test_a_missing_module_says_how_to_get_it(store: Store) -> None:
    with pytest.raises(UserError, match="xadapt run"):
        store.load("0" * 20)


def test_what_lies_among_the_modules_is_named(store: Store, module: Saved) -> None:
    (module.path.parent / "notes").mkdir()
    (module.path.parent / ("0" * 20)).mkdir()
    problems = {check.address: check.problem for check in store.verify()}
    assert problems[module.address] is None
    assert "not a module" in str(problems["notes"])
    assert "incomplete" in str(problems["0" * 20])


def test_an_incomplete_folder_gives_way_to_the_module(store: Store, module: Saved) -> None:
    (module.path / "manifest.json").unlink()
    assert not store.has(module.address)
    assert put(store, 1).weights
    assert sum(check.problem is None for check in store.verify()) == 1


# -- what the caller gets wrong -----------------------------------------------------------------


def test_manifests_and_weights_that_no_module_can_have_are_refused(store: Store) -> None:
    good: dict[str, Any] = {"weights": weights(1), "head": {}, "manifest": manifest(1)}
    several: list[dict[str, Any]] = [
        {"weights": {}}, {"manifest": manifest(2)}, {"weights_file": "x.bin"},
        {"manifest": manifest(1) | {"created": "now"}}, {"manifest": manifest(1) | {"dev": float("nan")}},
    ]  # fmt: skip
    for bad in several:
        with pytest.raises(ValueError, match=r"."):
            store.write(address_of(determinants(1)), **(good | bad))
    assert store.modules() == store.leftovers() == []
