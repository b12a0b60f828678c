"""The README's two commands run, and what CONTRIBUTING names is there. Blocks and links: ``test_docs.py``."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COMMANDS = [
    line.strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.strip() and not line.strip().startswith("#")
]


def test_the_two_commands_are_there() -> None:
    assert "pip install . && python recipes/quickstart.py" in COMMANDS
    assert 'pip install ".[test]" && pytest' in COMMANDS
    assert 'pip install --quiet ".[test]" && pytest' in (ROOT / ".ci" / "run").read_text()


def test_what_contributing_names_is_there() -> None:
    """``room.file.name`` in its tables; each is found below xadapt/."""
    table_cells = "\n".join(line for line in CONTRIBUTING.splitlines() if line.startswith("|"))
    names = set(re.findall(r"`([a-z_]+(?:\.\w+)+)`", table_cells))
    names = {name for name in names if not name.endswith(".py")}
    assert len(names) > 30
    for name in names:
        parts = name.split(".")
        depth = next(n for n in range(len(parts), 0, -1) if is_module(parts[:n]))
        found: object = importlib.import_module(".".join(["xadapt", *parts[:depth]]))
        for part in parts[depth:]:
            found = getattr(found, part)


def is_module(parts: list[str]) -> bool:
    path = ROOT.joinpath("xadapt", *parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_the_table_of_rooms_has_them_all() -> None:
    rooms = {path.name for path in (ROOT / "xadapt").iterdir() if (path / "__init__.py").is_file()}
    table = CONTRIBUTING.split("\n| room |")[1].split("\n\n")[0]
    assert rooms == set(re.findall(r"^\| `([a-z]+)` \|", table, re.M))


def quickstart(store: Path, *options: str) -> tuple[str, dict]:
    results = store.parent / "results.json"
    command = [sys.executable, str(ROOT / "recipes" / "quickstart.py"), "--store", str(store)]
    done = subprocess.run(
        [*command, "--json", str(results), *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=store.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(results.read_text())


def test_the_quickstart_runs_and_runs_again_from_its_store(tmp_path: Path) -> None:
    """The whole recipe, a few steps a module, in two languages."""
    options = ["--max-steps", "5", "--langs", "en", "de"]
    _, first = quickstart(tmp_path / "store", *options)
    assert len(first["modules"]) == 6
    assert all(m["trained"] for m in first["modules"])
    assert {c["task"] for c in first["cells"]} == {"xnli", "xquad", "tatoeba"}
    said, second = quickstart(tmp_path / "store", *options)
    assert second["cells"] == first["cells"]
    assert "nothing was trained" in said
