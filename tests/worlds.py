"""Fixtures of several files: a tiny backbone, folders of data, stores, and a place to run commands in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from folders import PAIRS, TAGGED, XNLI, Write, writer
from hypothesis import HealthCheck, settings
from store_common import put
from tiny import save_tiny

from xadapt.backbone.backbone import Backbone
from xadapt.data.folder import Folder
from xadapt.store.store import Saved, Store

# Examples of a property: enough to find what is usually wrong. More with --hypothesis-profile=many.
_CALM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("few", max_examples=30, **_CALM)
settings.register_profile("many", max_examples=300, **_CALM)
settings.load_profile("few")


# -- a backbone -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random XLM-R of a few thousand weights in HF's format. Not to be written to."""
    return save_tiny(tmp_path_factory.mktemp("checkpoint") / "backbone")


@pytest.fixture(scope="session")
def backbone(checkpoint: Path) -> Backbone:
    """The same, opened under a name under which HF finds it too."""
    return Backbone.from_pretrained(str(checkpoint), device="cpu", dtype="float32")


# -- data -----------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files below a new data folder."""
    return writer(tmp_path)


@pytest.fixture
def folder(tmp_path: Path, write: Write) -> Folder:
    """That data folder as a source; it has XNLI in English."""
    write("xnli/train-en.tsv", XNLI)
    return Folder(tmp_path / "xtreme")


def _files_of_a_study() -> dict[str, str]:
    pairs = [
        f"the man eats a {what}\tthe {who} eats\t{label}"
        for what in ("apple", "park", "red apple")
        for who, label in (("man", "entailment"), ("woman", "neutral"), ("apple", "contradiction"))
    ]
    files = {"xnli/train-en.tsv": "\n".join(pairs * 4)}
    files |= {f"xnli/dev-{lang}.tsv": "\n".join(pairs) for lang in ("en", "de", "es")}
    files |= {f"udpos/{split}.tsv": TAGGED * 6 for split in ("train-en", "dev-en", "dev-de")}
    context = "Anna lives in Berlin and works for Acme ."
    answer = {"answer_start": context.index("Berlin"), "text": "Berlin"}
    questions = [{"id": str(i), "question": "where ?", "answers": [answer]} for i in range(12)]
    squad = {"data": [{"title": "t", "paragraphs": [{"context": context, "qas": questions}]}]}
    for name in ("squad/train-v1.1", "squad/dev-v1.1", "xquad/xquad.en", "xquad/xquad.de"):
        files[f"{name}.json"] = json.dumps(squad)
    files["mlqa/MLQA_V1/dev/dev-context-en-question-en.json"] = json.dumps(squad)
    files["laser-tatoeba-v1/tatoeba.deu-eng.deu"] = "der Mann\nder Apfel\nim Park\n"
    files["laser-tatoeba-v1/tatoeba.deu-eng.eng"] = "the man\nthe apple\nin the park\n"
    for lang, sentence in (("en", "the man eats an apple\n"), ("de", "der Mann isst einen Apfel\n")):
        files |= {f"mlm/{name}.txt": sentence * 8 for name in (lang, f"dev-{lang}")}
    return files


@pytest.fixture(scope="session")
def world(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``backbone`` and ``xtreme``: XNLI (MNLI reads it too), POS, XQuAD and MLQA with SQuAD, Tatoeba, MLM."""
    root = tmp_path_factory.mktemp("world")
    (root / "backbone").symlink_to(checkpoint)
    _write(root / "xtreme", _files_of_a_study())
    return root


# -- commands -------------------------------------------------------------------------------------


@pytest.fixture
def workdir(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a command: ``backbone``, and ``xtreme`` with XNLI, POS and Tatoeba."""
    (tmp_path / "backbone").symlink_to(checkpoint)
    files = {f"xnli/{part}.tsv": PAIRS for part in ("train-en", "dev-en", "dev-de")}
    files |= {f"udpos/{part}.tsv": TAGGED * 6 for part in ("train-en", "dev-en", "dev-de")}
    files |= {"laser-tatoeba-v1/tatoeba.deu-eng.deu": "der Mann\nder Apfel\nim Park\n"}
    files |= {"laser-tatoeba-v1/tatoeba.deu-eng.eng": "the man\nthe apple\nin the park\n"}
    _write(tmp_path / "xtreme", files)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


# -- stores ---------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one, in a folder that is not there yet."""
    return Store(tmp_path / "store")


@pytest.fixture
def module(store: Store) -> Saved:
    """One of the store."""
    return put(store, 1)
