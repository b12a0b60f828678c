"""The names that ``import xadapt`` gives, used as the README uses them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import xadapt
from xadapt import Backbone, Module, Stack, Store, Study, UserError, pack
from xadapt.cli.options import Planned, study_of


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone.from_pretrained("pocket")


@pytest.fixture(scope="module")
def study(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Study(
        ["xnli", "mnli > xnli"],
        backbone,
        languages=["en"],
        max_steps=2,
        store=tmp_path_factory.mktemp("store"),
    )
    assert len(made.run(baselines=False).cells) == 2
    return made


def test_every_public_name_is_there() -> None:
    named = {name: getattr(xadapt, name) for name in xadapt.__all__}  # unions and values have no name
    assert all(getattr(found, "__name__", name) == name for name, found in named.items())
    with pytest.raises(AttributeError, match="no attribute 'Stak'"):
        xadapt.Stak  # noqa: B018


def test_import_alone_loads_no_torch() -> None:
    code = "import sys, xadapt; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_options_of_a_command_and_a_study_of_python_mean_the_same(backbone: Backbone, study: Study) -> None:
    options = Planned(store=Path(str(study.store)), max_steps=2, dtype="float32")
    addresses = [step.address for step in study_of(options, study.expressions).plan.modules]
    assert addresses == [step.address for step in study.plan.modules]
    assert all(map(study.has, addresses))
    assert list(study.addresses("mnli > xnli")) == [addresses[1], addresses[2]]


def test_a_layer_that_nothing_is_read_at_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--layer 3 would change nothing"):
        Study(["xnli"], backbone, layer=3, store=tmp_path).plan  # noqa: B018


@pytest.mark.parametrize("wrong", [{"lr": float("nan")}, {"max_steps": 0}, {"threads": 10**9}])
def test_a_number_that_can_mean_nothing_is_refused_at_once(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="a number above 0"):
        Study(["xnli"], **wrong)


def test_what_a_script_cannot_do_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(options: Planned) -> None:
        raise UserError(f"no backbone {options.backbone}", do="name another")

    monkeypatch.setattr(sys, "argv", ["script.py", "--backbone", "none"])
    with pytest.raises(SystemExit) as stop:
        xadapt.script(main, Planned)
    assert stop.value.code == 2
    assert capsys.readouterr().err.split() == ["xadapt:", "no", "backbone", "none", "do:", "name", "another"]


def test_ways_to_do_the_same_are_timed_in_turns() -> None:
    turns: list[str] = []
    ways = {name: lambda name=name: turns.append(name) for name in ("one", "other")}
    seconds = xadapt.side_by_side(ways, rounds=2)
    assert {name: len(values) for name, values in seconds.items()} == {"one": 2, "other": 2}
    assert min(map(min, seconds.values())) > 0
    assert sorted(turns) == ["one"] * 3 + ["other"] * 3  # one round to warm up


def test_several_stacks_are_held_at_once_and_the_backbone_stays(backbone: Backbone, study: Study) -> None:
    batch = pack([[0, 17, 33, 2], [0, 5, 2]])
    before = backbone.fingerprint
    with (
        backbone.mount(Stack("xnli"), study) as one,
        backbone.mount("mnli > xnli", study, fold=True) as other,
        torch.inference_mode(),
    ):
        hidden = one.encode(batch)
        together = backbone.encode_many([one, other], batch)
        torch.testing.assert_close(together[0], hidden, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together[1], other.encode(batch), atol=1e-5, rtol=1e-4)
        assert hidden.shape == (7, backbone.config.hidden_size)
        assert not torch.equal(hidden, other.encode(batch))
        assert torch.equal(hidden, one.encode(batch))
    backbone.verify()
    assert backbone.fingerprint == before


def test_a_module_is_mounted_with_all_it_stands_on(backbone: Backbone, study: Study, tmp_path: Path) -> None:
    assert isinstance(study.store, Path)
    module = Module.from_store(Store(study.store), study.plan.modules[-1].address)
    module.save_pretrained(tmp_path / "module")
    again = Module.from_pretrained(tmp_path / "module")
    batch = pack([[0, 17, 33, 2]])
    with (
        backbone.mount("mnli > xnli", study) as one,
        backbone.mount(again) as other,
        torch.inference_mode(),
    ):
        assert torch.equal(one.encode(batch), other.encode(batch))


def test_what_cannot_be_mounted_is_said(backbone: Backbone, study: Study, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="without a study"), backbone.mount("xnli"):
        pass
    with pytest.raises(UserError, match="is not in this study"), backbone.mount("pawsx", study):
        pass
    more = replace(study, expressions=["xnli", "mnli > xnli", "pawsx > xnli"])
    with backbone.mount("mnli > xnli", more):
        pass  # its own modules are there
    with (
        pytest.raises(UserError, match="not trained yet: pawsx, pawsx > xnli"),
        backbone.mount("pawsx > xnli", more),
    ):
        pass
    fresh = Study(["xnli"], backbone, store=tmp_path)
    with pytest.raises(UserError, match="not trained yet: xnli"), backbone.mount("xnli", fresh):
        pass


def test_a_study_takes_what_a_user_would_write(tmp_path: Path, checkpoint: Path) -> None:
    name, store = str(checkpoint), tmp_path / "store"
    lists = xadapt.Study(["xnli"], name, seeds=[0, 1], languages=["en", "de"], store=store)
    for study in (
        xadapt.Study("xnli", name, seeds=(0, 1), languages="en,de", store=store),
        xadapt.Study(xadapt.Stack("xnli"), name, seeds=[0, 1], langs="en de", store=store),
        xadapt.Study(["xnli"], name, seeds=[0, 1], langs=("en", "de"), store=store),
    ):
        assert study.plan.evaluations == lists.plan.evaluations
    assert len(xadapt.Study("xnli", name, seeds=3, langs="all", store=store).plan.evaluations) == 1
    assert xadapt.Stack(["mnli", "xnli"]) == xadapt.Stack("mnli > xnli") == xadapt.Stack(("mnli > xnli",))
    for wrong in ({"seeds": [True]}, {"seeds": (-1,)}, {"langs": "en", "languages": "de"}, {"max_steps": 0}):
        with pytest.raises(xadapt.UserError):
            xadapt.Study("xnli", name, **wrong)  # type: ignore[arg-type]


def test_everything_says_what_it_is_in_a_line(tmp_path: Path, checkpoint: Path) -> None:
    backbone = xadapt.Backbone.from_pretrained(str(checkpoint), device="cpu", dtype="float32")
    study = xadapt.Study(
        "mnli > xnli", backbone, langs="en", max_steps=1, looks=1, dev_examples=40, items=8, store=tmp_path
    )
    study.run(baselines=False)
    store = xadapt.Store(tmp_path)
    module = xadapt.Module.from_store(store, study.addresses("mnli > xnli")[-1])
    with backbone.mount("mnli > xnli", study) as mounted:
        said = [repr(one) for one in (backbone, study.plan, store, module, mounted, study.predictor())]
    assert not [line for line in said if "\n" in line or " at 0x" in line or len(line) > 250]
    plan, held = "2 modules and 1 evaluations", "'mnli@lora > xnli@lora', lora, seed 0"
    parts = ("float32 on cpu", plan, "2 modules", held, "xnli", "entailment")
    assert [part for line, part in zip(said, parts, strict=True) if part not in line] == []
