"""What is exported gives the same logits in the other library's own loader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import AutoAdapterModel
from peft import PeftModel
from share_common import IDS, KINDS, MASK, SEQUENCES, assert_equal, logits, theirs, tiny_folder, trained
from transformers import AutoModel, AutoTokenizer

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.packing import pack
from xadapt.common.errors import UserError
from xadapt.interop.adapters_out import export_adapters
from xadapt.interop.export import export_of
from xadapt.interop.heads import FORMS
from xadapt.interop.merged import export_merged
from xadapt.interop.peft_out import export_peft
from xadapt.mount import Part, mount
from xadapt.stacks.methods import LoRA
from xadapt.store.store import Saved, Store
from xadapt.tasks import task_named

LORAS = ["lora(r=4)", "lora(r=3, alpha=5, targets=qv, layers=top2)"]
BOTTLENECKS = ["bottleneck", "bottleneck(reduction=8, layers=top2)", "bottleneck(reduction=2, inv=nice)"]


def in_peft(folder: Path, backbone: Backbone, kind: str) -> Any:
    task = task_named(KINDS[kind])
    options = {"num_labels": len(task.labels)} if task.labels else {}
    base = FORMS[kind].auto.from_pretrained(backbone.name, **options)
    return PeftModel.from_pretrained(base, folder)


# -- to PEFT ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", LORAS)
def test_peft_gives_the_same_logits(
    store: Store, backbone: Backbone, tmp_path: Path, kind: str, method: str
) -> None:
    saved = trained(store, backbone, KINDS[kind], method)
    export_peft(export_of(store, saved.address), backbone, tmp_path / "out")
    assert_equal(
        logits(store, backbone, saved.address), theirs(in_peft(tmp_path / "out", backbone, kind), kind)
    )


def test_a_single_module_keeps_its_bits(store: Store, backbone: Backbone, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    saved = trained(store, backbone, "mnli", LORAS[1])
    export_peft(export_of(store, saved.address), backbone, tmp_path / "out")
    found = load_file(tmp_path / "out" / "adapter_model.safetensors")
    for key, tensor in saved.weights.items():
        assert torch.equal(found[key.replace(".encoder.", ".roberta.encoder.", 1)], tensor)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (3, 5)


def test_a_stack_of_loras_is_one_peft_module(store: Store, backbone: Backbone, tmp_path: Path) -> None:
    low = trained(store, backbone, "squad_v1", LORAS[1], seed=1)
    middle = trained(store, backbone, "mnli", "lora(r=2, alpha=9)", below=low, seed=2)
    top = trained(store, backbone, "panx", LORAS[0], below=middle, seed=3)
    export_peft(export_of(store, top.address), backbone, tmp_path / "out")
    assert_equal(
        logits(store, backbone, top.address), theirs(in_peft(tmp_path / "out", backbone, "tag"), "tag")
    )
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["r"] == 9


def test_peft_opens_a_module_s_own_folder_as_it_lies_in_the_store(store: Store, backbone: Backbone) -> None:
    saved = trained(store, backbone, "mnli", LORAS[0])
    model = PeftModel.from_pretrained(
        AutoModel.from_pretrained(backbone.name, add_pooling_layer=False), saved.path
    )
    with torch.no_grad():
        hidden = model.eval()(input_ids=IDS, attention_mask=MASK).last_hidden_state
        batch = pack(SEQUENCES)
        own = mount(backbone, [Part("m", LoRA(r=4), saved.weights)]).encode(batch)
    for i, (s, n) in enumerate(zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True)):
        torch.testing.assert_close(hidden[i, :n], own[s : s + n], atol=1e-5, rtol=0)


# -- merged -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", [*LORAS, "full"])
def test_merged_weights_give_the_same_logits_with_no_trace(
    store: Store, backbone: Backbone, tmp_path: Path, kind: str, method: str
) -> None:
    low = trained(store, backbone, "qqp", "full" if method == "full" else "lora(r=2)", seed=1)
    saved = trained(store, backbone, KINDS[kind], method, below=low, seed=2)
    out = tmp_path / "out"
    export_merged(export_of(store, saved.address), backbone, out)
    model, report = FORMS[kind].auto.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert_equal(logits(store, backbone, saved.address), theirs(model, kind))
    assert "xadapt" not in "".join(p.read_text() for p in out.glob("*.json"))
    labels = task_named(KINDS[kind]).labels
    if labels:
        assert model.config.id2label == dict(enumerate(labels))
    assert (
        AutoTokenizer.from_pretrained(out)("the red apple")["input_ids"]
        == backbone.tokenizer("the red apple")["input_ids"]
    )
    backbone.verify()


# -- to adapters --------------------------------------------------------------------------------


def in_adapters(folder: Path, backbone: Backbone, *, setup: bool = False) -> Any:
    model = AutoAdapterModel.from_pretrained(backbone.name)
    if setup:
        model.load_adapter_setup(str(folder), use_safetensors=True, set_active=True)
    else:
        model.load_adapter(str(folder), use_safetensors=True, set_active=True)
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", BOTTLENECKS)
def test_adapters_gives_the_same_logits(
    store: Store, backbone: Backbone, tmp_path: Path, kind: str, method: str
) -> None:
    saved = trained(store, backbone, KINDS[kind], method)
    export_adapters(export_of(store, saved.address), backbone, tmp_path / "out", choices=len(SEQUENCES))
    assert not list((tmp_path / "out").rglob("*.bin"))
    assert_equal(
        logits(store, backbone, saved.address), theirs(in_adapters(tmp_path / "out", backbone), kind)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_of_bottlenecks_keeps_its_composition(
    store: Store, backbone: Backbone, tmp_path: Path, kind: str
) -> None:
    low = trained(store, backbone, "qqp", BOTTLENECKS[1], seed=1)
    same = trained(store, backbone, "qqp", BOTTLENECKS[0], below=low, seed=4)
    top = trained(store, backbone, KINDS[kind], BOTTLENECKS[0], below=same, seed=2)
    export_adapters(export_of(store, top.address), backbone, tmp_path / "out", choices=len(SEQUENCES))
    model = in_adapters(tmp_path / "out", backbone, setup=True)
    assert str(model.active_adapters) == f"Stack[qqp, qqp_2, {KINDS[kind]}]"
    assert_equal(logits(store, backbone, top.address), theirs(model, kind))


# -- combinations -------------------------------------------------------------------------------


COMBINATIONS = ["mean", "ties", "cat", "fuse", "drop", "on another"]


def combined(store: Store, backbone: Backbone, how: str, *methods: str) -> Saved:
    """A module on a combination of others, as a run would write it."""
    low = trained(store, backbone, "mnli", methods[0]) if how == "on another" else None
    found = [trained(store, backbone, "qqp", m, below=low, seed=n).address for n, m in enumerate(methods, 5)]
    described: dict[str, Any] = {"on": low.address if low else None}
    if how == "fuse":
        described |= {"fuse": found}
    else:
        described |= {
            "merge": how if how in ("ties", "cat") else "mean",
            "operands": [[1.0 + n, address] for n, address in enumerate(found)],
            "options": {"density": 0.5} if how == "ties" else {},
        }
    if how == "drop":
        described = {"drop": [0, 1], "part": described}
    return trained(store, backbone, "panx", methods[0], described=described, seed=20)


@pytest.mark.parametrize("how", COMBINATIONS)
@pytest.mark.parametrize("to", ["peft", "merged"])
def test_a_module_on_a_combination_of_loras_goes_out_whole(
    store: Store, backbone: Backbone, tmp_path: Path, how: str, to: str
) -> None:
    saved = combined(store, backbone, how, "lora(r=4)", "lora(r=2, targets=qv)", "lora(r=3, layers=top2)")
    export = {"peft": export_peft, "merged": export_merged}[to]
    export(export_of(store, saved.address), backbone, tmp_path / "out")
    if to == "peft":
        model = in_peft(tmp_path / "out", backbone, "tag")
    else:
        model = FORMS["tag"].auto.from_pretrained(tmp_path / "out")
    assert_equal(logits(store, backbone, saved.address), theirs(model, "tag"))


@pytest.mark.parametrize("how", ["mean", "fuse", "drop", "on another"])
def test_a_module_on_a_combination_of_bottlenecks_goes_out_whole(
    store: Store, backbone: Backbone, tmp_path: Path, how: str
) -> None:
    widths = ["bottleneck(reduction=3)", "bottleneck", "bottleneck(reduction=7)"]
    if how == "mean":
        widths[1] = "bottleneck(layers=top2)"
    saved = combined(store, backbone, how, *widths)
    export_adapters(export_of(store, saved.address), backbone, tmp_path / "out")
    model = in_adapters(tmp_path / "out", backbone, setup=True)
    assert str(model.active_adapters).startswith("Stack[Fuse[qqp, " if how == "fuse" else "Stack[")
    assert_equal(logits(store, backbone, saved.address), theirs(model, "tag"))


def test_a_fusion_of_modules_in_different_layers_is_refused_for_adapters(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    saved = combined(store, backbone, "fuse", "bottleneck", "bottleneck(layers=top2)", "bottleneck")
    with pytest.raises(UserError, match="different layers"):
        export_adapters(export_of(store, saved.address), backbone, tmp_path / "out")


@pytest.mark.parametrize("to", ["peft", "merged", "adapters"])
def test_without_its_head_a_module_goes_out_as_an_encoder(
    store: Store, backbone: Backbone, tmp_path: Path, to: str
) -> None:
    """So does a module whose head no class of HF's has, such as a joint one."""
    saved = trained(store, backbone, "mnli", "bottleneck" if to == "adapters" else "lora(r=4)")
    exported = export_of(store, saved.address, head=False)
    exported.top.manifest["kind"] = "joint"
    out = tmp_path / "out"
    plain = AutoModel.from_pretrained(backbone.name, add_pooling_layer=False)
    if to == "peft":
        export_peft(exported, backbone, out)
        model = PeftModel.from_pretrained(plain, out)
    elif to == "merged":
        export_merged(exported, backbone, out)
        model = AutoModel.from_pretrained(out, add_pooling_layer=False)
    else:
        export_adapters(exported, backbone, out)
        model = in_adapters(out, backbone)
    with torch.no_grad():
        hidden = model.eval()(input_ids=IDS, attention_mask=MASK).last_hidden_state
        batch = pack(SEQUENCES)
        own = mount(backbone, exported.elements).encode(batch)
    for i, (s, n) in enumerate(zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True)):
        torch.testing.assert_close(hidden[i, :n], own[s : s + n], atol=1e-5, rtol=0)


