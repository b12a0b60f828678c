"""A module as an object: folders and the hub give back what they were given, or refuse."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_common import Repositories, serving
from huggingface_hub import constants, file_download
from peft import PeftModel
from safetensors.torch import load_file, save_file
from share_common import assert_equal, logits, trained
from transformers import AutoModel

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.files import file_digest
from xadapt.common.identity import digest
from xadapt.interop.module import Module
from xadapt.stacks.methods import LoRA
from xadapt.store.store import Store


@pytest.fixture
def module(store: Store, backbone: Backbone) -> Module:
    """Two LoRAs, one on the other."""
    low = trained(store, backbone, "mnli", seed=1)
    return Module.from_store(store, trained(store, backbone, "xnli", below=low, seed=2).address)


def test_a_saved_module_opens_as_it_was(
    module: Module, store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    out = module.save_pretrained(tmp_path / "out")
    again = Module.from_pretrained(out)
    assert again.manifest == module.manifest
    assert [s.address for s in again.below] == [s.address for s in module.below]
    assert again.expression == "xnli"
    assert again.method == LoRA(r=4)
    assert again.labels == ("entailment", "neutral", "contradiction")
    for a, b in zip((module.saved, *module.below), (again.saved, *again.below), strict=True):
        assert {f.name: f.read_bytes() for f in a.path.iterdir()} == {
            f.name: f.read_bytes() for f in b.path.iterdir() if f.name != "below"
        }
    other = Store(tmp_path / "other")
    again.add_to(other)
    again.add_to(other)
    assert_equal(logits(store, backbone, module.address), logits(other, backbone, module.address))
    assert other.records.all()[0].modules == tuple(sorted([module.address, module.below[0].address]))
    assert module.save_pretrained(out) == out  # a module may be replaced
    assert Module.from_pretrained(str(out)).address == module.address


def test_peft_opens_the_folder(module: Module, backbone: Backbone, tmp_path: Path) -> None:
    out = module.save_pretrained(tmp_path / "out")
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(backbone.name, add_pooling_layer=False), out)
    name = "base_model.model.encoder.layer.0.attention.self.query.lora_A.default.weight"
    assert torch.equal(dict(model.named_parameters())[name], module.weights[name.replace(".default", "")])


def test_nothing_else_is_overwritten(module: Module, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="something already"):
        module.save_pretrained(tmp_path / "mine")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="something already"):
        module.save_pretrained(tmp_path / "file")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "mine", "store"]


def _altered(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def _other_schema(folder: Path) -> None:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    manifest.pop("sha256")
    manifest["schema"] = 99
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": digest(manifest)}))


def _not_a_number(folder: Path) -> None:
    """Sealed as if a version that did not look had written it."""
    path = folder / "head.safetensors"
    save_file({k: torch.full_like(t, float("nan")) for k, t in load_file(path).items()}, path)
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    manifest.pop("sha256")
    manifest["files"][path.name] = {"sha256": file_digest(path), "bytes": path.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": digest(manifest)}))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: _altered(f / "adapter_model.safetensors"), "altered"),
        (lambda f: _altered(next(f.glob("below/*/head.safetensors"))), "altered"),
        (lambda f: os.truncate(f / "head.safetensors", 20), "truncated"),
        (lambda f: (f / "head.safetensors").unlink(), "head.safetensors is missing"),
        (lambda f: next(f.glob("below/*/manifest.json")).unlink(), "no module is there"),
        (lambda f: (f / "adapter_model.bin").write_bytes(b""), "unpickle"),
        (lambda f: (f / "manifest.json").unlink(), "no module is there"),
        (_other_schema, "schema version 99"),
        (_not_a_number, "head.safetensors: the tensor .* holds NaN or infinity"),
    ],
)
def test_a_spoilt_folder_is_refused(module: Module, tmp_path: Path, spoil: Any, says: str) -> None:
    out = module.save_pretrained(tmp_path / "out")
    spoil(out)
    with pytest.raises(UserError, match=says):
        Module.from_pretrained(out)


def test_adding_to_a_store_on_a_full_disk_adds_and_records_nothing(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = Store(tmp_path / "other")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left"):
            module.add_to(store)
    assert store.modules() == []
    assert store.records.all() == []
    module.add_to(store)
    assert len(store.records.all()) == 1


def test_what_is_no_folder_and_no_repository_is_refused(tmp_path: Path) -> None:
    for name in ("./nowhere", str(tmp_path / "nowhere"), "a/b/c", "nothing"):
        with pytest.raises(UserError, match="no such folder"):
            Module.from_pretrained(name)


# -- the hub ------------------------------------------------------------------------------------


def reach(monkeypatch: pytest.MonkeyPatch, endpoint: str, home: Path) -> None:
    """Point the client, which reads its environment on import, to another hub and cache."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")


def test_a_module_goes_to_the_hub_and_comes_back(
    module: Module, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Repositories()
    with serving(here) as hub:
        reach(monkeypatch, hub, tmp_path / "home")
        here.files["me/module"] = {
            ".gitattributes": b"",
            "model.safetensors": b"an older module",
            "thesis.bin": b"not ours",
        }
        address, low = module.address, module.below[0].address
        assert module.push_to_hub("me/module") == f"{hub}/me/module/commit/{here.commit}"
        assert here.commits == 1
        assert "Bearer hf_secret" in here.tokens
        files = here.files["me/module"]
        assert "model.safetensors" not in files
        assert files["thesis.bin"] == b"not ours"
        for file in module.saved.path.iterdir():
            assert files[file.name] == file.read_bytes()
        assert f"below/{low}/head.safetensors" in files

        again = Module.from_pretrained("me/module")
        assert again.address == address
        other = Store(tmp_path / "other")
        again.add_to(other)
        assert {m.address for m in other.modules()} == {address, low}
        assert all(torch.equal(t, other.load(address).weights[k]) for k, t in module.weights.items())

        files["head.safetensors"] += b"!"
        here.commits += 1
        with pytest.raises(UserError, match="truncated or altered"):
            Module.from_pretrained("me/module")
        with pytest.raises(UserError, match="'me/unknown' cannot be had from the hub"):
            Module.from_pretrained("me/unknown")


def test_a_hub_out_of_reach_is_said_and_an_earlier_download_serves(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Repositories()
    with serving(here) as hub:
        reach(monkeypatch, hub, tmp_path / "home")
        module.push_to_hub("me/module")
        Module.from_pretrained("me/module")
    reach(monkeypatch, "http://127.0.0.1:9", tmp_path / "home")
    assert Module.from_pretrained("me/module").address == module.address
    for attempt in (lambda: module.push_to_hub("me/m"), lambda: Module.from_pretrained("me/m")):
        with pytest.raises(UserError, match=r"'me/m' cannot be .*\n.*\n.*HF_TOKEN"):
            attempt()
