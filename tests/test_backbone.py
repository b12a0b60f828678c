"""Opening a backbone: what works, and what every other thing gets told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import save_tiny, tiny_backbone, tiny_model
from transformers import BertConfig, BertModel

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError


def test_a_local_folder_opens_frozen(tmp_path: Path) -> None:
    backbone = Backbone.from_pretrained(str(save_tiny(tmp_path)))
    assert not any(p.requires_grad for p in backbone.model.parameters())
    assert backbone.layers == 4
    assert backbone.max_length == 128
    assert backbone.dtype == torch.float32  # too narrow to gain from bf16


def test_the_fingerprint_is_of_weights_and_tokenizer_and_of_nothing_else(tmp_path: Path) -> None:
    first = Backbone.from_pretrained(str(save_tiny(tmp_path / "a")))
    moved = Backbone.from_pretrained(str(save_tiny(tmp_path / "b")), dtype="bfloat16")
    other = Backbone.from_pretrained(str(save_tiny(tmp_path / "c", seed=1)))
    assert first.fingerprint == moved.fingerprint == tiny_backbone().fingerprint
    assert first.fingerprint != other.fingerprint
    words = save_tiny(tmp_path / "d") / "tokenizer.json"
    content = json.loads(words.read_text())
    content["model"]["merges"] = content["model"]["merges"][:-1]
    words.write_text(json.dumps(content))
    assert Backbone.from_pretrained(str(words.parent)).fingerprint != first.fingerprint


def test_the_fingerprint_does_not_depend_on_what_the_tokenizer_was_used_for(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    backbone.tokenizer("a b", truncation=True, max_length=3, padding="max_length")
    assert Backbone("again", tiny_model(), backbone.tokenizer).fingerprint == backbone.fingerprint


def test_a_changed_weight_is_noticed() -> None:
    backbone = tiny_backbone()
    backbone.verify()
    with torch.no_grad():
        next(backbone.model.parameters()).view(-1)[0] += 1e-6
    with pytest.raises(RuntimeError, match="have changed"):
        backbone.verify()


def test_a_skeleton_shares_every_tensor_and_no_module() -> None:
    backbone = tiny_backbone()
    skeleton = backbone.skeleton()
    assert {p.data_ptr() for p in skeleton.parameters()} == {
        p.data_ptr() for p in backbone.model.parameters()
    }
    assert not {id(m) for m in skeleton.modules()} & {id(m) for m in backbone.model.modules()}


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_a_folder_that_is_not_there(name: str) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Backbone.from_pretrained(name)


def test_a_word_that_is_no_backbone() -> None:
    with pytest.raises(UserError, match="unknown backbone 'poket'"):
        Backbone.from_pretrained("poket")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        Backbone.from_pretrained(str(tmp_path))


def test_another_architecture(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="architecture 'bert'"):
        Backbone.from_pretrained(str(tmp_path))


def test_weights_that_are_missing_cut_off_or_a_pickle(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be opened"):
        Backbone.from_pretrained(str(folder))
    weights.unlink()
    with pytest.raises(UserError, match="cannot be opened"):
        Backbone.from_pretrained(str(folder))
    torch.save(tiny_model().state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="no pickled weights"):
        Backbone.from_pretrained(str(folder))


def test_weights_of_another_shape_or_with_some_missing_are_refused(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    for change in ({"num_hidden_layers": 5}, {"intermediate_size": 128}):
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(UserError, match="cannot be opened"):
            Backbone.from_pretrained(str(folder))


def edited(folder: Path, **changes: object) -> str:
    """The checkpoint with other values in its configuration."""
    config = json.loads((save_tiny(folder) / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return str(folder)


def test_a_configuration_of_fewer_layers_than_there_are_weights_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"48 weights of the encoder .*\n.*num_hidden_layers=1"):
        Backbone.from_pretrained(edited(tmp_path, num_hidden_layers=1))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_hidden_layers": 0}, r"num_hidden_layers=0\n.*a whole number from 1"),
        ({"hidden_size": "big"}, r"hidden_size='big'\n.*a whole number from 1"),
        ({"hidden_size": "big", "vocab_size": [1]}, r"vocab_size=\[1\], hidden_size='big'"),
        ({"num_attention_heads": 5}, "cannot be opened"),
        ({"hidden_act": "none such"}, "cannot be opened"),
        ({"pad_token_id": 10**6}, r"pad_token_id=1000000\n.*vocab_size=300"),
        ({"pad_token_id": 10**30}, r"pad_token_id=1\d*\.*\d*\n"),
        ({"pad_token_id": 129}, r"pad_token_id=129\n.*max_position_embeddings=130"),
        ({"vocab_size": 200}, "cannot be opened"),
        ({"dtype": "float99"}, r"dtype='float99'\n.*float32, float16"),
        ({"torch_dtype": 16}, r"torch_dtype=16\n"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes"}},
            "quantised weights",
        ),
    ],
    ids=str,
)
def test_values_that_no_encoder_can_have_are_named(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        Backbone.from_pretrained(edited(tmp_path, **changes))


@pytest.mark.parametrize("text", ["[]", '["xlm-roberta"]', "{", "1", "\0"])
def test_a_configuration_that_is_no_object(tmp_path: Path, text: str) -> None:
    (save_tiny(tmp_path) / "config.json").write_text(text)
    with pytest.raises(UserError, match="cannot be opened"):
        Backbone.from_pretrained(str(tmp_path))


@pytest.mark.parametrize("text", ["{", "[]", "{}", ""])
def test_a_tokenizer_file_that_is_none(tmp_path: Path, text: str) -> None:
    (save_tiny(tmp_path) / "tokenizer.json").write_text(text)
    with pytest.raises(UserError, match="cannot be opened"):
        Backbone.from_pretrained(str(tmp_path))


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"no tokenizer\.json\n.*\n.*save_pretrained"):
        Backbone.from_pretrained(str(tmp_path))


def test_a_tokenizer_of_more_tokens_than_embeddings(tmp_path: Path) -> None:
    tiny_model(vocab_size=20).save_pretrained(save_tiny(tmp_path))
    with pytest.raises(UserError, match=r"a tokenizer of \d+ tokens\n.*vocab_size=20"):
        Backbone.from_pretrained(str(tmp_path))


def test_devices_and_dtypes_that_are_not_there(tmp_path: Path) -> None:
    folder = str(save_tiny(tmp_path))
    with pytest.raises(UserError, match="device 'gpu'"):
        Backbone.from_pretrained(folder, device="gpu")
    with pytest.raises(UserError, match="unknown dtype"):
        Backbone.from_pretrained(folder, dtype="float8")


def test_a_hub_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="cannot be had from the hub"):
        Backbone.from_pretrained("nobody/nothing-of-this-name")
