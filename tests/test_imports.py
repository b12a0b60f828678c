"""Imports run one way, downwards: the layers of DESIGN.md, from the ground up."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LONGEST = 420  # lines; one subject a file

# A room is a folder of xadapt, a floor the rooms that know nothing of each other. A file imports from its own
# room and from the floors below.
FLOORS = (
    {"common"},
    {"backbone", "stacks", "statistics", "store", "tasks"},
    {"data", "kinds", "mount"},
    {"interop", "train"},
    {"study"},
    {"grid"},
    {"record"},
    {"report"},
    {"xadapt"},  # its public names, in __init__.py
    {"benchmarks", "cli", "recipes"},
    {"__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

FILES = sorted(
    path for folder in ("xadapt", "recipes", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)


def name_of(path: Path) -> str:
    """``kinds.tag`` for xadapt/kinds/tag.py; ``recipes.quickstart`` for recipes/quickstart.py."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "xadapt":
        parts = parts[1:]
    return ".".join(part for part in parts if part != "__init__")


def room_of(name: str) -> str:
    """``kinds`` of kinds.tag; ``xadapt`` of the public names."""
    room = name.split(".", maxsplit=1)[0] or "xadapt"
    if room not in FLOOR:
        pytest.fail(f"{name!r} is in no room: put it into one of {', '.join(sorted(FLOOR))}")
    return room


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
    own = room_of(name)
    for line, imported in imports_of(path):
        other = room_of(imported)
        edge = f"{path.relative_to(ROOT)}:{line}: {name or 'xadapt'} imports {imported or 'xadapt'}"
        assert other == own or FLOOR[other] < FLOOR[own], f"{edge}: pass it as a value instead"


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.py")), ids=lambda path: path.name)
def test_a_recipe_imports_the_public_names_and_nothing_inside(path: Path) -> None:
    assert {imported for _, imported in imports_of(path)} == {""}


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
    names = ("common.errors", "stacks.methods", "stacks.places", "stacks.parser", "tasks")
    light = f"import sys, xadapt, {', '.join(f'xadapt.{name}' for name in names)}; "
    heavy = "{'torch', 'transformers', 'peft', 'adapters', 'datasets', 'numpy'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"{light}print({heavy} or '')"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""
