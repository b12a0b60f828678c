"""A folder of predictions is there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from xadapt.common.errors import UserError
from xadapt.interop.xtreme_folder import check_place, split_of, write_predictions
from xadapt.tasks import task_named
from xadapt.tasks.examples import Classified, Example

XNLI = task_named("xnli")
EXAMPLES: list[Example] = [Classified("0", "a", "b", None), Classified("1", "c", "d", None)]
ONE = {"de": (EXAMPLES, ["neutral", "neutral"])}
TWO = {**ONE, "en": (EXAMPLES, ["entailment", "contradiction"])}


def test_files_and_where_they_come_from(tmp_path: Path) -> None:
    files = write_predictions(tmp_path / "out", XNLI, TWO, {"expression": "mnli > xnli", "split": "test"})
    assert [str(f.relative_to(tmp_path)) for f in files] == ["out/xnli/test-de.tsv", "out/xnli/test-en.tsv"]
    assert files[1].read_bytes() == b"entailment\ncontradiction\n"
    facts = json.loads((tmp_path / "out/xnli/provenance.json").read_text())
    assert facts["expression"] == "mnli > xnli"
    assert facts["task"] == "xnli"
    assert facts["predictions"] == {"de": 2, "en": 2}
    assert facts["files"]["test-en.tsv"] == hashlib.sha256(files[1].read_bytes()).hexdigest()
    assert facts["versions"]["torch"]
    assert split_of(tmp_path / "out/xnli") == "test"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["xnli"]


def test_a_folder_of_another_system_says_no_split(tmp_path: Path) -> None:
    assert split_of(tmp_path) is None
    (tmp_path / "provenance.json").write_text("[]")
    assert split_of(tmp_path) is None


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    write_predictions(tmp_path, XNLI, TWO, {})
    with pytest.raises(UserError, match="--overwrite"):
        write_predictions(tmp_path, XNLI, ONE, {})
    assert (tmp_path / "xnli/test-en.tsv").exists()
    write_predictions(tmp_path, XNLI, ONE, {}, overwrite=True)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["provenance.json", "test-de.tsv", "xnli"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_predictions(tmp_path, XNLI, TWO, {})
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write_predictions(tmp_path, XNLI, ONE, {}, overwrite=True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_rename_that_fails_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_predictions(tmp_path, XNLI, TWO, {})
    real = os.replace

    def once(source: Path, target: Path) -> None:
        if Path(target).name == "xnli" and not Path(source).name.endswith("-old"):
            raise OSError(errno.EIO, "broken")
        real(source, target)

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(UserError, match="broken"):
        write_predictions(tmp_path, XNLI, ONE, {}, overwrite=True)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "provenance.json", "test-de.tsv", "test-en.tsv", "xnli",
    ]  # fmt: skip


def test_a_place_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="can be written"):
        check_place(tmp_path / "file" / "out", XNLI, overwrite=False)
    assert check_place(tmp_path / "new" / "out", XNLI, overwrite=False) == tmp_path / "new/out/xnli"
    assert not (tmp_path / "new").exists()
