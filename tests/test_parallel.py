"""Training in several processes: what one process would give, and nobody left waiting."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import several
import torch
from commands import COMMON
from hypothesis import given
from hypothesis import strategies as st

from xadapt.backbone.backbone import Backbone
from xadapt.cli.main import main
from xadapt.common.errors import UserError
from xadapt.grid.grid import Grid
from xadapt.store.store import Store
from xadapt.train.parallel import divided, team_on

LIMIT = 240  # seconds: a hang is a failure
ROOT = Path(__file__).parents[1]
FORK = multiprocessing.get_context("fork")  # torch is loaded once


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What ``several.py`` found in each of two processes that train together, and in one alone."""
    folder = tmp_path_factory.mktemp("several")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together, alone = folder / "together", folder / "alone"
    started = []
    try:
        for rank in (0, 1):
            started.append(FORK.Process(target=several.begin, args=(together, rank, 2, port)))
            started[-1].start()
        several.begin(alone, 0, 1, port)
        for process in started:
            process.join(LIMIT)
            assert process.exitcode == 0
    finally:
        for process in started:
            process.kill()
    files = (together / "0.pt", together / "1.pt", alone / "0.pt")
    return [torch.load(file, weights_only=False) for file in files]


@pytest.mark.parametrize("name", several.TRAININGS)
def test_two_processes_train_as_one(found: list[dict[str, Any]], name: str) -> None:
    first, second, alone = (every[name] for every in found)
    assert first["history"] == second["history"]
    assert first["stopped"] == second["stopped"]
    assert (first["stopped"][0], *first["stopped"][2:]) == (alone["stopped"][0], *alone["stopped"][2:])
    for here, there in zip(first["history"], alone["history"], strict=True):
        assert here == pytest.approx(there, abs=1e-5, rel=0)
    for key, weight in alone["weights"].items():
        assert torch.equal(first["weights"][key], second["weights"][key])
        # A key's bias changes no output: its gradient is rounding, and Adam makes steps of it.
        if not key.endswith("attention.self.key.bias"):
            torch.testing.assert_close(first["weights"][key], weight, atol=1e-5, rtol=0)


def test_a_run_in_two_processes_that_is_cut_off_goes_on_to_the_same_bits(
    found: list[dict[str, Any]],
) -> None:
    for rank in (0, 1):
        rest, whole = found[rank]["resumed"], found[rank]["lora"]
        assert rest["at"] == 4
        assert rest["history"] == whole["history"]
        assert all(torch.equal(rest["weights"][key], weight) for key, weight in whole["weights"].items())


def test_each_process_draws_masks_of_its_own_and_all_have_the_same_weights(
    found: list[dict[str, Any]],
) -> None:
    first, second, _ = found
    assert first["draws"] != second["draws"]
    for key, weight in first["dropout"]["weights"].items():
        assert torch.equal(weight, second["dropout"]["weights"][key])


def test_an_error_of_one_process_is_everybodys(found: list[dict[str, Any]]) -> None:
    first, second = found[0]["errors"], found[1]["errors"]
    for errors in (first, second):
        assert "lower the learning rate" in errors["not finite"]
        assert errors["tick"] == "UserError: the tracker is full"
        assert errors["first"] == errors["second"] == "UserError: no data"
        assert errors["none"] == "no error"
    assert (first["defect of the first"], second["defect of the second"]) == ("ValueError: a defect",) * 2
    for errors, which in ((second, "first"), (first, "second")):
        assert errors[f"defect of the {which}"] == "ElsewhereError: ValueError: a defect"


def test_one_process_leads_and_the_others_follow_beyond_what_fails(found: list[dict[str, Any]]) -> None:
    for rank, followed in enumerate(([], ["one", "two"])):
        assert found[rank]["led"] == {
            "value": "all done",
            "followed": followed,
            "error": "UserError: nothing can be led",
        }


@given(st.lists(st.integers(1, 500), max_size=40), st.integers(1, 5))
def test_items_are_divided_so_that_each_has_one_place_and_tokens_are_balanced(
    tokens: list[int], count: int
) -> None:
    parts = divided(tokens, count)
    assert sorted(i for part in parts for i in part) == list(range(len(tokens)))
    assert all(part == sorted(part) for part in parts)
    loads = [sum(tokens[i] for i in part) for part in parts]
    assert max(loads) - min(loads) <= max(tokens, default=0)


