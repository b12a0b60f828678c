"""What another library saved gives the same logits as a module of the store."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import AutoAdapterModel, ConfigUnion, LoRAConfig, ParBnConfig, SeqBnConfig, SeqBnInvConfig
from adapters import init as init_adapters
from peft import IA3Config, LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from share_common import KINDS, SEQUENCES, assert_equal, logits, theirs, tiny_folder
from torch import nn
from transformers import XLMRobertaForSequenceClassification

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.randomness import seeded
from xadapt.interop.adapters_out import export_adapters
from xadapt.interop.export import export_of
from xadapt.interop.heads import FORMS
from xadapt.interop.import_module import import_module
from xadapt.interop.peft_out import export_peft
from xadapt.store.store import Saved, Store
from xadapt.tasks import task_named

LINEARS = ["query", "key", "value", "dense"]
ENCODER = r".*encoder\.layer\.\d+\..*\.(query|key|value|dense)"


def shaken(model: nn.Module, words: Sequence[str]) -> nn.Module:
    """As after training: the parameters whose names hold one of the words have moved."""
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if any(word in name for word in words):
            parameter.data.add_(torch.randn(parameter.shape, generator=draw) * 0.2)
    return model.eval()


def peft_model(backbone: Backbone, kind: str = "classify", **options: Any) -> Any:
    form = FORMS[kind]
    labels = task_named(KINDS[kind]).labels
    given = {
        "r": 4,
        "target_modules": ENCODER,
        "task_type": form.peft,
        "modules_to_save": list(form.save),
    } | options
    config = IA3Config if given.pop("ia3", False) else LoraConfig
    with seeded("peft", kind):  # first weights of HF's head and of peft's modules
        base = form.auto.from_pretrained(backbone.name, **({"num_labels": len(labels)} if labels else {}))
        model = get_peft_model(base, config(**given))
    return shaken(model, ["lora_", "modules_to_save"])


def taken(store: Store, backbone: Backbone, folder: Path, kind: str = "classify", **options: Any) -> Saved:
    task = task_named(KINDS[kind])
    given = {"task": task.name, "name": "theirs", "labels": list(task.labels) or None} | options
    return import_module(folder, store, backbone, **given)


# -- from PEFT ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_peft_module_of_every_kind_gives_the_same_logits(
    store: Store, backbone: Backbone, tmp_path: Path, kind: str
) -> None:
    model = peft_model(backbone, kind)
    model.save_pretrained(tmp_path / "peft")
    saved = taken(store, backbone, tmp_path / "peft", kind)
    assert_equal(theirs(model, kind), logits(store, backbone, saved.address))
    assert store.records.names() == {"theirs": saved.address}


VARIANTS: dict[str, dict[str, Any]] = {
    "alpha": {"lora_alpha": 3},
    "rsLoRA": {"use_rslora": True, "lora_alpha": 5},
    "query only": {"target_modules": ["query"]},
    "two layers in the middle": {"target_modules": ["query", "value"], "layers_to_transform": [1, 2]},
    "rank pattern": {"rank_pattern": {"query": 2, "layer.1.*.value": 7}},
    "alpha pattern": {"alpha_pattern": {"key": 32, "layer.2.*.dense": 1}},
    "all patterns, rsLoRA": {
        "use_rslora": True,
        "rank_pattern": {"query": 2},
        "alpha_pattern": {"key": 32},
        "lora_alpha": 7,
    },
    "DoRA": {"use_dora": True},
    "DoRA, rsLoRA, patterns": {
        "use_dora": True,
        "use_rslora": True,
        "rank_pattern": {"query": 2},
        "target_modules": ["query", "value"],
    },
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_variants_that_can_be_represented_are_exact(
    store: Store, backbone: Backbone, tmp_path: Path, options: dict[str, Any]
) -> None:
    model = peft_model(backbone, **options)
    model.save_pretrained(tmp_path / "peft")
    saved = taken(store, backbone, tmp_path / "peft")
    assert_equal(theirs(model, "classify"), logits(store, backbone, saved.address))


def test_out_and_in_again_is_the_same_module(store: Store, backbone: Backbone, tmp_path: Path) -> None:
    model = peft_model(backbone, lora_alpha=6)
    model.save_pretrained(tmp_path / "peft")
    first = taken(store, backbone, tmp_path / "peft")
    export_peft(export_of(store, first.address), backbone, tmp_path / "out")
    second = taken(store, backbone, tmp_path / "out", name="again")
    assert all(torch.equal(t, second.weights[k]) for k, t in first.weights.items())
    assert all(torch.equal(t, second.head[k]) for k, t in first.head.items())
    assert first.manifest["method"] == second.manifest["method"] == "lora(r=4, alpha=6)"


def test_labels_are_put_into_the_task_s_order(store: Store, backbone: Backbone, tmp_path: Path) -> None:
    model = peft_model(backbone)
    model.save_pretrained(tmp_path / "peft")
    saved = taken(store, backbone, tmp_path / "peft", labels=["contradiction", "entailment", "neutral"])
    own = logits(store, backbone, saved.address)
    assert_equal([row[[1, 2, 0]] for row in theirs(model, "classify")], own)


def test_an_import_says_where_it_came_from_and_is_found_again(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    peft_model(backbone).save_pretrained(tmp_path / "peft")
    saved = taken(store, backbone, tmp_path / "peft")
    assert saved.manifest["data"]["source"] == "imported from peft"
    assert saved.manifest["determinants"]["imported"]["from"] == "peft"
    assert taken(store, backbone, tmp_path / "peft", name="other").address == saved.address
    weights = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    save_file({k: t * 2 for k, t in weights.items()}, tmp_path / "peft" / "adapter_model.safetensors")
    assert taken(store, backbone, tmp_path / "peft", name="third").address != saved.address
    with pytest.raises(UserError, match="belongs to module"):
        taken(store, backbone, tmp_path / "peft")


def test_a_module_without_a_head_can_be_taken(store: Store, backbone: Backbone, tmp_path: Path) -> None:
    peft_model(backbone).save_pretrained(tmp_path / "peft")
    saved = taken(store, backbone, tmp_path / "peft", with_head=False, task="xquad")
    assert saved.head == {}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "IA3": ({"ia3": True, "r": None, "feedforward_modules": [], "target_modules": ["key"]}, "type IA3"),
    "biases": ({"bias": "lora_only"}, "bias='lora_only'"),
    "a bias of its own": ({"lora_bias": True}, "lora_bias=True"),
    "PiSSA": ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
    "embeddings": ({"target_modules": ["word_embeddings"]}, "lora_embedding_A"),
}


@pytest.mark.parametrize(("options", "says"), REFUSED.values(), ids=REFUSED)
def test_variants_that_cannot_be_represented_are_refused_by_name(
    store: Store, backbone: Backbone, tmp_path: Path, options: dict[str, Any], says: str
) -> None:
    given = {k: v for k, v in options.items() if v is not None}
    if "ia3" in given:
        base = XLMRobertaForSequenceClassification.from_pretrained(backbone.name)
        given.pop("ia3")
        get_peft_model(base, IA3Config(**given)).save_pretrained(tmp_path / "peft")
    else:
        peft_model(backbone, **given).save_pretrained(tmp_path / "peft")
    with pytest.raises(UserError, match=says):
        taken(store, backbone, tmp_path / "peft")
    assert store.modules() == []
    assert store.records.names() == {}


def test_what_does_not_fit_is_refused(store: Store, backbone: Backbone, tmp_path: Path) -> None:
    folder = tmp_path / "peft"
    peft_model(backbone).save_pretrained(folder)
    for options, says in (
        ({"labels": None}, "does not say what the 3 rows"),
        ({"labels": ["yes", "no", "maybe"]}, "head for the labels yes"),
        ({"task": "qqp"}, "head for 3 labels"),
        ({"task": "squad_v1"}, "the head lacks qa_outputs"),
        ({"task": "tatoeba"}, "no head that could be imported"),
        ({"name": "mean"}, "cannot be the name"),
        ({"name": "fuse"}, "cannot be the name"),
        ({"name": "drop"}, "cannot be the name"),
        ({"name": "lora"}, "cannot be the name"),
        ({"name": "full"}, "cannot be the name"),
        ({"name": "../x"}, "cannot be the name"),
        ({"name": "mnli"}, "is a task"),
        ({"task": "mnly"}, "did you mean 'mnli'"),
    ):
        with pytest.raises(UserError, match=says):
            taken(store, backbone, folder, **options)
    wide = tiny_folder(tmp_path / "wide")
    narrow = Backbone(wide.name, wide.model, wide.tokenizer)
    with pytest.raises(UserError, match=r"trained on .*\n.*\n.*--any-base"):
        taken(store, narrow, folder)
    assert taken(store, narrow, folder, any_base=True)
    with pytest.raises(UserError, match="not a module's folder"):
        taken(store, backbone, tmp_path)


def test_weights_that_are_missing_altered_or_pickled_are_refused(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    folder = tmp_path / "peft"
    peft_model(backbone).save_pretrained(folder)
    path = folder / "adapter_model.safetensors"
    sound, weights = path.read_bytes(), load_file(path)
    name = next(k for k in weights if "lora_A" in k)
    for broken, says in (
        ({k: t for k, t in weights.items() if k != name}, "has lora_B"),
        (weights | {name: torch.zeros(3, 3)}, "lora_A"),
        (weights | {"stranger": torch.zeros(1)}, "'stranger' cannot be represented"),
        (weights | {name.replace("layer.0", "layer.9"): torch.zeros(1)}, "layer 9"),
        ({k: torch.zeros_like(t) if "lora_B" in k else t for k, t in weights.items()}, "changes nothing"),
    ):
        save_file(broken, path)
        with pytest.raises(UserError, match=says):
            taken(store, backbone, folder)
    path.write_bytes(sound[:-10])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        taken(store, backbone, folder)
    path.unlink()
    torch.save(weights, folder / "adapter_model.bin")
    with pytest.raises(UserError, match="pickle"):
        taken(store, backbone, folder)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(UserError, match="not a JSON object"):
        taken(store, backbone, folder)
    assert store.modules() == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(
    store: Store, backbone: Backbone, tmp_path: Path, value: float
) -> None:
    folder = tmp_path / "peft"
    peft_model(backbone).save_pretrained(folder)
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    for name in (next(k for k in weights if "lora_B" in k), next(k for k in weights if "out_proj" in k)):
        broken = weights[name].clone()
        broken.view(-1)[-1] = value
        save_file(weights | {name: broken}, path)
        with pytest.raises(UserError, match=rf"{re.escape(name)} holds NaN or infinity"):
            taken(store, backbone, folder)
    assert store.modules() == []
    assert store.records.names() == {}


def test_weights_whose_outputs_are_not_finite_are_refused(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    folder = tmp_path / "peft"
    peft_model(backbone).save_pretrained(folder)
    path = folder / "adapter_model.safetensors"
    save_file({k: t * 1e30 if "lora_" in k else t for k, t in load_file(path).items()}, path)
    with pytest.raises(UserError, match="outputs of NaN or infinity"):
        taken(store, backbone, folder)


def test_weights_of_whole_numbers_are_refused(store: Store, backbone: Backbone, tmp_path: Path) -> None:
    folder = tmp_path / "peft"
    peft_model(backbone).save_pretrained(folder)
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    name = next(k for k in weights if "lora_A" in k)
    save_file(weights | {name: weights[name].int()}, path)
    with pytest.raises(UserError, match=rf"{re.escape(name)} is of the type int32\n.*float32"):
        taken(store, backbone, folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lora_alpha": float("nan")}, r"lora_alpha=nan\n.*a number"),
        ({"lora_alpha": "16"}, r"lora_alpha='16'\n"),
        ({"lora_alpha": None}, r"lora_alpha=None\n"),
        ({"lora_alpha": 1e300}, r"lora_alpha=1e\+300\n"),
        ({"r": 0}, r"r=0\n.*a whole number from 1"),
        ({"r": "4", "use_dora": "no"}, r"r='4', use_dora='no'\n"),
        ({"rank_pattern": [1]}, r"rank_pattern=\[1\]\n.*an object"),
        ({"rank_pattern": {"query": 0}}, r"rank_pattern="),
        ({"alpha_pattern": {"query": "x"}}, r"alpha_pattern="),
        ({"alpha_pattern": {"(": 2}}, "PEFT cannot read the patterns"),
        ({"target_modules": {"query": 1}}, r"target_modules="),
        ({"target_modules": "("}, "PEFT cannot read the patterns"),
        ({"modules_to_save": {"classifier": 1}}, r"modules_to_save="),
        ({"layers_to_transform": "1"}, r"layers_to_transform='1'"),
        ({"base_model_name_or_path": ["x"]}, r"base_model_name_or_path="),
        ({"r": 8}, r"weights of rank 4\n.*rank 8"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out=True"),
        (
            {"target_modules": ["query"]},
            r"the weights have LoRA on \S+, but target_modules=.*does not name it",
        ),
        (
            {"target_modules": [*LINEARS], "layers_to_transform": [1]},
            r"the weights have LoRA on \S+, but .*layers_to_transform=\[1\]",
        ),
        ({"exclude_modules": ["query"]}, r"the weights have LoRA on \S+query, but .*exclude_modules"),
    ],
    ids=str,
)
def test_a_configuration_that_is_malformed_or_contradicts_the_weights_is_refused(
    store: Store, backbone: Backbone, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    folder = tmp_path / "peft"
    peft_model(backbone).save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=says) as refused:
        taken(store, backbone, folder)
    assert str(folder) in str(refused.value)
    assert store.modules() == []


def test_a_configuration_that_names_more_linears_than_have_weights_is_refused(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    folder = tmp_path / "peft"
    peft_model(backbone, target_modules=["query"]).save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target_modules": ["query", "key"]}))
    with pytest.raises(UserError, match=r"the weights have no LoRA on \S+key, but .* names it"):
        taken(store, backbone, folder)


# -- from adapters ------------------------------------------------------------------------------

ADD = {
    "classify": ("classification", {"num_labels": 3}),
    "choose": ("multiple_choice", {"num_choices": len(SEQUENCES)}),
    "tag": ("tagging", {"num_labels": 7}),
    "extract": ("qa", {}),
}


def flex_model(backbone: Backbone, config: Any, kind: str | None = "classify") -> Any:
    with seeded("adapters", kind):  # first weights of the adapter and of the head
        model = AutoAdapterModel.from_pretrained(backbone.name)
        model.add_adapter("their_own", config=config)
        if kind:
            name, options = ADD[kind]
            getattr(model, f"add_{name}_head")("their_own", **options)
    model.set_active_adapters("their_own")
    return shaken(model, [".adapters.", ".loras.", "heads."])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "config",
    [SeqBnConfig(), SeqBnConfig(reduction_factor=4, leave_out=[0, 2])],
    ids=["seq_bn", "left out below and between"],
)
def test_an_adapter_of_every_kind_gives_the_same_logits(
    store: Store, backbone: Backbone, tmp_path: Path, kind: str, config: SeqBnConfig
) -> None:
    model = flex_model(backbone, config, kind)
    model.save_adapter(str(tmp_path / "a"), "their_own", with_head=True, use_safetensors=True)
    saved = taken(store, backbone, tmp_path / "a", kind)
    assert_equal(theirs(model, kind), logits(store, backbone, saved.address))


def test_an_adapter_in_hf_s_own_class_gives_the_same_logits(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    labels = {"neutral": 0, "contradiction": 1, "entailment": 2}
    model: Any = XLMRobertaForSequenceClassification.from_pretrained(
        backbone.name, num_labels=3, label2id=labels, id2label={i: w for w, i in labels.items()}
    )
    init_adapters(model)
    model.add_adapter("their_own", config="seq_bn")
    model.set_active_adapters("their_own")
    shaken(model, [".adapters.", "classifier"])
    model.save_adapter(str(tmp_path / "a"), "their_own", with_head=True, use_safetensors=True)
    saved = taken(store, backbone, tmp_path / "a", labels=None)  # the folder says what its rows are
    own = logits(store, backbone, saved.address)
    assert_equal([row[[2, 0, 1]] for row in theirs(model, "classify")], own)


def test_an_adapter_out_and_in_again_is_the_same_module(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    model = flex_model(backbone, SeqBnConfig(reduction_factor=8))
    model.save_adapter(str(tmp_path / "a"), "their_own", with_head=True, use_safetensors=True)
    first = taken(store, backbone, tmp_path / "a")
    export_adapters(export_of(store, first.address), backbone, tmp_path / "out")
    second = taken(store, backbone, tmp_path / "out", name="again", labels=None)  # named on the way out
    assert all(torch.equal(t, second.weights[k]) for k, t in first.weights.items())
    assert all(torch.equal(t, second.head[k]) for k, t in first.head.items())


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (ParBnConfig(), "is_parallel=True"),
        (SeqBnInvConfig(inv_adapter="glow"), "inv_adapter='glow' .seq_bn_inv: 'nice'"),
        (SeqBnInvConfig(inv_adapter_reduction_factor=4), "inv_adapter_reduction_factor=4"),
        (SeqBnConfig(non_linearity="gelu"), "non_linearity='gelu' .seq_bn: 'relu'"),
        (SeqBnConfig(use_gating=True), "use_gating=True"),
        (LoRAConfig(), "architecture 'lora'"),
        (ConfigUnion(SeqBnConfig(), LoRAConfig()), "architecture 'union'"),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, str) else v,
)
def test_other_adapters_are_refused_by_name(
    store: Store, backbone: Backbone, tmp_path: Path, config: Any, says: str
) -> None:
    flex_model(backbone, config, None).save_adapter(str(tmp_path / "a"), "their_own", use_safetensors=True)
    with pytest.raises(UserError, match=says):
        taken(store, backbone, tmp_path / "a")


def test_pickled_adapters_and_other_heads_are_refused(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    model = flex_model(backbone, SeqBnConfig())
    model.save_adapter(str(tmp_path / "p"), "their_own", with_head=True)
    with pytest.raises(UserError, match=r"pickle.*\n.*adapter.safetensors\n.*use_safetensors=True"):
        taken(store, backbone, tmp_path / "p")
    model.save_adapter(str(tmp_path / "a"), "their_own", with_head=True, use_safetensors=True)
    head = tmp_path / "a" / "head_config.json"
    config = json.loads(head.read_text())
    config["config"]["activation_function"] = "relu"
    head.write_text(json.dumps(config))
    with pytest.raises(UserError, match="activation_function='relu'"):
        taken(store, backbone, tmp_path / "a")
    assert taken(store, backbone, tmp_path / "a", with_head=False).head == {}


def test_malformed_adapters_are_refused(store: Store, backbone: Backbone, tmp_path: Path) -> None:
    flex_model(backbone, SeqBnConfig()).save_adapter(
        str(tmp_path / "a"), "their_own", with_head=True, use_safetensors=True
    )

    def refused(file: str, says: str, change: Any) -> None:
        path = tmp_path / "a" / file
        sound = path.read_bytes()
        content = json.loads(sound)
        change(content)
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=says):
            taken(store, backbone, tmp_path / "a")
        path.write_bytes(sound)

    adapter, head = "adapter_config.json", "head_config.json"
    refused(adapter, r"config=\[1\]", lambda c: c.update(config=[1]))
    refused(adapter, "reduction_factor='16'", lambda c: c["config"].update(reduction_factor="16"))
    refused(adapter, "reduction_factor=nan", lambda c: c["config"].update(reduction_factor=float("nan")))
    refused(adapter, "leave_out=", lambda c: c["config"].update(leave_out=["x"]))
    refused(adapter, "model_name=", lambda c: c.update(model_name={}))
    refused(head, "config=", lambda c: c.update(config="classification"))
    refused(head, "label2id=", lambda c: c["config"].update(label2id=["a"]))
    refused(head, "label2id=", lambda c: c["config"].update(label2id={"a": None}))
    for file in ("adapter.safetensors", "model_head.safetensors"):
        path = tmp_path / "a" / file
        weights = {name: tensor.clone() for name, tensor in load_file(path).items()}  # not a view of the file
        name = min(weights)
        save_file(weights | {name: torch.full_like(weights[name], float("nan"))}, path)
        with pytest.raises(UserError, match=rf"{re.escape(name)} holds NaN"):
            taken(store, backbone, tmp_path / "a")
        save_file(weights, path)
    assert store.modules() == []
