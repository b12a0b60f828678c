"""What a Python user expects: tables in notebooks, typed arguments, HF's outputs, a quick import."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints
from xml.etree import ElementTree

import pytest
import torch
from store_common import put
from tiny import tiny_model

import xadapt
from xadapt.backbone.backbone import Backbone
from xadapt.common.text_tables import TextTable, html_first
from xadapt.mount import mount
from xadapt.store.store import Store

ROOT = Path(__file__).parent.parent


# -- in a notebook ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(checkpoint: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> xadapt.Study:
    """Trained; its store has a name that HTML must not take for a mark."""
    backbone = xadapt.Backbone.from_pretrained(str(checkpoint), device="cpu", dtype="float32")
    made = xadapt.Study(
        ["xnli", "udpos > xnli"],
        backbone,
        data=world / "xtreme",
        langs="en,de",
        max_steps=1,
        looks=1,
        store=tmp_path_factory.mktemp("a & b"),
    )
    made.run(baselines=False)
    return made


def test_everything_is_a_table_in_a_notebook(study: xadapt.Study) -> None:
    assert isinstance(study.backbone, xadapt.Backbone)
    store = Store(study.store)  # type: ignore[arg-type]
    module = xadapt.Module.from_store(store, study.addresses("udpos > xnli")[-1])
    with study.backbone.mount("udpos > xnli", study) as mounted:
        shown = {
            "results": study.run(baselines=False),
            "plan": study.plan,
            "store": store,
            "module": module,
            "backbone": study.backbone,
            "mounted": mounted,
        }
        pages = {name: one._repr_html_() for name, one in shown.items()}
    texts = {
        name: " ".join(ElementTree.fromstring(f"<div>{page}</div>").itertext())
        for name, page in pages.items()
    }
    there = {
        "results": ("udpos > xnli", "accuracy", "de"),
        "plan": ("udpos > xnli", "trained on", "evaluated", "lora"),
        "store": ("udpos@lora > xnli@lora", "address"),
        "module": ("udpos@lora > xnli@lora", "entailment", "stands on", "dev accuracy"),
        "backbone": ("fingerprint", "layers", "float32"),
        "mounted": ("lowest first", "float32"),
    }
    assert [(name, word) for name, words in there.items() for word in words if word not in texts[name]] == []


def test_a_long_table_is_cut_and_says_so() -> None:
    page = html_first(TextTable(("name",), tuple((f"<b>{i}",) for i in range(1500))), 20)
    assert page.count("&lt;b&gt;") == 20
    assert "and 1,480 more" in page
    assert "more" not in html_first(TextTable(("name",), (("one",),)), 20)


# -- arguments -------------------------------------------------------------------------------------


def test_run_takes_what_a_study_takes_by_name_and_type() -> None:
    run, study = inspect.signature(xadapt.run), inspect.signature(xadapt.Study)

    def said(call: inspect.Signature) -> dict[str, tuple[object, ...]]:
        """``langs`` is an ``InitVar`` of a study: it is only handed over."""
        return {
            p.name: (p.kind, re.sub(r"^InitVar\[(.*)\]$", r"\1", p.annotation), p.default)
            for p in call.parameters.values()
        }

    assert said(run) == said(study)
    assert inspect.Parameter.VAR_KEYWORD not in {p.kind for p in run.parameters.values()}


def test_a_study_has_the_command_lines_names() -> None:
    from xadapt.cli.run import Run

    ours = set(inspect.signature(xadapt.Study).parameters)
    commands = {field.name for field in fields(Run)}
    only_there = {"dry_run", "track", "json", "by", "baselines"}  # what is shown, and where it is written
    assert commands - ours == only_there
    # The backbone's class loads torch, and a plan does without: its name is given here.
    hints = get_type_hints(xadapt.Study, localns={"Backbone": xadapt.Backbone})
    assert get_type_hints(Run)["lr"] == hints["lr"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "lra"}, "did you mean"),
        ({"method": "lora(r=0)"}, "r must be"),
        ({"split": "train"}, "expected: 'dev', 'test'"),
        ({"items": 0}, "--items 0"),
        ({"layer": -1}, "--layer -1"),
        ({"layer": "all"}, "--layer all"),
        ({"seeds": "0,one"}, "seed 'one'"),
        ({"seeds": ""}, "seed ''"),
        ({"device": "gpu"}, "say 'cuda'"),
        ({"max_steps": "100"}, "--max-steps 100"),
        ({"epochs": 1.5}, "--epochs 1.5"),
        ({"batch_size": True}, "--batch-size True"),
    ],
)
def test_arguments_are_checked_when_a_study_is_made(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(xadapt.UserError, match=message):
        xadapt.Study(**({"expressions": "xnli"} | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("seeds", ["0,1", "0 1", "0, 1", (0, 1)])
def test_seeds_are_read_as_on_the_command_line(seeds: object) -> None:
    assert tuple(xadapt.Study("xnli", seeds=seeds).seeds) == (0, 1)  # type: ignore[arg-type]


def test_run_is_a_study_run(study: xadapt.Study) -> None:
    results = xadapt.run(
        "xnli",
        study.backbone,
        study.data,
        languages=["de"],
        split="auto",
        max_steps=1,
        looks=1,
        store=study.store,
    )
    assert {cell.lang for cell in results.cells} == {"de"}
    assert not any(module.trained for module in results.modules)


# -- HF's outputs ----------------------------------------------------------------------------------

IDS = torch.tensor([[0, 17, 33, 9, 2], [0, 5, 2, 1, 1], [0, 7, 8, 2, 1]])
MASK = (IDS != 1).long()


def test_a_mounted_backbone_gives_hfs_output_and_zeros_for_padding(backbone: Backbone) -> None:
    mounted = mount(backbone, [])
    with torch.inference_mode():
        hf = tiny_model()(input_ids=IDS, attention_mask=MASK, output_hidden_states=True)
        ours = mounted(input_ids=IDS, attention_mask=MASK, output_hidden_states=True)
        short = mounted(IDS)
    real = MASK.bool()
    assert type(ours) is type(short)
    torch.testing.assert_close(ours.last_hidden_state[real], hf.last_hidden_state[real], atol=1e-5, rtol=1e-4)
    assert not ours.last_hidden_state[~real].any()
    for mine, theirs in zip(ours.hidden_states, hf.hidden_states, strict=True):
        torch.testing.assert_close(mine[real], theirs[real], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(short.last_hidden_state, ours.last_hidden_state)
    assert short.hidden_states is None


def test_padding_may_stand_on_the_left(backbone: Backbone) -> None:
    flipped = torch.tensor([[1, 1, 0, 5, 2]])
    mounted = mount(backbone, [])
    with torch.inference_mode():
        left = mounted(flipped).last_hidden_state
        hf = tiny_model()(input_ids=flipped, attention_mask=(flipped != 1).long()).last_hidden_state
    torch.testing.assert_close(left[0, 2:], hf[0, 2:], atol=1e-5, rtol=1e-4)
    assert not left[0, :2].any()


def test_a_tokenizers_output_goes_in_as_it_is(study: xadapt.Study) -> None:
    assert isinstance(study.backbone, xadapt.Backbone)
    batch = study.backbone.tokenizer(
        ["the old man", "Anna lives in Berlin"], padding=True, return_tensors="pt"
    )
    with study.backbone.mount("udpos > xnli", study) as mounted, torch.inference_mode():
        out = mounted(**batch).last_hidden_state
        flat = mounted.encode(
            xadapt.pack([ids[m.bool()].tolist() for ids, m in zip(*batch.values(), strict=True)])
        )
    assert out.shape == (*batch["input_ids"].shape, study.backbone.config.hidden_size)
    assert torch.allclose(out.abs().sum(), flat.abs().sum(), rtol=1e-4)


def test_gradients_reach_a_module_in_training(backbone: Backbone) -> None:
    from xadapt.mount import Part
    from xadapt.stacks.methods import LoRA

    mounted = mount(backbone, [Part("new", LoRA(r=2), None)], seed=(0,))
    mounted(IDS, MASK).last_hidden_state.sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in mounted.trainable.values())


@pytest.mark.parametrize(
    ("ids", "mask"),
    [
        (torch.tensor([0, 5, 2]), None),
        (torch.tensor([[0, 5, 2]]), torch.ones(1, 2)),
        (torch.tensor([[0, 5, 2], [1, 1, 1]]), None),
    ],
)
def test_what_is_no_batch_is_refused(
    ids: torch.Tensor, mask: torch.Tensor | None, backbone: Backbone
) -> None:
    with pytest.raises(xadapt.UserError):
        mount(backbone, [])(ids, mask)


# -- time to start ---------------------------------------------------------------------------------


def fresh(code: str, folder: Path) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_import_takes_less_than_a_tenth_of_a_second_of_cpu(tmp_path: Path) -> None:
    code = "import time; t = time.process_time(); import xadapt; print(time.process_time() - t)"
    fresh(code, tmp_path)  # compiled
    assert min(float(fresh(code, tmp_path)) for _ in range(3)) < 0.1


def test_commands_that_only_look_import_no_torch(tmp_path: Path) -> None:
    put(Store(tmp_path / ".xadapt"), 1)
    lines = ("modules", "modules show mnli", "tasks", "tasks show xnli", "tasks readers", "results")
    commands = [line.split() for line in lines]
    code = (
        "import sys\nfrom xadapt.cli.main import main\n"
        f"for words in {commands}:\n"
        "    try:\n        main(words)\n    except SystemExit:\n        pass\n"
        "    heavy = {'torch', 'transformers', 'peft', 'adapters', 'datasets'} & set(sys.modules)\n"
        "    assert not heavy, (words, heavy)\n"
    )
    assert "mnli" in fresh(code, tmp_path)
