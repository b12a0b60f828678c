"""A hub that refuses, or takes a connection and says nothing: it is said soon, in a dry run too."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from commands import COMMON, refused
from huggingface_hub import constants

from xadapt.cli.main import main
from xadapt.common import hub
from xadapt.common.errors import UserError
from xadapt.data.hub import HubSource
from xadapt.tasks import CATALOGUE

RUN = ["run", "xnli", *COMMON, "--data", "hub", "--dry-run"]


@pytest.fixture(params=["silent", "refusing"])
def endpoint(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One that accepts and never answers, and one where nobody listens; half a second is waited."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "silent":
            server.listen()
        where = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(constants, "ENDPOINT", where)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub, "SECONDS", 0.5)
        yield where


def test_a_question_takes_no_longer_than_it_may(endpoint: str) -> None:
    before = time.monotonic()
    assert not hub.hub_answers()
    assert time.monotonic() - before < 3
    assert hub.silence() == (
        f"the hub at {endpoint} does not answer: what its cache does not hold cannot be had"
    )


@pytest.mark.usefixtures("endpoint")
def test_a_branch_is_not_waited_for() -> None:
    row = CATALOGUE["xnli"]
    assert row.hub is not None
    branch = replace(row, hub=replace(row.hub, revision="main"))
    before = time.monotonic()
    with pytest.raises(UserError, match=r"could not reach the hub at .* the commit of .*@main"):
        HubSource({**CATALOGUE, "xnli": branch}).revision("xnli", "de", "test")
    assert time.monotonic() - before < 3


def test_a_dry_run_says_so(endpoint: str, workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(RUN)
    said = capsys.readouterr()
    assert "train" in said.out
    assert f"the hub at {endpoint} does not answer" in " ".join(said.err.split())
    assert not (workdir / ".xadapt").exists()


@pytest.mark.usefixtures("endpoint", "workdir")
def test_a_backbone_from_there_is_refused_soon(capsys: pytest.CaptureFixture[str]) -> None:
    before = time.monotonic()
    said = refused(capsys, "run", "xnli", "--backbone", "nobody/xlm-roberta-nowhere", "--dry-run")
    assert "the hub does not answer" in said
    assert time.monotonic() - before < 10


def test_the_limit_leaves_room_for_the_program_to_load() -> None:
    assert hub.SECONDS <= 10
