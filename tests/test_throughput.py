"""The throughput benchmark runs, on the smallest settings, and says what it promises to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "throughput.py"
OURS = {"full", "lora", "lora q,v", "bottleneck"}
THEIRS = {"Trainer + peft, dynamic padding", "Trainer + peft, grouped by length"}


def ran(*options: str) -> list[str]:
    command = [
        sys.executable,
        str(SCRIPT),
        "--model",
        "pocket",
        "--batch",
        "2",
        "--steps",
        "1",
        "--threads",
        "1",
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_a_table_and_a_last_json_line() -> None:
    *table, last = ran("--rounds", "2", "--no-memory")
    assert any("over full" in line for line in table)
    found = json.loads(last)
    rows = {row["name"]: row for row in found["rows"]}
    assert rows.keys() == {"bare encoder"} | OURS | THEIRS
    assert rows["full"]["training_over_full"]["median"] == 1.0
    assert all(rows[name]["training_examples_per_second"]["median"] > 0 for name in OURS | THEIRS)
    assert all(rows[name]["inference_over_bare"]["median"] > 0 for name in OURS)
    # Every weight of full fine-tuning is stored, 4 bytes each; of a module a small share.
    full, lora = rows["full"], rows["lora"]
    assert full["stored_bytes"] > 4 * full["trainable_parameters"] > 10 * lora["stored_bytes"]


def test_peak_memory_is_not_inherited_from_the_process_that_asks() -> None:
    """ru_maxrss would be: every contender once showed the benchmark's own peak."""
    large = bytearray(700_000_000)
    large[::4096] = b"x" * len(large[::4096])
    code = "from xadapt.common.measure import peak_bytes; print(peak_bytes('cpu'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 600e6 < len(large)


def test_peak_memory_is_that_of_a_process_for_one_contender() -> None:
    peak = int(ran("--only", "lora", "--no-memory")[-1])
    assert 50e6 < peak < 8e9
