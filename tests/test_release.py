"""What is said of a release in several places agrees, and what the package imports is what it asks for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
# Where a package is called otherwise than its module; modules that come with a package that is asked for.
CALLED = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
WITH = {"markupsafe": "jinja2", "PIL": "matplotlib", "requests": "huggingface_hub", "pandas": "datasets"}


def test_the_citation_is_of_this_version() -> None:
    required = {"cff-version", "message", "title", "authors"}  # of the format's version 1.2
    assert required <= CITATION.keys()
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert str(CITATION["version"]) == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"] == PROJECT["authors"]
    assert PROJECT["authors"][0]["name"] in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_changelog_begins_with_this_version_and_its_date() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+)\] - (.+)$", changelog, re.M)
    assert headings[0] == (PROJECT["version"], str(CITATION["date-released"]))
    (newest,) = (part for part in changelog.split("\n## ") if part.startswith(f"[{PROJECT['version']}]"))
    assert re.findall(r"^### (.+)$", newest, re.M) == ["Added", "Changed", "Fixed"]


def test_the_command_and_python_say_one_version() -> None:
    code = "import xadapt; print('xadapt', xadapt.__version__)"
    python = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT)
    command = subprocess.check_output([sys.executable, "-m", "xadapt", "--version"], text=True, cwd=ROOT)
    assert python == command


def test_what_is_imported_is_asked_for() -> None:
    extras = PROJECT["optional-dependencies"].values()
    names = {Requirement(text).name.lower() for asked in (PROJECT["dependencies"], *extras) for text in asked}
    imported = set[str]()
    for path in (ROOT / "xadapt").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.split(".")[0])
    imported -= {*sys.stdlib_module_names, "xadapt", "_typeshed"}
    assert imported >= {"torch", "numpy", "peft"}
    assert {CALLED.get(name, WITH.get(name, name)) for name in imported} <= names


@pytest.mark.parametrize(
    ("unknown", "vulnerable", "status", "says"),
    [
        ([], {}, 0, "2 packages looked up"),
        (["peft"], {}, 2, "NOT AUDITED"),
        (["peft"], {"torch": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}, 1, "torch 2.6: PYSEC-1"),
    ],
    ids=["all looked up", "one that nobody knows", "one that is vulnerable"],
)
def test_an_audit_is_clean_only_where_everything_was_looked_up(
    unknown: list[str], vulnerable: dict[str, Any], status: int, says: str
) -> None:
    loader = SourceFileLoader("audit", str(ROOT / ".ci" / "audit"))
    spec = spec_from_loader("audit", loader)
    assert spec is not None
    audit = module_from_spec(spec)
    loader.exec_module(audit)
    lines, got = audit.judged({"torch": "2.6", "peft": "0.19"}, unknown, vulnerable)
    assert got == status
    assert says in lines[0]
