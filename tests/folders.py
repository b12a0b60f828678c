"""Small data folders for tests: files in XTREME's layout, written where a test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xadapt.common.errors import UserError
from xadapt.data.folder import Folder

Write = Callable[[str, str | bytes], Path]
XNLI = "A man sleeps.\tHe rests.\tentailment\nA man sleeps.\tHe runs.\tcontradiction\n"
PAIRS = "the man eats\tthe man eats\tentailment\nthe man eats\tthe woman eats\tneutral\n" * 8
TAGGED = "the\tDET\nold\tADJ\nman\tNOUN\neats\tVERB\n.\tPUNCT\n\nAnna\tPROPN\nlives\tVERB\n\n"


def writer(folder: Path) -> Write:
    """Writes files below ``folder/xtreme``, which it makes; ``../intermediate`` is beside it."""

    def write(name: str, content: str | bytes) -> Path:
        path = (folder / "xtreme" / name).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    (folder / "xtreme").mkdir()
    return write


def refused(folder: Folder, task: str, language: str, split: str) -> str:
    """What is said of a load that must be refused."""
    with pytest.raises(UserError) as caught:
        folder.load(task, language, split)
    return str(caught.value)


def squad(*questions: dict[str, Any], context: str = "Paris is in France.") -> str:
    """A file of SQuAD with one paragraph."""
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": questions}]}]})


def question(identifier: str = "q", text: str = "France", start: int = 12, **more: Any) -> dict[str, Any]:
    answers = [{"text": text, "answer_start": start}]
    return {"id": identifier, "question": "Where?", "answers": answers, **more}
