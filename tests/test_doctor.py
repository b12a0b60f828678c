"""``xadapt doctor`` says what is wrong with a machine, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from xadapt.cli.main import main
from xadapt.study import doctor


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network in tests."""
    monkeypatch.setattr(doctor, "hub_answers", lambda: False)


def test_all_that_a_run_needs_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["doctor"])
    said = capsys.readouterr().out
    for word in ("Python 3", "torch 2", "cores", "store .xadapt: none yet", "GiB free", "does not answer"):
        assert word in said
    assert not (tmp_path / ".xadapt").exists()


def test_a_package_out_of_range_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs = ["torch>=99", "no-such-package>=1", "rich", "ray>=2; extra == 'cluster'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: needs)
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--store", str(tmp_path / "s")])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert 'do: pip install "torch>=99"' in said
    assert "!!  no-such-package: missing" in said
    assert "ray" not in said


def test_leftovers_and_a_full_disk_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "store" / "modules").mkdir(parents=True)
    (tmp_path / "store" / "work" / ("0" * 20)).mkdir(parents=True)
    monkeypatch.setattr(doctor, "ROOM", 2**80)
    found = {check.subject: check for check in doctor.checks(tmp_path / "store")}
    store = found[f"store {tmp_path / 'store'}"]
    assert "1 leftovers" in store.found
    assert "resumes" in store.do
    assert "make room" in found["disk of the store"].do
    assert not any(check.broken for check in found.values())
