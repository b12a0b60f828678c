"""The benchmark of inference runs, on the smallest settings, and says what it promises to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "inference.py"


def test_a_table_and_a_last_json_line() -> None:
    options = ["--model", "pocket", "--rounds", "2", "--batches", "1", "2", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *printed, last = done.stdout.strip().splitlines()
    assert any("fusion of nine bottlenecks, cheap" in line for line in printed)
    found = json.loads(last)
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["bare encoder"]["time_over_bare"]["1"]["median"] == 1.0
    assert rows["bare encoder"]["held_bytes"] == 0
    assert all(row["time_over_bare"][size]["median"] > 0 for row in rows.values() for size in ("1", "2"))
    # Every cheaper way gives the library's outputs, and acts: hidden states of some size are compared.
    cheaper = [row for row in rows.values() if row["equals"]]
    assert len(cheaper) == 5
    assert all(row["largest_difference"] < 1e-4 for row in cheaper)
    assert all(row["largest_hidden_state"] > 1 for row in cheaper)
    # What is concatenated holds the nine modules and no more; what is folded, a copy of the linears.
    assert rows["nine LoRAs, concatenated"]["held_bytes"] == rows["nine LoRAs, peft"]["held_bytes"]
    assert rows["LoRA, folded"]["held_bytes"] == rows["nine LoRAs, folded"]["held_bytes"]
    for each in found["switch_milliseconds"].values():
        assert each["memory"]["median"] < each["mount"]["median"]
