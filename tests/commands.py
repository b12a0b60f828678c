"""Commands as a user types them, and the one message that a bad one gets."""

from __future__ import annotations

import pytest

from xadapt.cli.main import main

COMMON = ["--backbone", "./backbone", "--data", "./xtreme", "--max-steps", "3"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said on standard error, without its line breaks, of a command that exits with status 2."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert len(said.err) < 5000
    return " ".join(said.err.replace("│", " ").split())
