"""An exported folder explains itself: the Python of its README runs where it lies, and prints our labels."""

from __future__ import annotations

import ast
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModel, AutoPeftModelForSequenceClassification, AutoPeftModelForTokenClassification
from peft.utils import save_and_load
from share_common import KINDS, assert_equal, logits, theirs, trained
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.interop.adapters_out import export_adapters
from xadapt.interop.export import export_of
from xadapt.interop.merged import export_merged
from xadapt.interop.peft_out import export_peft, peft_model
from xadapt.kinds import kind_of
from xadapt.kinds.word_head import word_head
from xadapt.store.store import Store
from xadapt.tasks import task_named

AUTO: dict[str, Any] = {
    "classify": AutoPeftModelForSequenceClassification,
    "tag": AutoPeftModelForTokenClassification,
    "choose": AutoPeftModel,
}


def code_of(folder: Path) -> str:
    """The Python of its README."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    return str(code)


def printed(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What that prints when it runs in the folder."""
    capsys.readouterr()
    with monkeypatch.context() as there:
        there.chdir(folder)
        there.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        exec(code_of(folder), {})
    return capsys.readouterr().out.strip()


def says(kind: str, out: str) -> None:
    """What a README printed is an answer of the kind, in our words."""
    if kind == "choose":
        assert re.fullmatch(r"tensor\(\[\[0\.\d+, 0\.\d+\]\].*\)", out), out
        return
    found = ast.literal_eval(re.sub(r"np\.float32\((.*?)\)", r"\1", out))
    if kind == "encoder":
        assert all(isinstance(value, float) for value in found)
    elif kind == "classify":
        assert found["label"] in task_named(KINDS[kind]).labels
    elif kind == "tag":
        assert found
        tags = {label.split("-")[-1] for label in task_named("udpos").labels}
        assert {one["entity_group"] for one in found} <= tags
    elif kind == "extract":
        assert found["answer"] in "Anna lives in Berlin."
    else:
        assert all("Anna lives in" in one["sequence"] for one in found)


@pytest.mark.parametrize("kind", [*KINDS, "mlm", "encoder"])
@pytest.mark.parametrize("to", ["merged", "peft", "peft, named"])
def test_the_readme_of_a_folder_runs(
    store: Store,
    backbone: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    to: str,
) -> None:
    task = {"tag": "udpos", "mlm": "mlm", "encoder": "mewslix"}.get(kind) or KINDS[kind]
    saved = trained(store, backbone, "mnli" if kind == "encoder" else task)
    exported, out = export_of(store, saved.address, head=kind != "encoder"), tmp_path / "out"
    if to == "merged":
        export_merged(exported, backbone, out)
    elif kind == "mlm":
        with pytest.raises(UserError, match="--to merged"):
            export_peft(exported, backbone, out)
        return
    else:
        export_peft(exported, backbone, out, base="named" if "named" in to else "auto")
    says(kind, printed(out, monkeypatch, capsys))
    assert len(code_of(out).splitlines()) <= 6