def test_processes_that_nobody_counted_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Launched:
        num_processes = 2

        class distributed_type:  # noqa: N801
            value = "MULTI_CPU"

    monkeypatch.setattr("xadapt.train.parallel.Accelerator", lambda cpu: Launched)
    with pytest.raises(UserError, match="2 processes"):
        team_on(torch.device("cpu"))


def test_each_process_has_a_gpu_of_its_own_or_is_refused(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    """As far as a machine without GPUs can tell: which one is asked for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    for wish in ("auto", "cuda"):
        with pytest.raises(UserError, match="'cuda:1' cannot be used here"):
            Backbone.from_pretrained(str(checkpoint), device=wish)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="2 processes, and 1 GPUs"):
        Backbone.from_pretrained(str(checkpoint))
    assert Backbone.from_pretrained(str(checkpoint), device="cpu", dtype="float32").device.type == "cpu"


def test_whoever_does_not_lead_prints_nothing_and_writes_nothing(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    main(["tasks"])
    main(["run", "xnli", *COMMON, "--dry-run", "--json", "results.json"])
    for words in (["--help"], ["run", "--no-such-option"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
    said = capsys.readouterr()
    assert said.out + said.err == ""
    assert sorted(path.name for path in workdir.iterdir()) == ["backbone", "xtreme"]


def test_a_grid_shares_its_units_among_workers_and_needs_no_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="without the launcher"):
        Grid(["xnli"], store=tmp_path / "store").run()
    assert not list(tmp_path.iterdir())


# -- through the launcher -----------------------------------------------------------------------


def launched(*words: str) -> subprocess.CompletedProcess[str]:
    """A command in two processes; ``--multi_gpu`` starts them on a machine without GPUs too."""
    start = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    return subprocess.run(
        [sys.executable, "-m", *start, "-m", "xadapt", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_launched_run_is_what_it_is_without_a_launcher(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "mnli > xnli", *COMMON, "--device", "cpu"]
    done = launched(*words, "--store", "together", "--json", "together.json")
    assert done.returncode == 0, done.stderr
    main([*words, "--store", "alone", "--json", "alone.json"])
    expected = capsys.readouterr().out

    def tables(text: str) -> list[str]:
        return [line for line in text.splitlines() if not re.search(r"\d s in all|trained|seconds", line)]

    assert tables(done.stdout) == tables(expected)
    results = [json.loads(Path(f"{name}.json").read_text()) for name in ("together", "alone")]
    assert results[0]["cells"] == results[1]["cells"]
    files = [sorted(str(p.relative_to(n)) for p in Path(n).rglob("*")) for n in ("together", "alone")]
    assert files[0] == files[1]
    stores = Store("together"), Store("alone")
    addresses = [{info.address for info in store.modules()} for store in stores]
    assert addresses[0] == addresses[1]
    assert len(addresses[0]) == 2
    for address in addresses[0]:
        mine, theirs = (store.load(address) for store in stores)
        for key, weight in theirs.weights.items():
            torch.testing.assert_close(mine.weights[key], weight, atol=1e-5, rtol=0)
    assert sorted(path.name for path in workdir.iterdir()) == [
        "alone", "alone.json", "backbone", "together", "together.json", "xtreme",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["before", "in training"])
def test_what_a_user_can_put_right_is_said_once_and_ends_all_processes(workdir: Path, wrong: str) -> None:
    if wrong == "before":
        expression, message = "mnlii > xnli", "mnlii"
    else:
        expression, message = "xnli", "labelled"
        (workdir / "xtreme/xnli/train-en.tsv").write_text("a man eats\tan apple\tlabelled\n" * 20)
    done = launched("run", expression, *COMMON, "--device", "cpu")
    assert done.returncode != 0
    assert done.stderr.count("xadapt: ") == 1
    assert message in done.stderr
    assert not list(workdir.rglob("manifest.json"))
