"""What is exported for onnxruntime gives xadapt's own answers there, on input of any size."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from share_common import IDS, KINDS, MASK, SEQUENCES, assert_equal, logits, trained
from test_share_cards import printed

from xadapt.backbone.backbone import Backbone
from xadapt.cli.main import main
from xadapt.common.errors import UserError
from xadapt.data.pocket.source import Pocket
from xadapt.interop import onnx_out
from xadapt.interop.export import export_of
from xadapt.interop.merged import merged
from xadapt.interop.onnx_out import export_onnx, write_onnx
from xadapt.store.store import Store
from xadapt.tasks import task_named

pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")


def session(path: Path) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # several sessions' threads would spin against each other
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def of_onnx(path: Path, kind: str) -> list[torch.Tensor]:
    """The logits of four sequences of unlike length, as ``share_common.logits`` has them."""
    given = {"input_ids": IDS.numpy(), "attention_mask": MASK.numpy()}
    if kind == "choose":
        (scores,) = session(path).run(None, {name: array[None] for name, array in given.items()})
        return [torch.from_numpy(row) for row in scores.reshape(-1, 1)]
    found = [torch.from_numpy(array) for array in session(path).run(None, given)]
    if kind == "classify":
        return list(found[0])
    table = found[0] if kind == "tag" else torch.stack(found, dim=-1)
    return [row[: len(s)] for row, s in zip(table, SEQUENCES, strict=True)]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test set of 60 examples, so that an export takes a second."""
    load = Pocket.load
    monkeypatch.setattr(Pocket, "load", lambda *given: load(*given, 60))


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_answers_alike_in_onnxruntime(
    store: Store,
    backbone: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    low = trained(store, backbone, "qqp", "lora(r=2)", seed=1)
    saved = trained(store, backbone, KINDS[kind], "lora(r=4)", below=low, seed=2)
    out = tmp_path / "out"
    agreement = export_onnx(export_of(store, saved.address), backbone, out)
    assert agreement.answers >= 60
    assert agreement.same == agreement.answers
    assert agreement.difference < 1e-4 < agreement.difference_int8  # which is another file
    assert agreement.same_int8 > 0.5 * agreement.answers
    assert agreement.megabytes_int8 < agreement.megabytes
    assert_equal(logits(store, backbone, saved.address), of_onnx(out / "model.onnx", kind))
    assert all(np.isfinite(row).all() for row in of_onnx(out / "model-int8.onnx", kind))
    assert [each.shape[-1] for each in session(out / "model.onnx").get_inputs()] == ["tokens", "tokens"]

    assert str(agreement) in (out / "README.md").read_text("utf-8")
    shown = printed(out, monkeypatch, capsys)
    labels = task_named(KINDS[kind]).labels
    if kind == "classify":
        assert shown in labels
    elif kind == "tag":
        assert re.findall(r"'([BIO](?:-[A-Z]+)?)'", shown)
        assert set(re.findall(r"'([BIO](?:-[A-Z]+)?)'", shown)) <= set(labels)
    elif kind == "choose":
        assert shown in ("0", "1")
    backbone.verify()


@pytest.mark.parametrize(
    "kind", ["classify", *(pytest.param(k, marks=pytest.mark.slow) for k in ("tag", "extract", "choose"))]
)
def test_the_answers_to_a_whole_test_set_are_the_same(
    store: Store, backbone: Backbone, tmp_path: Path, kind: str
) -> None:
    saved = trained(store, backbone, KINDS[kind], seed=3)
    agreement = export_onnx(export_of(store, saved.address), backbone, tmp_path / "out")
    assert agreement.same == agreement.answers >= 1_000
    assert agreement.difference < 1e-4


@pytest.mark.usefixtures("few")
def test_what_does_not_agree_is_not_written(
    store: Store, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = trained(store, backbone, "hellaswag")
    right = onnx_out.merged

    def wrong(*given: Any) -> Any:
        model = right(*given)
        model.roberta.encoder.layer[0].output.dense.weight.data.mul_(1.1)
        return model

    monkeypatch.setattr(onnx_out, "merged", wrong)
    with pytest.raises(UserError, match="does not say what xadapt says"):
        export_onnx(export_of(store, saved.address), backbone, tmp_path / "out")
    assert not any(path.name.startswith((".", "out")) for path in tmp_path.iterdir())


def test_what_one_file_cannot_hold_lies_beside_it(store: Store, backbone: Backbone, tmp_path: Path) -> None:
    saved = trained(store, backbone, "mnli")
    out = tmp_path / "out"
    out.mkdir()
    write_onnx(merged(export_of(store, saved.address), backbone), "classify", out, too_large=0)
    names = {path.name for path in out.iterdir()}
    assert names == {f"{name}{end}" for name in ("model.onnx", "model-int8.onnx") for end in ("", ".data")}
    assert_equal(logits(store, backbone, saved.address), of_onnx(out / "model.onnx", "classify"))
    of_onnx(out / "model-int8.onnx", "classify")


def test_what_has_no_answers_is_refused_by_name(
    store: Store, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnli, out = trained(store, backbone, "mnli"), tmp_path / "out"
    refused = {
        "mlm.*\n.*classify, choose, tag, extract": export_of(store, trained(store, backbone, "mlm").address),
        "without a head answers nothing": export_of(store, mnli.address, head=False),
        "bottleneck module": export_of(store, trained(store, backbone, "mnli", "bottleneck").address),
    }
    for says, exported in refused.items():
        with pytest.raises(UserError, match=says):
            export_onnx(exported, backbone, out)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r'pip install "xadapt\[onnx\]"'):
        export_onnx(export_of(store, mnli.address), backbone, out)
    assert not out.exists()


@pytest.mark.usefixtures("few")
def test_the_command_says_how_far_the_files_agree(
    workdir: Path, backbone: Backbone, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = trained(Store(".xadapt"), backbone, "mnli")
    main(["modules", "export", saved.address[:6], "--to", "onnx", "--out", "onnx"])
    said = capsys.readouterr().out
    assert re.search(r"60 answers .* model.onnx .* gives 60, logits within .* model-int8.onnx", said)
    names = {path.name for path in Path("onnx").iterdir()}
    assert {"model.onnx", "model-int8.onnx", "config.json", "tokenizer.json", "README.md"} <= names
