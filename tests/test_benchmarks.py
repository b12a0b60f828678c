"""The benchmarks run, on the smallest settings, and say what they promise: not how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL = ("--model", "pocket", "--threads", "1", "--device", "cpu")


def ran(script: str, *options: str) -> dict[str, Any]:
    """The last line of what a script prints."""
    command = [sys.executable, str(BENCHMARKS / script), *SMALL, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``run.py --quick`` writes, but for reading, whose processes take longer than all the rest."""
    out = tmp_path_factory.mktemp("results")
    pages = "train,infer,stacks,swap,lengths,trunk,scale,floor"
    ran("run.py", "--quick", "--dtype", "float32", "--rounds", "1", "--only", pages, "--out", str(out))
    return out


def page(results: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((results / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", ["train", "infer", "stacks", "swap", "lengths", "trunk", "scale", "floor"])
def test_a_page_says_what_was_measured_on_what(results: Path, name: str) -> None:
    found = page(results, name)
    assert found.keys() == {"page", "machine", "model", "versions", "options", "rows"}
    assert found["machine"]["device"] == "CPU, 1 thread"
    assert found["model"]["weights"] == "its own"  # random ones are said to be
    assert found["versions"].keys() >= {"python", "torch", "transformers", "peft", "adapters"}
    assert found["options"]["rounds"] == 1
    assert found["rows"]
    text = (results / f"{name}.md").read_text()
    assert all(row["name"] in text and row["table"] in text for row in found["rows"])


def test_the_fast_ways_of_training_change_no_score() -> None:
    found = ran("quality.py", "--tested", "30", "--training-steps", "4", "--targets", "udpos", "--seeds", "0")
    rows = {(row["table"], row["name"]): row for row in found["rows"] if "minus plain" in row}
    assert len(rows) == 4
    for (_, name), row in rows.items():
        assert row["its low"] <= row["minus plain"] <= row["its high"]
        if name != "evaluated in bf16":
            assert (row["minus plain"], row["other items"]) == (0, 0)


def test_pictures_stand_beside_the_tables(results: Path) -> None:
    for file in results.glob("*.md"):
        for line in file.read_text().splitlines():
            if line.startswith("!["):
                assert (results / line.split("(")[-1].rstrip(")")).read_text().startswith("<?xml")


def test_every_contender_of_training_has_a_speed(results: Path) -> None:
    found = page(results, "train")["rows"]
    speeds = [row["examples/s"]["median"] for row in found if "examples/s" in row]
    assert len(speeds) == 11
    assert min(speeds) > 0
    rows = {row["name"]: row for row in found if row["table"] == "training"}
    assert rows["full fine-tuning"]["over full"]["median"] == 1.0
    # Every weight of full fine-tuning is stored, 4 bytes each; of a module a small share.
    full, lora = rows["full fine-tuning"], rows["LoRA"]
    assert full["stored MB"] > 4 * full["trained, M"] > 10 * lora["stored MB"]


def test_cheaper_forms_of_a_stack_give_the_librarys_outputs(results: Path) -> None:
    rows = [row for row in page(results, "stacks")["rows"] if row.get("difference") is not None]
    assert len(rows) >= 8
    assert all(row["difference"] < 1e-4 for row in rows)


def test_packing_computes_no_padding(results: Path) -> None:
    rows = page(results, "lengths")["rows"]
    assert {row["table"].split(":")[0] for row in rows} == {"xnli", "squad", "hellaswag", "udpos"}
    by_way = {row["name"].split(",")[0]: row["computed"] for row in rows if row["table"].startswith("udpos")}
    assert by_way["packed"] == 1 < by_way["grouped by length"] < by_way["padded to the batch's longest"]
    assert by_way["padded to the batch's longest"] < by_way["padded to 128"]


def test_weights_are_swapped_faster_than_mounted(results: Path) -> None:
    for row in page(results, "swap")["rows"]:
        assert row["from memory"]["median"] < row["mounted anew"]["median"]


def test_the_tables_of_the_pages_are_made_of_results(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from readme import TABLES, choice, write_tables

    assert "| LoRA " in choice(results)
    assert choice(results / "none").startswith("Not measured yet")
    for page in (BENCHMARKS / "README.md", BENCHMARKS.parent / "docs" / "speed.md"):
        text = page.read_text()
        marks = [name for name in TABLES if f"<!-- {name}: begin -->" in text]
        assert marks
        copy = tmp_path / page.name
        copy.write_text(text)
        write_tables(copy, results)
        write_tables(copy, results)
        again = copy.read_text()
        assert all(again.count(f"<!-- {name}: {end} -->") == 1 for name in marks for end in ("begin", "end"))
        assert "| LoRA" in again


def test_the_bars_are_one_line_of_json() -> None:
    found = ran("run.py", "--bars", "--only", "4,5,8", "--rounds", "1", "--batch", "2", "--steps", "1")
    assert found.keys() >= {"device", "threads", "versions", "bars"}
    assert (found["device"], found["threads"]) == ("CPU, 1 thread", 1)
    training, cached, inference = found["bars"]
    for row in (training, inference):
        assert row["low"] <= row["value"] <= row["high"]
        assert row["holds"] == (row["value"] >= row["bar"] if row["least"] else row["value"] <= row["bar"])
    assert (training["least"], inference["least"]) == (True, False)
    # What was not measured does not hold, and does not fail either.
    assert cached["value"] is None or cached["value"] > 0
    assert {"name", "peer", "value", "low", "high", "bar", "holds"} <= cached.keys()


def test_peak_memory_is_not_inherited_from_the_process_that_asks() -> None:
    """ru_maxrss would be: every contender once showed the benchmark's own peak."""
    large = bytearray(700_000_000)
    large[::4096] = b"x" * len(large[::4096])
    code = "from xadapt.common.measure import peak_bytes; print(peak_bytes('cpu'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 600e6 < len(large)


def test_peak_memory_is_that_of_a_process_for_one_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, str(BENCHMARKS / "train.py"), *SMALL, "--only", "LoRA", "--batch", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 50e6 < int(done.stdout.strip().splitlines()[-1]) < 8e9
