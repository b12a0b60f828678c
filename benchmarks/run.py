"""All pages, or the rows that claims of speed are held to, into one folder.

python benchmarks/run.py                    # everything, XLM-R base's shape: hours on a CPU
python benchmarks/run.py --quick            # pocket, few rounds: minutes
python benchmarks/run.py --bars             # the rows with a bar alone
python benchmarks/run.py --bars --only 1,4
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import bars
import floor
import infer
import lengths
import precision
import quality
import scale
import stacks
import swap
import train
import trunk
import tyro
from readme import write_tables
from results import Found, Row, quiet, slug, write
from setting import Setting

from xadapt.common.measure import device_name

HERE = Path(__file__).parent
PAGES: Mapping[str, Any] = {
    "train": train, "infer": infer, "stacks": stacks, "swap": swap, "lengths": lengths, "trunk": trunk,
    "scale": scale, "floor": floor, "precision": precision, "quality": quality,
}  # fmt: skip
# What a page is measured with under --quick; an option that it lacks does not concern it.
QUICK: Mapping[str, Any] = {
    "model": "pocket", "rounds": 2, "batch": 4, "steps": 1, "batches": (1, 4), "lengths": (16, 64),
    "modules": (1, 2), "models": ("pocket",), "items": (16, 64), "sizes": (4,), "memory": False,
    "tasks": 3, "goal": 0.0, "look": 2, "methods": ("lora",), "training_steps": 5, "tested": 40,
    "seeds": (0,),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options(Setting):
    """What to run."""

    rounds: int = 0
    """rounds of each page; 0: its own"""
    quick: bool = False
    """pocket, few rounds, small batches: does it run, not how fast is it"""
    bars: bool = False
    """the rows that have a bar and nothing else; the last line is JSON"""
    only: str = ""
    """with --bars numbers of rows, else names of pages, with commas between"""
    batch: int = 16
    """with --bars: items a step"""
    steps: int = 2
    """with --bars: optimiser steps a round"""
    encoder: Path | None = None
    """a real encoder for the pages of accuracy, precision and quality: a folder in HF format"""
    data: Path | None = None
    """real data for it: a folder in XTREME's layout"""
    readme: bool = False
    """write the tables of README.md and docs/speed.md anew, also from results of before"""


def page_options(page: Any, options: Options) -> Any:
    """The page's own options: ours where they are set, --quick's where that is asked for."""
    given = {k: getattr(options, k) for k in ("model", "device", "dtype", "threads")}
    names = {f.name for f in fields(page.Options)}
    given |= {k: getattr(options, k) for k in ("encoder", "data") if k in names}
    given |= {k: v for k, v in QUICK.items() if k in names} if options.quick else {}
    given |= {"rounds": options.rounds} if options.rounds else {}
    return page.Options(**given)


def reading(options: Options, out: Path) -> None:
    """The page of reading, in a process of its own as it measures its own memory; its rows as the others have
    them."""
    rows = 2000 if options.quick else 1_000_000
    workers = ["1"] if options.quick else ["1", "2"]
    command = [sys.executable, str(HERE / "reading.py"), "--rows", str(rows), "--workers", *workers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"reading: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    made: list[Row] = []
    for one in found["results"]:
        for start in ("first", "second"):
            seconds = one[start]["read_seconds"] + one[start]["encode_seconds"]
            made.append(
                {
                    "table": f"{rows} rows read, checked and tokenised",
                    "name": f"{one['source']}, workers: {one['workers']}, {start} start",
                    "seconds": seconds,
                    "CPU seconds": one[start]["cpu_seconds"],
                    "rows/s": rows / seconds,
                    "MB": one[start]["peak_bytes"] / 1e6,
                }
            )
    facts = {
        "model": "none: the tokenizer alone",
        "weights": "random",
        "dtype": "none",
        "device": platform.machine(),
    }
    write("reading", Setting(rounds=1), Found(facts, made), out)


def main(options: Options) -> None:
    quiet()
    device = options.place()
    out = options.out or HERE / "results" / slug(device_name(device))
    if options.bars:
        chosen = [int(number) for number in options.only.split(",") if number]
        setting = Setting(**{k: getattr(options, k) for k in ("model", "device", "dtype", "threads")},
                          rounds=options.rounds or 3)  # fmt: skip
        found = bars.measured(setting, chosen, options.batch, options.steps)
        if options.out or not chosen:
            out.mkdir(parents=True, exist_ok=True)
            (out / "bars.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(found))
        return
    asked = options.only.split(",") if options.only else [*PAGES, "reading"]
    for name in asked:
        print(f"{name} ...", file=sys.stderr, flush=True)
        if name == "reading":
            reading(options, out)
            continue
        own = page_options(PAGES[name], options)
        write(name, own, PAGES[name].measure(own), out)
    if options.readme:
        for page in (HERE / "README.md", HERE.parent / "docs" / "speed.md"):
            write_tables(page, out)
    print(json.dumps({"pages": asked, "out": str(out)}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
