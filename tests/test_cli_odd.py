"""The command line under hostile use: odd places, numbers, names, signals and pipes. Every case ends in one
message and an exit status, with nothing half-written and nothing silently wrong."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from commands import COMMON, refused
from store_common import put

from xadapt.cli.main import main
from xadapt.common.errors import UserError
from xadapt.common.output import check_place, write_output
from xadapt.store.store import Store

RUN = ["run", "xnli", *COMMON]
DRY = [*RUN, "--dry-run"]


# -- where results are written ------------------------------------------------------------------


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_file_of_results_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    write_output(tmp_path / "new.json", {"a": 1})
    assert (tmp_path / "new.json").stat().st_mode & 0o777 == 0o640
    (tmp_path / "shared.json").touch()
    (tmp_path / "shared.json").chmod(0o664)
    write_output(tmp_path / "shared.json", {"a": 1})
    assert (tmp_path / "shared.json").stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_a_write_that_is_stopped_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    place = tmp_path / "results.json"
    place.write_text("before")

    def stopped(*_: object) -> None:
        raise stop

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises((KeyboardInterrupt, UserError)):
        write_output(place, {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert place.read_text() == "before"


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("there", "not-yet"):
        link = tmp_path / f"{name}-link.json"
        link.symlink_to(Path("elsewhere") / f"{name}.json")
    (tmp_path / "elsewhere/there.json").write_text("old")
    for name in ("there", "not-yet"):
        check_place(tmp_path / f"{name}-link.json")
        write_output(tmp_path / f"{name}-link.json", {"a": 1})
        assert (tmp_path / f"{name}-link.json").is_symlink()
        assert json.loads((tmp_path / f"elsewhere/{name}.json").read_text()) == {"a": 1}


def test_a_pipe_gets_the_results_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    check_place(pipe)
    write_output(pipe, {"a": 1})
    reader.join(10)
    assert json.loads(got[0]) == {"a": 1}
    assert pipe.is_fifo()


def test_a_device_stays_a_device_and_says_what_is_wrong(tmp_path: Path) -> None:
    link = tmp_path / "results.json"  # were the device replaced, it would be this link
    link.symlink_to("/dev/full")
    check_place(link)
    with pytest.raises(UserError, match="No space left on device"):
        write_output(link, {"a": 1})
    assert link.is_symlink()
    assert Path("/dev/full").is_char_device()


def test_places_that_are_refused_before_anything_is_trained(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "file").touch()
    (workdir / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for place in ("xtreme", "file/results.json", "loop", "socket", "x" * 5000, "x/" * 3000):
            assert "written" in (message := refused(capsys, *DRY, "--json", place)) or "too long" in message
    assert not (workdir / ".xadapt").exists()


def test_a_dash_is_standard_output_and_tables_go_to_standard_error(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*RUN, "--json", "-"])
    said = capsys.readouterr()
    assert {cell["lang"] for cell in json.loads(said.out)["cells"]} == {"en", "de"}
    assert "1 modules trained" in said.err
    assert not (workdir / "-").exists()


def test_the_file_that_is_open_as_standard_output_is_standard_output(tmp_path: Path) -> None:
    """/dev/stdout, too, leads to it: replacing it would lose what was printed."""
    code = (
        "from pathlib import Path; from xadapt.common.output import is_output, write_output; "
        "p = Path('/dev/stdout'); "
        "print(is_output(p)); write_output(p, {'a': 1})"
    )
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text().split() == ["True", "{", '"a":', "1", "}"]


# -- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        *(("--lr", value) for value in ("nan", "inf", "-inf", "1e400", "-0.001", "0", "x", "")),
        *(("--threads", value) for value in ("0", "-1", "99999999", "1" + "0" * 20, "1.5")),
        *(("--epochs", value) for value in ("0", "1" + "0" * 20, "9" * 5000)),
        *(("--batch-size", value) for value in ("0", "-3", "1" + "0" * 20)),
        *(("--max-steps", value) for value in ("0", "1" + "0" * 20)),
        *(("--layer", value) for value in ("3", "-1", "9" * 5000)),
        *(("--max-length", value) for value in ("0", "1" + "0" * 20)),
        *(("--seeds", value) for value in ("", ",", "-1", "0,x", "1.5", "9" * 5000, "٣")),
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_numbers_that_can_mean_nothing(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    message = refused(capsys, *DRY, *words)
    assert words[0].strip("-") in message
    assert not (workdir / ".xadapt").exists()


def test_of_a_repeated_option_the_last_counts_and_a_repeated_value_counts_once(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repeated = ["--lr", "nan", "--lr", "1e-3", "--seeds", "1", "--seeds", "0,0 0", "--langs", "en,en"]
    main(["run", "xnli", "xnli", " xnli ", *DRY[2:], *repeated])
    said = capsys.readouterr().out
    assert "lr 0.001" in said
    assert said.count("│ train ") == said.count("│ evaluate ") == 1


# -- names --------------------------------------------------------------------------------------

LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    "words",
    [
        ("run", LONG),
        ("run", f"{LONG} > xnli"),
        ("run", f"xnli@{LONG}"),
        ("run", f"xnli@lora({LONG}=1)"),
        ("run", f"xnli@lora(r={LONG})"),
        ("run", f"mnli[{'9' * 5000}] > xnli"),
        ("run", f"mnli[{LONG}] > xnli"),
        ("run", f"cat({'9' * 5000}*mnli) > xnli"),
        ("run", " > ".join(["nothing"] * 1000)),
        ("run", "xnli", "--langs", LONG),
        ("run", "xnli", "--langs", ",".join(f"a{n}" for n in range(50_000))),
        ("run", "xnli", "--seeds", LONG),
        ("run", "xnli", "--method", LONG),
        ("run", "xnli", "--backbone", LONG),
        ("run", "xnli", "--data", LONG),
        ("run", "xnli", "--tasks", LONG),
        ("run", "xnli", "--store", LONG),
        ("run", "xnli", "--device", LONG),
        ("run", "xnli", "--dtype", LONG),
        ("run", "xnli", f"--{LONG}"),
        (LONG,),
        ("explain", "xnli", "--seed", "9" * 5000),
        ("predict", "xnli", "--task", LONG),
        ("explain", "xnli", "--seed", "9" * 100),
        ("predict", "xnli", "--seed", "9" * 100),
        ("predict", "xnli", "--out", LONG),
        ("layers", LONG),
        ("layers", "--task", LONG),
        ("score", LONG, "--labels", "xtreme"),
        ("score", "xtreme", "--labels", LONG),
        ("score", "xtreme", "--labels", "xtreme", "--only", LONG),
        ("modules", "show", LONG),
        ("modules", "--store", LONG),
        ("modules", "cp", "0" * 20, "--to", LONG),
        ("modules", "forget", LONG),
        ("modules", "import", "backbone", "--task", "xnli", "--name", LONG),
        ("modules", "import", LONG, "--task", "xnli", "--name", "a"),
        ("tasks", "--data", LONG),
        ("tasks", "--tasks", LONG),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_what_is_megabytes_long_is_shortened_in_the_message(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    (workdir / ".xadapt" / "modules").mkdir(parents=True)
    options = {"run": DRY[2:], "layers": DRY[2:], "predict": DRY[2:], "explain": DRY[2:-1]}.get(words[0], [])
    given = [w for w, before in zip(options, [None, *options], strict=False) if not {w, before} & set(words)]
    assert refused(capsys, *words, *given)


def test_a_message_is_fit_for_a_terminal() -> None:
    said = str(UserError(f"{LONG} \x1b[31m\udcff: " + "word " * 1000, path="a" * 299))
    assert len(said) < 2500
    assert "(1,000,000 characters)" in said
    assert said.startswith("a" * 299)
    assert "\\x1b[31m\\udcff" in said


@pytest.mark.parametrize(
    "words",
    [("",), (" ",), ("ｘｎｌｉ",), ("xnli\x00",), ("xnli\n>",), ("🦕 > xnli",), ("xnli", ""), ("[red]xnli",)],
    ids=repr,
)
def test_odd_expressions(workdir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert "xadapt:" in refused(capsys, "run", *words, *DRY[2:])


# -- stores that are none -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [["ls"], ["show", "0" * 20], ["verify"], ["rm", "0" * 20], ["gc"], ["studies"], ["forget", "0" * 16], []],
    ids=lambda words: words[0] if words else "nothing",
)
def test_what_is_no_store_is_not_taken_for_an_empty_one(
    workdir: Path, capsys: pytest.CaptureFixture[str], action: list[str]
) -> None:
    (workdir / "file").touch()
    (workdir / "dangling").symlink_to("nowhere")
    before = sorted(workdir.rglob("*"))
    for store in ("file", "dangling", "nowhere", "xtreme", "file/store"):
        assert store in refused(capsys, "modules", *action, "--store", store)
    assert sorted(workdir.rglob("*")) == before


def test_an_empty_folder_is_an_empty_store_and_so_is_the_usual_place(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["modules"])
    assert "0 modules" in capsys.readouterr().out
    (workdir / "empty").mkdir()
    main(["modules", "verify", "--store", "empty"])
    assert "0 modules, 0 broken" in capsys.readouterr().out


def test_nothing_is_strewn_over_a_folder_that_is_something_else(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "home").mkdir()
    (workdir / "home" / "letter").touch()
    put(Store(".xadapt"), 1)
    address = Store(".xadapt").modules()[0].address
    assert "letter" in refused(capsys, *DRY, "--store", "home")
    assert "letter" in refused(capsys, "modules", "cp", address, "--to", "home")
    assert [path.name for path in (workdir / "home").iterdir()] == ["letter"]
    (workdir / "home" / "letter").rename(workdir / "home" / ".letter")
    main([*DRY, "--store", "home"])


@pytest.mark.parametrize(
    "words",
    [("--store", ""), ("--store=",), ("--json", ""), ("--langs", ""), ("--out", "")],
    ids=" ".join,
)
def test_an_empty_value_is_not_the_folder_that_one_stands_in(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """What an unset variable of the shell leaves of "$STORE"."""
    assert f"nothing behind {words[0]!r}" in refused(capsys, *DRY, *words)


def test_predictions_are_not_made_for_a_place_that_is_none(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "file").touch()
    (workdir / "loop").symlink_to("loop")
    (workdir / "dangling").symlink_to("nowhere")
    for place in ("file", "file/below", "loop", "dangling"):
        message = refused(capsys, "predict", *DRY[1:], "--split", "dev", "--out", place)
        assert "nothing can be written there" in message


# -- signals and pipes --------------------------------------------------------------------------


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}


def until(process: subprocess.Popen[bytes], what: bytes) -> bytes:
    """What a process says on standard error, up to what is waited for."""
    said = b""
    assert process.stderr is not None
    while what not in said:
        assert select.select([process.stderr], [], [], 60)[0], said
        new = os.read(process.stderr.fileno(), 65536)
        assert new, said
        said += new
    return said


@pytest.mark.parametrize("module", ["tyro", "xadapt.cli.run", "xadapt.cli.main"])
def test_ctrl_c_while_the_program_is_loaded(module: str) -> None:
    """-v makes Python say what it imports."""
    command = [sys.executable, "-v", "-m", "xadapt", "tasks"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        # tests that run in the background have it ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        until(process, f"import '{module}".encode())
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert b"Traceback" not in rest
    assert b"xadapt: stopped" in rest


def test_ctrl_c_in_a_command_says_what_is_kept_only_where_something_is(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xadapt.report.tables.plan_table", stopped)
    monkeypatch.setattr("xadapt.report.task_table.tasks_table", stopped)
    said = []
    for words in (RUN, ["tasks"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 130
        said.append(capsys.readouterr().err.strip())
    assert "takes up what was finished" in said[0]
    assert said[1] == "xadapt: stopped"


def test_ctrl_c_that_a_library_turns_into_an_error_is_ctrl_c_still(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def turned(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("cannot import name 'GenerationMixin'") from error

    monkeypatch.setattr("xadapt.report.task_table.tasks_table", turned)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as stop:
            main(["tasks"])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)
    assert stop.value.code == 130
    assert capsys.readouterr().err.strip() == "xadapt: stopped"


def test_a_folder_of_work_without_a_checkpoint_is_not_called_one(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(".xadapt")
    empty, begun = store.work("0" * 20), store.work("1" * 20)
    (begun / "checkpoint.safetensors").write_bytes(b"...")
    main(["modules"])
    lines = {word: line for line in capsys.readouterr().out.splitlines() for word in line.split(",")}
    said = {path: line for path in (empty, begun) for line in lines.values() if path.name in line}
    assert "a checkpoint to resume training from" in said[begun]
    assert "before its first checkpoint" in said[empty]


@pytest.mark.parametrize("words", [["tasks"], ["run", "--help"], ["modules"]], ids=" ".join)
def test_output_that_nobody_reads_ends_the_command_without_a_word(words: list[str], tmp_path: Path) -> None:
    """141 is what a shell says of any tool that writes into a closed pipe."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "xadapt", *words]
    done = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, env=environment(), cwd=tmp_path, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "xadapt", "modules"],
            stdout=full, stderr=subprocess.PIPE, env=environment(), cwd=tmp_path, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"xadapt: the output cannot be written: No space left on device")


def test_a_name_that_is_no_text_is_shown_and_written(workdir: Path) -> None:
    """A name of a file is bytes; here they are no UTF-8, and the terminal knows ASCII only."""
    name = os.fsdecode(b"st\xffre")
    (workdir / name / "modules").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "xadapt", "modules", "--store", name],
        capture_output=True, env=environment() | {"PYTHONIOENCODING": "ascii"}, cwd=workdir, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"st\\udcffre" in done.stdout
    write_output(workdir / "results.json", {"data": name})
    assert json.loads((workdir / "results.json").read_text()) == {"data": name}


@pytest.mark.parametrize("words", [["tasks"], ["modules"], ["--help"]], ids=" ".join)
def test_what_trains_nothing_loads_no_torch(words: list[str], tmp_path: Path) -> None:
    script = (
        "import sys; from xadapt.cli.main import main\n"
        f"try: main({words})\nexcept SystemExit: pass\n"
        "print({'torch', 'transformers', 'peft', 'adapters', 'datasets'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        check=True,
    )
    assert done.stderr.strip() == "set()"
