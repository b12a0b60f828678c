"""README, CONTRIBUTING and docs/: each block of code is run or parsed, each link leads somewhere."""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import xadapt
from xadapt.cli.commands import COMMANDS
from xadapt.cli.main import main, parsed
from xadapt.cli.study_file import read_study
from xadapt.data.user_tasks import read_tasks
from xadapt.stacks.parser import parse
from xadapt.tasks import CATALOGUE

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FRAGMENTS = {"CONTRIBUTING.md"}  # shows lines that belong into files of the package: read, not run
ELSEWHERE = {"docs/your-own.md"}  # made into files and run in test_your_own.py
OUTPUT = {"", "text", "jsonl"}  # what is printed, and pictures
LANGUAGES = {"python", "sh", "toml", "tsv"}
NEVER = ("python -m venv", "pip install", "xadapt doctor")  # sets up a machine, or looks at the network


class Block(NamedTuple):
    """One fenced block: the word behind its fence, the file it is said to be, its text, its line."""

    page: str
    language: str
    title: str
    text: str
    line: int

    @property
    def commands(self) -> list[str]:
        return [line.strip() for line in self.text.splitlines() if line.strip() and not line.startswith("#")]


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    fence = re.compile(r"^( *)```(\w*)(?: title=\"(.+?)\")?\n(.*?)^\1```$", re.S | re.M)
    for found in fence.finditer(text):
        _, language, title, body = found.groups()
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page.relative_to(ROOT).as_posix(), language, title or "", textwrap.dedent(body), line)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
# Ours, the pages' own, and an imported module.
TASKS = (*CATALOGUE, *(n for b in BLOCKS for n in re.findall(r'^name = "(\w+)"$', b.text, re.M)), "theirs")


def of(language: str, but: Set[str] = frozenset()) -> list[Any]:
    found = (b for b in BLOCKS if b.language == language and b.page not in but)
    return [pytest.param(block, id=f"{block.page}:{block.line}") for block in found]


def test_every_block_says_what_it_is() -> None:
    fences = sum(len(re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.M)) for page in PAGES)
    assert fences == 2 * len(BLOCKS) > 60
    assert {block.language for block in BLOCKS} <= OUTPUT | LANGUAGES


# -- commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("sh", but=ELSEWHERE))
def test_every_command_is_understood(block: Block) -> None:
    """Parsed, not run: names of options and their values are right, and so are expressions and scripts."""
    for command in (part for line in block.commands for part in line.split(" && ")):
        words = shlex.split(command, comments=True)
        if "xadapt" in words[:1] or "-m xadapt" in command:
            understood = parsed(words[words.index("xadapt") + 1 :])
            expressions = getattr(understood, "expressions", ())
            for expression in (expressions,) if isinstance(expressions, str) else expressions:
                parse(expression, TASKS)
        elif words[0] == "python" and words[1] != "-m":
            assert (ROOT / words[1]).is_file(), command
        else:
            assert words[0] in ("pip", "pytest", "python", "ruff", "mypy", "mkdocs", "."), command


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_expression_in_a_sentence_or_table_is_one(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    words = r"joint|fuse|mean|linear|cat|svd|ties|dare_ties|dare_linear|drop"
    for said in re.findall(rf"`((?:[^`\n]* > [^`\n]*)|(?:(?:{words})\([^`\n]*\)))`", text):
        inner = re.sub(r'^[^"]*"([^"]*)".*$', r"\1", said)  # study.model("mnli > xnli"), run "mnli > xnli" -v
        made_up = "..." in inner or re.search(r"bitfit|largest|\ba\b|[{?=~]", inner.replace("=", ""))
        if not made_up and page.name != "CONTRIBUTING.md":
            parse(inner, TASKS)


# -- Python ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("python"))
def test_every_block_of_python_is_python(block: Block) -> None:
    if block.page not in FRAGMENTS:
        ast.parse(block.text)
        return
    try:
        ast.parse(block.text)
    except SyntaxError:  # a row of a table, or a branch of a function
        ast.parse(f"[{block.text}]" if '":' not in block.text else f"{{{block.text}}}")


RUN = sorted({block.page for block in BLOCKS if block.language == "python"} - FRAGMENTS - ELSEWHERE)


@pytest.mark.parametrize("page", RUN)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: str,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With data of a few files and two steps in place of the pocket world and a hundred."""

    def study(*given: Any, **named: Any) -> xadapt.Study:
        return made(*given, **(named | {"data": str(world / "xtreme"), "max_steps": 2, "threads": 1}))

    made = xadapt.Study
    monkeypatch.setattr(xadapt, "Study", study, raising=False)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page}
    for block in BLOCKS:
        if block.page == page and block.language == "python":
            code = "\n" * block.line + block.text
            exec(compile(code, page, "exec"), names)
    capsys.readouterr()


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("toml", but=ELSEWHERE))
def test_every_file_of_tasks_or_of_a_study_is_right(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_text(block.text, encoding="utf-8")
    content = tomllib.loads(block.text)
    if "task" in content:
        rows = read_tasks(path)
        assert all(row["name"] in rows for row in content["task"])
    else:
        assert read_study(path)["expressions"]


def test_every_link_leads_to_a_page_and_a_heading() -> None:
    for page in PAGES:
        for to in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in to:
                continue
            file, _, heading = to.partition("#")
            target = (page.parent / file).resolve() if file else page
            assert target.exists(), f"{page.name}: {to}"
            if heading:
                said = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
                anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in said}
                assert heading in anchors, f"{page.name}: {to}"


# -- what the pages promise -----------------------------------------------------------------------


def test_the_readme_is_what_a_newcomer_can_read() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    described = re.findall(r"^::: xadapt\.(\w+)$", page, re.M)
    assert len(described) == len(set(described))
    assert set(described) | set(re.findall(r"`xadapt\.(\w+)`", page)) == set(xadapt.__all__)


def test_the_page_of_the_command_line_has_every_command() -> None:
    table = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8").split("| command |")[1]
    cells = re.findall(r"^\| (`.*?) \|", table.split("\n\n")[0], re.M)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/first-steps.md"])
def test_the_first_steps_can_be_walked(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files are written as they stand and commands run as they stand, but for fewer steps and items."""
    monkeypatch.chdir(tmp_path)
    commands = 0
    for block in (b for b in BLOCKS if b.page == page):
        if block.title:
            (tmp_path / block.title).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        for command in block.commands if block.language == "sh" else ():
            if command.startswith(NEVER):
                continue
            fewer = re.sub(r"--max-steps \d+", "--max-steps 2", re.sub(r"--items \d+", "--items 9", command))
            main(shlex.split(fewer)[1:])
            commands += 1
    said = capsys.readouterr()
    assert commands >= 8
    assert "mood: accuracy on test" in said.out
    assert len((tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines()) == 2