# -- refused ------------------------------------------------------------------------------------


def test_what_a_format_cannot_say_is_refused_by_name(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    lora, bn, full = (trained(store, backbone, "mnli", m) for m in ("lora", "bottleneck", "full"))
    for export, saved, says in (
        (export_peft, bn, "bottleneck module.*\n.*\n.*--to adapters"),
        (export_peft, full, "full module.*\n.*\n.*--to merged"),
        (export_merged, bn, "not linear"),
        (export_adapters, lora, "lora module.*\n.*\n.*--to peft"),
        (export_adapters, full, "full module.*\n.*\n.*--to merged"),
    ):
        with pytest.raises(UserError, match=says):
            export(export_of(store, saved.address), backbone, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    choose = trained(store, backbone, "hellaswag", "bottleneck")
    with pytest.raises(UserError, match="--choices"):
        export_adapters(export_of(store, choose.address), backbone, tmp_path / "out")


def test_other_backbones_heads_and_taken_folders_are_refused(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    saved = trained(store, backbone, "mnli")
    other = tiny_folder(tmp_path / "b")
    odd = Backbone("odd", other.model, other.tokenizer)
    odd.fingerprint = "0" * 64
    with pytest.raises(UserError, match="belongs to"):
        export_peft(export_of(store, saved.address), odd, tmp_path / "out")
    exported = export_of(store, saved.address)
    exported.top.manifest["kind"] = "joint"
    with pytest.raises(UserError, match=r"no class for the head.*\n.*\n.*--no-head"):
        export_merged(exported, backbone, tmp_path / "out")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(UserError, match="something already"):
        export_peft(export_of(store, saved.address), backbone, tmp_path / "taken")
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["file"]
