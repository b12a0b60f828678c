"""What commands print at 80 columns, as it was looked at and found readable: a file each in tests/goldens.

``GOLDENS=renew pytest -n 0 tests/test_goldens.py`` writes them anew; read the difference before it is
committed. Kept is what does not depend on training or on the machine: addresses and times are masked in their
width.
"""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from report_common import results_by_hand
from rich.console import Console
from test_cli_modules import manifest, put
from test_results import HITS, put_score

from xadapt.cli.main import main
from xadapt.report.sheet import Column, Sheet
from xadapt.report.tables import print_results
from xadapt.store.store import Store

GOLDENS = Path(__file__).parent / "goldens"
COMMON = ["--backbone", "./backbone", "--data", "./xtreme", "--max-steps", "3"]
LONG = "fuse(mnli, squad_v1, hellaswag) > xnli"

COMMANDS = {
    "help": ["--help"],
    "run-dry": ["run", "xnli", "mnli > xnli", "mean(mnli, mnli[5], 0.5*mnli[6]) > xnli",
                *COMMON, "--seeds", "0", "1", "--dry-run"],
    "run-dry-plain": ["run", "xnli", "mnli > xnli", *COMMON, "--dry-run", "--plain"],
    "layers-dry": ["layers", *COMMON, "--dry-run"],
    "predict-dry": ["predict", "mnli > xnli", *COMMON, "--split", "dev", "--dry-run"],
    "explain": ["explain", "fuse(mnli, mnli[5]) > xnli", *COMMON],
    "tasks": ["tasks"],
    "tasks-readers": ["tasks", "readers"],
    "modules": ["modules", "--store", "made"],
    "modules-plain": ["modules", "--store", "made", "--task", "xnli", "--plain"],
    "modules-show": ["modules", "show", "udpos", "--store", "made"],
    "modules-studies": ["modules", "studies", "--store", "made"],
    "modules-gc": ["modules", "gc", "--dry-run", "--store", "made"],
    "results": ["results", "--store", "made", "--seeds", "0"],
    "results-against": ["results", "--store", "made", "--against", "xnli"],
    "results-studies": ["results", "--store", "made", "--studies"],
    "results-plain": ["results", "--store", "made", "--langs", "sw", "--plain"],
    "score": ["score", "system", "--labels", "./xtreme"],
    "report": ["report", "--store", "made"],
    "unknown-command": ["mdules"],
    "unknown-action": ["modules", "shw"],
    "unknown-option": ["run", "xnli", "--sed", "0"],
    "unknown-task": ["run", "xnly", *COMMON],
    "several-modules": ["modules", "show", "mnli > xnli", "--store", "made"],
}  # fmt: skip
MASKS = (
    (r"[0-9a-f]{20}", "a" * 20),
    (r"\b[0-9a-f]{16}\b", "k" * 16),
    (r"(?<![\w.])(?=[0-9a-f]*[0-9])[0-9a-f]{8}(?!\w)", "a" * 8),
    (r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,}(\+00:00)?", lambda m: "t" * len(m[0])),
)


@pytest.fixture
def place(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny world, a store with modules and scores made by hand, and a system's predictions."""
    monkeypatch.setenv("COLUMNS", "80")
    store = Store("made")
    for i, one in enumerate(
        (
            {"expression": "sst", "task": "mnli"},
            {"expression": "xnli@lora"},
            {"expression": "mnli@lora > xnli@lora"},
            {"expression": "mnli@lora > xnli@lora"},
            {"expression": LONG.replace(",", "@lora,").replace(")", "@lora)") + "@lora"},
            {"expression": "udpos@bottleneck", "method": "bottleneck", "task": "udpos", "lr": 1e-4},
        )
    ):
        put(store.root, manifest(i, **one))  # type: ignore[arg-type]
    facts = {"backbone": "pocket", "data": "pocket", "seeds": [0, 1]}
    store.records.keep("run", ["xnli", "mnli > xnli", LONG], [m.address for m in store.modules()], facts)
    for expr, chance in HITS.items():
        for seed in (0, 1):
            for lang in ("sw", "de", "en"):
                put_score(store, chance, expr=expr.replace("squad > xnli", LONG), seed=seed, lang=lang)
    (workdir / "system/xnli").mkdir(parents=True)
    (workdir / "system/notes").mkdir()
    for lang in ("en", "de"):
        rows = (workdir / f"xtreme/xnli/dev-{lang}.tsv").read_text().splitlines()
        labels = [row.split("\t")[-1] for row in rows]
        (workdir / f"system/xnli/test-{lang}.tsv").write_text("\n".join(labels) + "\n")
    return workdir


def masked(text: str) -> str:
    """Without what another machine or version would say otherwise, every line as wide as it was."""
    for pattern, said in MASKS:
        text = re.sub(pattern, said, text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def compare(name: str, text: str) -> None:
    file = GOLDENS / f"{name}.txt"
    said = masked(text)
    assert max(map(len, said.splitlines())) <= 80 or name.startswith(("unknown", "several"))
    if os.environ.get("GOLDENS") == "renew":
        GOLDENS.mkdir(exist_ok=True)
        file.write_text(said, encoding="utf-8")
    assert said == file.read_text(encoding="utf-8")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_what_was_looked_at(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused = name.startswith(("unknown", "several"))
    ends = pytest.raises(SystemExit) if refused or name.startswith("help") else nullcontext()
    with ends as ended:
        main(COMMANDS[name])
    assert not refused or (ended is not None and ended.value.code == 2)
    said = capsys.readouterr()
    compare(name, said.out + said.err)


@pytest.mark.parametrize("by", [None, "family"])
def test_the_results_of_a_run(store: Store, capsys: pytest.CaptureFixture[str], by: str | None) -> None:
    results = results_by_hand(store, tasks=["xnli"])
    print_results(results, Console(width=80), by)  # type: ignore[arg-type]
    compare(f"results-of-a-run{'-by-family' if by else ''}", capsys.readouterr().out)


def test_many_languages_and_expressions(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = Sheet("language", *(Column(f"mnli[{n}] > xnli", right=True) for n in (1000, 5000, 10000, 50000)))
    for lang in ("en", "de", "mean of others"):
        sheet.add(lang, *(f"{70 + n}.5 ±0.{n} ({69 + n}.1 to {72 + n}.9)" for n in range(4)))
    Console(width=80).print(sheet)
    compare("many", capsys.readouterr().out)


def test_no_golden_is_left_over() -> None:
    here = {file.stem for file in GOLDENS.iterdir()}
    assert here == {*COMMANDS, "results-of-a-run", "results-of-a-run-by-family", "many"}
