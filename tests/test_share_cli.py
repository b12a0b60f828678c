"""``xadapt modules import`` and ``export``: out by the command line, in again under a name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import refused
from share_common import assert_equal, logits, theirs, trained
from transformers import AutoModelForSequenceClassification

from xadapt.backbone.backbone import Backbone
from xadapt.cli.main import main
from xadapt.store.store import Store


def test_a_module_goes_out_and_comes_in_under_a_name(
    workdir: Path, backbone: Backbone, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(".xadapt")
    saved = trained(store, backbone, "mnli")
    main(["modules", "export", saved.address[:6], "--to", "merged", "--out", "plain"])
    main(["modules", "export", saved.address, "--to", "peft", "--out", "peft"])
    model = AutoModelForSequenceClassification.from_pretrained("plain")
    assert_equal(logits(store, backbone, saved.address), theirs(model, "classify"))

    take = ["modules", "import", "peft", "--task", "mnli", "--backbone", backbone.name]
    assert "--labels entailment,neutral,contradiction" in refused(capsys, *take, "--name", "theirs")
    main([*take, "--name", "theirs", "--labels", "entailment,neutral,contradiction"])
    assert "theirs = " in capsys.readouterr().out
    again = store.load(store.records.names()["theirs"])
    assert all(torch.equal(t, again.weights[k]) for k, t in saved.weights.items())
    main(["modules", "gc"])  # what has a name stays; what nothing refers to goes
    assert "removed 1 modules" in capsys.readouterr().out
    assert [m.address for m in store.modules()] == [again.address]
    main(["modules"])
    assert "theirs" in capsys.readouterr().out
    main(["modules", "rm", "theirs"])
    assert store.modules() == []
    for words in (["--to", "adapters"], ["--to", "peft", "--out", "peft"]):
        refused(capsys, "modules", "export", saved.address, "--out", "x", *words)
