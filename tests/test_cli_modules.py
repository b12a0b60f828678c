"""``xadapt modules``: what is listed and shown, what a word means, and how long it takes in a large store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import refused

from xadapt.cli.main import main
from xadapt.common.identity import digest
from xadapt.store.store import Store, address_of
from xadapt.study.versions import TRAINING_VERSION
from xadapt.study.wanted_modules import the_module

Says = Callable[..., str]


def manifest(
    i: int, expression: str, *, method: str = "lora", task: str = "xnli", **more: Any
) -> dict[str, Any]:
    """As the store writes it, without files beside it: no weights are read by what is tested here."""
    determinants = {
        "training_version": TRAINING_VERSION,
        "settings": {"lr": more.get("lr", 0.003)},
        "seed": i,
        "n": i,
    }
    files = {
        name: {"sha256": "0" * 64, "bytes": 1000}
        for name in ("adapter_model.safetensors", "head.safetensors")
    }
    said = {
        "schema": 1,
        "address": address_of(determinants),
        "determinants": determinants,
        "expression": expression,
        "task": task,
        "method": method,
        "seed": i % 2,
        "backbone": {"name": "pocket", "fingerprint": "f" * 64},
        "data": {"source": "pocket", "task": task, "examples": 100 * i},
        "dev": {"metric": "accuracy", "score": 81.25},
        "training": {"steps": more.get("steps", 1000 + i)},
        "parameters": 15000,
        "files": files,
        "created": more.get("created", f"2026-10-{1 + i % 28:02}T12:00:00.000+00:00"),
        "versions": {},
    }
    return said | {"sha256": digest(said)}


def put(root: Path, said: dict[str, Any]) -> str:
    folder = root / "modules" / said["address"]
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(said))
    return str(said["address"])


@pytest.fixture
def addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The working folder's store: an imported one, and stacks of two seeds and two methods."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    kinds: list[dict[str, Any]] = [
        {"expression": "sst"} | {"task": "mnli"},
        {"expression": "xnli@lora"},
        {"expression": "mnli@lora > xnli@lora"},
        {"expression": "mnli@lora > xnli@lora"},
        {"expression": "xnli@lora(r=16)", "method": "lora(r=16)"},
        {"expression": "udpos@bottleneck", "method": "bottleneck", "task": "udpos", "lr": 1e-4},
    ]
    found = [put(tmp_path / ".xadapt", manifest(i, **one)) for i, one in enumerate(kinds)]
    names = tmp_path / ".xadapt/names"
    names.mkdir()
    (names / "sst.json").write_text(json.dumps({"address": found[0]}))
    return found


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Says:
    def of(*words: str) -> str:
        main(["modules", *words])
        return capsys.readouterr().out

    return of


def listed(says: Says, *words: str) -> set[int]:
    """The numbers of the modules that are listed: their training sets are of 100, 200... examples."""
    return {m["examples"] // 100 for m in json.loads(says(*words, "--json", "-"))["modules"]}


@pytest.mark.usefixtures("addresses")
def test_a_list_tells_modules_apart_in_80_columns(says: Says) -> None:
    said = says()
    assert max(map(len, said.splitlines())) <= 80
    for word in ("xnli@lora(r=16)", "1,003", "0.003", "0.0001", "300", "81.2", "sst ="):
        assert word in said
    assert "all: backbone pocket, data pocket" in said
    assert "6 modules" in said
    alike = says("--task", "udpos")
    assert "│ udpos │" in " ".join(alike.split())
    assert "all: method bottleneck, backbone pocket, data pocket" in alike


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {0, 1, 2, 3, 4, 5}),
        (["--task", "xnli"], {1, 2, 3, 4}),
        (["ls", "--task", "xnli,udpos"], {1, 2, 3, 4, 5}),
        (["--method", "lora"], {0, 1, 2, 3, 4}),
        (["--method", "lora(r=16)"], {4}),
        (["--name", "ss*"], {0}),
        (["--since", "2026-10-04"], {3, 4, 5}),
        (["--since", "2026-10-04", "--task", "udpos"], {5}),
        (["--since", "1d"], set()),
        (["--store", ".xadapt", "--task", "udpos"], {5}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_list_can_be_of_fewer(says: Says, words: list[str], expected: set[int]) -> None:
    assert listed(says, *words) == expected


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "xnly"], "no module has the task 'xnly'; did you mean 'xnli'?"),
        (["--method", "lorra"], "did you mean 'lora'?"),
        (["--name", "sstt"], "did you mean 'sst'?"),
        (["--since", "yesterday"], "--since 'yesterday' is no time expected: 2026-11-01"),
        (["--newest", "-1"], "--newest -1"),
        (["show", "ffff"], "means no modules"),
        (["show", "mnli > qqp"], 'train it: xadapt run "mnli > qqp > xnli"'),
        (["show", "qqp > xnli"], 'train it: xadapt run "qqp > xnli"'),
        (["show", "pawsx"], "'pawsx' is not in .xadapt"),
        (["show", "mnli >"], "mnli >"),
        (["show", "mnli > xnli"], "'mnli > xnli' means 2 modules in .xadapt"),
        (["show", "mnli > xnli", "--seed", "7"], "expected: a seed of 0, 1"),
        (["rm", "mnli > xnli"], "give its address, or the seed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_not_there_or_is_several_things_is_said(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert said in refused(capsys, "modules", *words)


def test_a_module_is_shown_by_address_beginning_name_or_expression(says: Says, addresses: list[str]) -> None:
    store = Store(".xadapt")
    assert the_module(store, addresses[2]) == the_module(store, addresses[2][:6]) == addresses[2]
    assert the_module(store, "sst") == addresses[0]
    assert the_module(store, "mnli > xnli", seed=1) == addresses[3]
    assert the_module(store, "mnli@lora > xnli@lora", seed=0) == addresses[2]
    assert the_module(store, "udpos") == the_module(store, "udpos@bottleneck") == addresses[5]
    alone = next(a[:n] for a in addresses for n in (1, 2, 3) if len(store.addresses(a[:n])) == 1)
    assert store.addresses(alone)[0] in says("show", alone)
    said = says("show", "mnli > xnli", "--seeds", "1")
    assert addresses[3] in said
    assert "1,003" in said
    assert json.loads(says("show", "udpos", "--json", "-"))["address"] == addresses[5]


def test_a_large_store_is_listed_and_looked_into_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = [put(tmp_path / ".xadapt", manifest(i, f"mnli[{i + 1}]@lora > xnli@lora")) for i in range(3000)]
    took = {}
    for words in ([], ["show", made[7][:12]], ["show", "mnli[18] > xnli"], ["--task", "xnli"]):
        before = time.process_time()
        main(["modules", *words])
        took[" ".join(words)] = time.process_time() - before
    said = capsys.readouterr().out
    assert "3,000 modules" in said
    assert "2,900 older ones are not shown" in said
    assert max(took.values()) < 2, took
    read = []
    monkeypatch.setattr("xadapt.store.listing.peek", read.append)
    main(["modules", "show", made[9][:12]])
    assert not read, "an address is found without reading manifests"
