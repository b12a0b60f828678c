"""Records of training: off unless asked for, whole where they are, and never in the way of a training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from commands import COMMON, refused

import xadapt
from xadapt.cli.main import main
from xadapt.common.progress import Training, Unwatched
from xadapt.report import tracking
from xadapt.report.tracking import Tracked, flat, plain
from xadapt.store.store import Store
from xadapt.study.results import Cell, Results

ABOUT = Training("mnli > xnli", 3, "0123456789abcdef0123", {"seed": 3, "settings": {"lr": 3e-4, "max": None}})


class Heard(Unwatched):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Recorded:
    """In place of a tracker of accelerate's: what it is told."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at, self.config, self.finished = fails_at, dict[str, Any](), False
        self.logged: list[tuple[int, dict[str, float]]] = []

    def start(self) -> None: ...

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = values

    def log(self, values: dict[str, float], step: int) -> None:
        if step == self.fails_at:
            raise ConnectionError("nobody answers")
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished = True


def told(recorded: Recorded, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A training that goes on from step 4; what was noted of it."""
    monkeypatch.setitem(tracking.INSTALL, "json", "nothing to install")  # a package that is there
    monkeypatch.setattr(tracking, "_tracker", lambda *_: recorded)
    heard = Heard()
    with Tracked("json", folder, heard).training("train", 6, ABOUT) as advance:  # type: ignore[arg-type]
        advance(5, loss=1.0, lr=0.1)
        advance(0, accuracy=50.0)
        advance(1, loss=0.5, lr=0.0)
    return heard.notes


def test_a_record_has_settings_and_every_step_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded()
    assert told(recorded, tmp_path, monkeypatch) == []
    assert recorded.config == {"seed": 3, "settings.lr": 3e-4, "settings.max": "null"}
    assert recorded.logged == [
        (5, {"loss": 1.0, "lr": 0.1}), (5, {"accuracy": 50.0}), (6, {"loss": 0.5, "lr": 0.0}),
    ]  # fmt: skip
    assert recorded.finished


def test_a_tracker_that_fails_in_the_middle_is_noted_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(fails_at=5)
    assert told(recorded, tmp_path, monkeypatch) == [
        "json keeps no further record of this run: nobody answers"
    ]
    assert recorded.logged == []


@pytest.mark.parametrize(
    ("tracker", "install"),
    [
        ("tensorboard", 'pip install "xadapt[tensorboard]"'),
        ("wandb", "pip install wandb"),
        ("mlflow", "pip install mlflow"),
    ],
)
def test_a_missing_package_is_said_before_anything_is_trained(
    workdir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tracker: str,
    install: str,
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    assert install in refused(capsys, "run", "xnli", *COMMON, "--track", tracker)
    assert not (workdir / ".xadapt").exists()
    with pytest.raises(xadapt.UserError, match="did you mean 'wandb'"):
        Tracked("wandbb", workdir)  # type: ignore[arg-type]


def test_a_folder_of_a_trackers_name_is_no_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "records_of_a_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(tracking.INSTALL, "records_of_a_tracker", "pip install it")
    with pytest.raises(xadapt.UserError, match="pip install it"):
        Tracked("records_of_a_tracker", tmp_path)  # type: ignore[arg-type]


def test_of_several_processes_only_the_one_that_leads_keeps_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded()
    monkeypatch.setitem(tracking.INSTALL, "json", "nothing to install")
    monkeypatch.setattr(tracking, "_tracker", lambda *_: recorded)
    cell = Cell("xnli", 2, "xnli", "de", "dev", "accuracy", 50.0, 3)
    results = Results("tiny", "folder", False, (cell,), (), (), 1.0)
    for rank, logged in (("1", []), ("0", [(2, {"xnli/de/accuracy/xnli": 50.0})])):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", rank)
        Tracked("json", tmp_path).results(results)  # type: ignore[arg-type]
        assert recorded.logged == logged


def test_names_are_those_that_files_and_trackers_take() -> None:
    assert plain("joint(mnli, squad_v1) > xnli@lora(r=8)") == "joint_mnli_ squad_v1_ above xnli_lora_r_8_"
    assert flat({"a": {"b": [1, 2], "c": {}}, "d": True}) == {"a.b": "[1, 2]", "a.c": "{}", "d": True}


def test_nothing_of_a_tracker_is_loaded_or_written_unasked(workdir: Path) -> None:
    main(["run", "xnli", *COMMON])
    assert not list(workdir.rglob("tracking"))
    assert not {"wandb", "mlflow"} & set(sys.modules)


def test_tensorboard_has_a_run_for_each_module_and_one_of_the_scores(workdir: Path) -> None:
    pytest.importorskip("tensorboard", reason="not installed: pip install 'xadapt[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def events(name: str) -> Any:
        found = EventAccumulator(str(folder / name))
        found.Reload()
        return found

    main(["run", "mnli > xnli", *COMMON, "--track", "tensorboard"])
    folder, store = workdir / ".xadapt/tracking", Store(workdir / ".xadapt")
    mnli, xnli = (info.address for info in store.modules())
    runs = {f"mnli seed 0 {mnli[:8]}": mnli, f"mnli above xnli seed 0 {xnli[:8]}": xnli}
    assert {path.name for path in folder.iterdir()} == {*runs, "scores"}
    for name, address in runs.items():
        seen, manifest = events(name), store.manifest(address)
        history = manifest["dev"]["history"]
        steps = [*range(1, manifest["training"]["steps"] + 1)]
        assert [event.step for event in seen.Scalars("loss")] == steps
        assert [event.step for event in seen.Scalars("lr")] == steps
        scores = {event.step: event.value for event in seen.Scalars("accuracy")}
        assert scores == pytest.approx({look["step"]: look["accuracy"] for look in history})
        losses = {event.step: event.value for event in seen.Scalars("loss")}
        assert losses == pytest.approx({look["step"]: look["loss"] for look in history})
        (settings,) = (folder / name).rglob("hparams.yml")
        assert "settings.batch_size: " in settings.read_text()
    both = {f"xnli/{lang}/accuracy/mnli above xnli" for lang in ("en", "de")}
    assert set(events("scores").Tags()["scalars"]) == both

    main(["run", "mnli > xnli", *COMMON, "--track", "tensorboard"])  # all is in the store: nothing is trained
    assert {path.name for path in folder.iterdir()} == {*runs, "scores"}