@pytest.mark.parametrize("kind", [*KINDS, "encoder"])
def test_the_readme_of_a_folder_for_adapters_runs(
    store: Store,
    backbone: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    low = trained(store, backbone, "qqp", "bottleneck", seed=1) if kind in ("tag", "choose") else None
    saved = trained(store, backbone, KINDS.get(kind, "mnli"), "bottleneck", below=low)
    exported, out = export_of(store, saved.address, head=kind != "encoder"), tmp_path / "out"
    export_adapters(exported, backbone, out, choices=3)
    shown = printed(out, monkeypatch, capsys)
    if kind == "classify":
        assert shown in task_named("mnli").labels
    elif kind == "tag":
        assert set(ast.literal_eval(shown)) <= set(task_named("panx").labels)
    elif kind == "choose":
        assert shown in ("0", "1", "2")
    elif kind == "encoder":
        assert len(ast.literal_eval(shown)) == 3


def test_a_readme_runs_in_a_fresh_interpreter_without_a_network(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    saved = trained(store, backbone, "mnli")
    export_merged(export_of(store, saved.address), backbone, tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    done = subprocess.run(
        [sys.executable, "-c", code_of(tmp_path / "elsewhere")],
        cwd=tmp_path / "elsewhere",
        env={"HF_HUB_OFFLINE": "1", "PATH": "", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    says("classify", done.stdout.strip())


# -- PEFT's own loader --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", AUTO)
def test_a_peft_folder_opens_without_further_arguments(
    store: Store, backbone: Backbone, tmp_path: Path, kind: str
) -> None:
    saved, out = trained(store, backbone, KINDS[kind]), tmp_path / "out"
    export_peft(export_of(store, saved.address), backbone, out)
    model = AUTO[kind].from_pretrained(out)
    assert_equal(logits(store, backbone, saved.address), theirs(model, kind))
    if labels := task_named(KINDS[kind]).labels:
        assert model.config.id2label == dict(enumerate(labels))
        assert model.config.num_labels == len(labels)
        tokenizer = AutoTokenizer.from_pretrained(out)
        name = {"classify": "text-classification", "tag": "token-classification"}[kind]
        by_hand = pipeline(name, model, tokenizer=tokenizer)("the man eats")
        assert pipeline(name, str(out))("the man eats") == by_hand  # by HF's own way to open it


def test_peft_cannot_know_the_labels_of_a_folder_without_its_base(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    """Why ``inside`` is there; when PEFT can, it may go."""
    saved, out = trained(store, backbone, "mnli"), tmp_path / "out"
    export_peft(export_of(store, saved.address), backbone, out, base="named")
    assert [path.name for path in out.iterdir() if path.is_dir()] == []
    backbone.model.config.save_pretrained(out)  # beside it, a configuration is not looked at
    with pytest.raises(RuntimeError, match="size mismatch"):
        AutoPeftModelForSequenceClassification.from_pretrained(out)
    model = AutoPeftModelForSequenceClassification.from_pretrained(out, num_labels=3)
    assert_equal(logits(store, backbone, saved.address), theirs(model, "classify"))


def test_named_is_refused_where_peft_could_open_nothing_by_that_name(
    store: Store, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = export_of(store, trained(store, backbone, "mnli").address)
    monkeypatch.setattr(backbone, "name", "pocket")
    with pytest.raises(UserError, match=r"by the name 'pocket'(.|\n)*--base inside"):
        export_peft(exported, backbone, tmp_path / "out", base="named")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["pocket", "folder"])
def test_an_object_of_peft_is_saved_without_a_question_to_the_hub(
    store: Store, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    exported = export_of(store, trained(store, backbone, "mnli").address)
    if name == "pocket":
        monkeypatch.setattr(backbone, "name", name)
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **_: asked.append(where) or [])
    monkeypatch.setattr(save_and_load, "check_file_exists_on_hf_hub", lambda *what: asked.append(what))
    peft_model(exported, backbone).save_pretrained(tmp_path / "saved")
    assert asked == []
    base = json.loads((tmp_path / "saved" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert base == (None if name == "pocket" else str(Path(backbone.name).absolute()))


# -- masked language models ---------------------------------------------------------------------


def test_a_masked_language_model_goes_out_with_its_head(
    store: Store, backbone: Backbone, tmp_path: Path
) -> None:
    saved, out = trained(store, backbone, "mlm"), tmp_path / "out"
    exported = export_of(store, saved.address)
    export_merged(exported, backbone, out)
    model, report = AutoModelForMaskedLM.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    ids = torch.tensor([[0, 5, 6, 7, 2]])
    with torch.no_grad():
        found = model.eval()(input_ids=ids, output_hidden_states=True)
        head = kind_of(task_named("mlm")).head(backbone.config)
        words = word_head(head)
        words.tie(backbone.model.embeddings.word_embeddings.weight, saved.head)
        torch.testing.assert_close(
            found.logits, words.logits(words(found.hidden_states[-1])), atol=1e-5, rtol=0
        )
    with pytest.raises(UserError, match="--to merged"):
        export_adapters(exported, backbone, tmp_path / "adapters")
