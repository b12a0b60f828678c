"""Imports run one way, downwards: the layers of DESIGN.md, from the ground up."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LONGEST = 420  # lines; one subject a file

# A module may import what has its own level or a lower one. A package's entry holds for all that
# is in it, unless a longer name says otherwise.
LEVELS = {
    "errors": 0,
    "identity": 0,
    "reach": 0,
    "randomness": 0,
    "console": 1,
    "workers": 1,
    "syntax": 1,
    "methods": 2,
    "combine": 2,
    "parts": 3,
    "stack": 3,
    "needs": 3,
    "tasks": 4,
    "packing": 5,
    "data": 6,
    "pocket": 6,
    "kinds": 7,
    "checkpoint": 7,
    "backbone": 7,
    "mount": 8,
    "disk": 9,
    "cache": 10,
    "locks": 10,
    "cells": 10,
    "card": 10,
    "proof": 10,
    "studies": 10,
    "store": 11,
    "upkeep": 12,
    "share": 14,
    "module": 13,
    "evaluate": 12,
    "train": 13,
    "measure": 12,
    "results": 13,
    "official": 13,
    "mixture": 13,
    "assembly": 13,
    "steps": 14,
    "plan": 14,
    "prepared": 15,
    "shelf": 15,
    "scoring": 15,
    "encoded": 14,
    "study": 15,
    "report": 16,
    "tree": 16,
    "explain": 16,
    "heat": 16,
    "learned": 16,
    "importance": 16,
    "report_scores": 16,
    "commands": 17,
    "listing": 16,
    "curve": 16,
    "cli": 17,
    "__main__": 18,
    "api": 18,
    "": 19,  # xadapt itself: its public names
    "recipes": 20,
    "benchmarks": 20,
}

# Beyond the levels: the stack knows no data, kinds no stacks.
NEVER = {
    "kinds": ("stack", "parts", "methods", "backbone", "mount"),
    "backbone": ("stack", "parts", "methods", "kinds", "data"),
    "mount": ("kinds", "data", "tasks"),
    "disk": ("mount", "kinds", "data", "tasks", "stack", "parts"),
    "store": ("mount", "kinds", "data", "tasks"),
}

FILES = sorted(
    path for folder in ("xadapt", "recipes", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)


def name_of(path: Path) -> str:
    """``kinds.tag`` for xadapt/kinds/tag.py; ``recipes.quickstart`` for recipes/quickstart.py."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "xadapt":
        parts = parts[1:]
    return ".".join(part for part in parts if part != "__init__")


def entry_of(name: str) -> str:
    """The longest entry of LEVELS that ``name`` falls under."""
    parts = name.split(".")
    entries = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    found = next((entry for entry in entries if entry in LEVELS), None)
    if found is None:
        pytest.fail(
            f"{name!r} has no level: put it into LEVELS of tests/test_imports.py, above all that it "
            "imports and below all that imports it"
        )
    return found


MODULES = {name_of(path) for path in FILES}


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Line and name of each module of ours that a file imports, wherever in the file it does."""
    package = ["xadapt", *name_of(path).split(".")] if path.name == "__init__.py" else None
    package = [p for p in package if p] if package else list(path.relative_to(ROOT).parent.parts)
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:  # a module, or a name within one
                whole = f"{stem}.{alias.name}"
                found.append((node.lineno, whole if whole.removeprefix("xadapt.") in MODULES else stem))
    ours = [(line, name) for line, name in found if name.split(".")[0] in ("xadapt", "recipes", "benchmarks")]
    return [(line, "" if name == "xadapt" else name.removeprefix("xadapt.")) for line, name in ours]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    name = name_of(path)
    own = entry_of(name)
    for line, imported in imports_of(path):
        other = entry_of(imported)
        edge = f"{path.relative_to(ROOT)}:{line}: {name or 'xadapt'} imports {imported or 'xadapt'}"
        assert LEVELS[other] <= LEVELS[own], f"{edge}, which is above it: pass it as a value instead"
        assert other not in NEVER.get(own, ()), f"{edge}, which it must not know"


def test_lazy_and_relative_imports_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "xadapt" / "kinds" / "kind.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "def f():\n    from ..store import Store\n    from xadapt import cli\n    import xadapt\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert imports_of(file) == [(2, "store"), (3, "cli"), (4, "")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_enough_to_be_read(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{lines} lines: give one of its subjects a file of its own"


def test_what_needs_no_torch_imports_none() -> None:
    names = ("errors", "methods", "needs", "stack", "tasks", "tree")
    light = f"import sys, xadapt, {', '.join(f'xadapt.{name}' for name in names)}; "
    heavy = "{'torch', 'transformers', 'peft', 'adapters', 'datasets', 'numpy'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"{light}print({heavy} or '')"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""
