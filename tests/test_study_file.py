"""``xadapt study FILE``: what a file may say, what it gets that says something else, and how a run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from commands import refused

from xadapt.cli.main import main
from xadapt.cli.study_file import _FORMS, read_study
from xadapt.grid.grid import Grid

TOML = """\
expressions = ["{target}", "mnli[{size}] > {target}"]
targets = ["xnli"]
sizes = [4, "all"]
backbones = ["./backbone"]
data = "./xtreme"
max_steps = 2
batch_size = 8
"""
EXAMPLE = Path(__file__).parents[1] / "recipes" / "studies" / "nli_sizes.toml"


@pytest.fixture
def file(workdir: Path) -> Path:
    (workdir / "study.toml").write_text(TOML)
    return workdir / "study.toml"


def test_a_study_is_forecast_run_and_found_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", "study.toml", "--dry-run"])
    planned = capsys.readouterr().out
    assert "estimated time" in planned
    assert not (file.parent / ".xadapt" / "modules").exists()
    main(["study", "study.toml", "--json", "first.json"])
    assert "5 modules trained, 0 reused" in capsys.readouterr().out
    main(["study", "study.toml", "--json", "again.json"])
    assert "0 modules trained, 5 reused" in capsys.readouterr().out
    first, again = (json.loads((file.parent / f"{name}.json").read_text()) for name in ("first", "again"))
    assert first["cells"] == again["cells"]
    assert {cell["expr"] for cell in first["cells"]} == {"xnli", "mnli[4] > xnli", "mnli > xnli"}
    main(["report", "study", "--out", "page"])
    page = (file.parent / "page" / "report.md").read_text()
    assert "What study.toml states" in page
    assert "of 2 gains over the first expression of a target" in page


def test_power_says_what_would_show_a_gain(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", "study.toml", "--seeds", "0,1,2", "--power", "5"])
    said = " ".join(capsys.readouterr().out.split())
    assert "to show a gain of 5 points with a power of 80%" in said
    assert "or items" in said


def test_yaml_says_the_same(file: Path) -> None:
    (file.parent / "study.yaml").write_text(
        'expressions: ["{target}", "mnli[{size}] > {target}"]\ntargets: [xnli]\nsizes: [4, all]\n'
        "backbones: [./backbone]\ndata: ./xtreme\nmax_steps: 2\nbatch_size: 8\n"
    )
    assert read_study(file.parent / "study.yaml") == read_study(file)


def test_a_file_can_say_all_that_a_grid_has() -> None:
    own = {name for name in Grid.__dataclass_fields__ if not name.startswith("_")}
    assert set(_FORMS) == {"question", *own}


def test_the_example_is_a_grid() -> None:
    said = read_study(EXAMPLE)
    assert said.pop("question").endswith("?")
    assert Grid(**said).seeds == [0, 1, 2]


def test_options_stand_in_place_of_what_the_file_says(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", "study.toml", "--seeds", "3,4", "--store", "other", "--json", "-"])
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert {cell["seed"] for cell in cells} == {3, 4}
    assert (file.parent / "other" / "modules").is_dir()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tragets = ['xnli']", "study.toml:8: unknown key 'tragets'; did you mean 'targets'?"),
        ("[targets]", "study.toml:8: not TOML: Cannot declare"),
        ("seeds = 3", "study.toml:8: seeds is 3 expected: a list of whole numbers"),
        ("seeds = [true]", "seeds is [True] expected: a list of whole numbers"),
        ("methods = []", "methods is [] expected: a list of texts"),
        ("languages = ['en'", "study.toml: not TOML: Unclosed array"),
        ("split = 'train'", 'study.toml:8: split is \'train\' expected: "dev" or "test"'),
        ("methods = ['loro']", "'loro' is not a method"),
    ],
)
def test_what_a_file_cannot_say_is_refused_with_its_line(
    file: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    file.write_text(f"{TOML}{line}\n")
    assert said in refused(capsys, "study", "study.toml")
    assert not (file.parent / ".xadapt").exists()


def test_all_that_is_wrong_with_a_file_is_said_at_once(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("expresions = ['xnli']\nsizes = 3\n")
    said = refused(capsys, "study", "study.toml")
    assert "did you mean 'expressions'?" in said
    assert "sizes is 3" in said
    assert "a study without expressions has nothing to run" in said


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("study.txt", TOML, "FILE.toml or FILE.yaml"),
        ("nothing.toml", None, "No such file"),
        ("study.yaml", "targets: [xnli\nseeds: 1", "not YAML"),
        ("study.yaml", "- xnli", "not a study"),
    ],
)
def test_what_is_no_study_is_refused(
    workdir: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None, said: str
) -> None:
    if text is not None:
        (workdir / name).write_text(text)
    assert said in refused(capsys, "study", name)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--budget", "1s0"), "is no budget"),
        (("--budget", "0.00001s"), "fits nothing"),
        (("--workers", "0"), "0 workers"),
        (("--power", "0"), "--power 0"),
        (("--store", "xtreme"), "not a store"),
    ],
)
def test_options_that_can_mean_nothing_are_refused(
    file: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str], said: str
) -> None:
    assert said in refused(capsys, "study", "study.toml", *option)
    assert not (file.parent / ".xadapt" / "modules").exists()


def test_where_a_part_fails_the_rest_is_done_and_the_status_is_1(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(TOML.replace("[4,", "[4000,"))
    with pytest.raises(SystemExit) as end:
        main(["study", "study.toml", "--json", "results.json"])
    assert end.value.code == 1
    results = json.loads((file.parent / "results.json").read_text())
    assert {cell["expr"] for cell in results["cells"]} == {"xnli", "mnli > xnli"}
    assert results["failures"][0]["what"] == "train mnli[4000] (seed 0)"
    assert "3 failures" in capsys.readouterr().out


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_it_in_one_message_and_the_same_command_goes_on(file: Path, workers: str) -> None:
    file.write_text(TOML.replace("max_steps = 2", "max_steps = 100000\nepochs = 100000"))
    # Behind a shell's "&" it would be born deaf to interrupts, and stay so.
    heeds = "import signal, xadapt.__main__ as x; signal.signal(2, signal.default_int_handler); x.main()"
    words = [sys.executable, "-c", heeds, "study", "study.toml", "--workers", workers]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 120
        while not list(file.parent.glob(".xadapt/work/*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said.rstrip().endswith(
            "stopped; the same command takes up what was finished, and does the rest"
        )
        assert "Traceback" not in said
        until = time.monotonic() + 20
        while _lives(process.pid):
            assert time.monotonic() < until, "a process of it is left"
            time.sleep(0.1)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
