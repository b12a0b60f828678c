"""The hub source, through the real `datasets` library against a stand-in for the hub.

The stand-in is a small HTTP server on this machine that answers what `datasets` and
`huggingface_hub` ask: the repository, its tree, its files. Each case runs in a process
of its own, because the libraries read ``HF_ENDPOINT`` and ``HF_HOME`` once, on import.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import datasets
import pytest

from xadapt.data.hub import HubSource
from xadapt.errors import UserError
from xadapt.tasks.catalogue import CATALOGUE, task_named

REPOSITORY = Path(__file__).parents[1]
HEAD = "f" * 40  # what an unpinned branch resolves to in the stand-in
NLI = datasets.ClassLabel(names=["entailment", "neutral", "contradiction"])
TAGS = datasets.ClassLabel(names=["X", "VERB", "NOUN"])  # in an order of their own


def parquet(rows: Any, features: datasets.Features | None, where: Path) -> bytes:
    datasets.Dataset.from_dict(rows, features=features).to_parquet(where / "some.parquet")
    return (where / "some.parquet").read_bytes()


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Repository -> file -> content, in the shapes of the real ones."""
    where = tmp_path_factory.mktemp("parquet")
    text = datasets.Value("string")
    pair = datasets.Features({"premise": text, "hypothesis": text, "label": NLI})
    tagged = datasets.Features({"tokens": datasets.List(text), "pos_tags": datasets.List(TAGS)})

    def nli(n: int, word: str) -> bytes:
        rows = {"premise": [word] * n, "hypothesis": ["?"] * n, "label": [i % 3 for i in range(n)]}
        return parquet(rows, pair, where)

    def squad(ids: list[str], start: int = 4) -> bytes:
        n = len(ids)
        rows = {
            "id": ids,
            "title": ["t"] * n,
            "context": ["Das Zürich im Süden."] * n,
            "question": ["Wo?"] * n,
            "answers": [{"text": ["Zürich"], "answer_start": [start]}] * n,
        }
        return parquet(rows, None, where)

    words = {"tokens": [["Wer", "geht", "da"]], "pos_tags": [[0, 1, 2]]}
    withheld = {"premise": ["a"], "hypothesis": ["b"], "label": [-1]}
    odd = {"premise": ["a"], "hypothesis": ["b"], "label": ["maybe"]}
    return {
        "facebook/xnli": {
            "README.md": card(
                {
                    "de": ["validation", "test"],
                    "el": ["validation", "test"],
                    "en": ["validation"],
                    "fr": ["validation"],
                }
            ),
            "de/validation-0.parquet": nli(4, "Ein Satz"),
            "de/test-0.parquet": nli(6, "Test"),
            "el/test-0.parquet": parquet(withheld, pair, where),
            "el/validation-0.parquet": parquet(withheld, pair, where),
            "en/validation-0.parquet": parquet({"premise": ["a"], "hypothesis": ["b"]}, None, where),
            "fr/validation-0.parquet": parquet(odd, None, where),
        },
        "rajpurkar/squad": {
            "README.md": card({"plain_text": ["train", "validation"]}),
            "plain_text/train-0.parquet": squad(["q1", "q2"]),
            "plain_text/validation-0.parquet": squad(["q3"], start=500),
        },
        "google/xtreme": {
            "README.md": card({"udpos.Afrikans": ["test"], "tydiqa": ["train", "validation"]}),
            "udpos.Afrikans/test-0.parquet": parquet(words, tagged, where),
            "tydiqa/train-0.parquet": squad([*(f"english-{i}" for i in range(20)), "finnish-1"]),
            "tydiqa/validation-0.parquet": squad(["english-a", "finnish-b", "finnish-c"]),
        },
        "Rowan/hellaswag": {
            "train.jsonl": b'{"ctx": "A", "endings": ["b", "c"], "label": "1"}\n',
            "validation.jsonl": b'{"ctx": "A", "endings": ["b", "c"], "label": "7"}\n',
        },
    }


def card(configs: dict[str, list[str]]) -> bytes:
    """The head of a dataset card, which tells `datasets` where the splits are."""
    lines = ["---", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {name}/{split}-*"]
    return "\n".join([*lines, "---", ""]).encode()


@pytest.fixture(scope="module")
def endpoint(repositories: dict[str, dict[str, bytes]]) -> Iterator[str]:
    class Hub(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def reply(self, body: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked = self.rfile.read(length).decode()
            path = unquote(urlsplit(self.path).path)
            if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(/.*)?", path):
                self.api(found[1], found[2] or "", asked)
            elif found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                body = repositories.get(found[1], {}).get(found[3])
                if body is None:
                    self.reply(b"", 404, X_Error_Code="EntryNotFound")
                    return
                etag = f'"{hashlib.sha1(body).hexdigest()}"'
                self.reply(body, ETag=etag, X_Repo_Commit=commit(found[2]))
            else:
                self.reply(b"", 404)

        def api(self, repository: str, rest: str, asked: str) -> None:
            files = repositories.get(repository)
            if files is None:
                self.reply(b"{}", 404, X_Error_Code="RepoNotFound")
                return
            entries: list[dict[str, Any]] = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in files.items()
            ]
            folders = sorted({name.split("/")[0] for name in files if "/" in name})
            tree: list[dict[str, Any]] = [
                {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40} for folder in folders
            ]
            answer: Any
            if rest.startswith("/tree/"):
                below = rest.split("/", 3)[3] if rest.count("/") > 2 else ""
                answer = [e for e in [*tree, *entries] if not below or e["path"].startswith(below + "/")]
            elif rest.startswith("/paths-info/"):
                answer = [e for e in [*tree, *entries] if re.search(rf"\b{re.escape(e['path'])}\b", asked)]
            else:
                revision = rest.removeprefix("/revision/") or "main"
                siblings = [{"rfilename": name} for name in files]
                answer = {"id": repository, "sha": commit(revision), "siblings": siblings, "tags": []}
            self.reply(json.dumps(answer).encode(), Content_Type="application/json")

        do_GET = do_HEAD = do_POST = answer  # noqa: N815 (the library's names)

    def commit(revision: str) -> str:
        return revision if len(revision) == 40 else HEAD

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


SCRIPT = """
import json, sys
from dataclasses import asdict
from xadapt.data.sources import open_source
from xadapt.errors import UserError

source, answers = open_source("hub"), []
for method, *arguments in json.loads(sys.argv[1]):
    try:
        got = getattr(source, method)(*arguments)
        answers.append([asdict(example) for example in got] if method == "load" else got)
    except UserError as error:
        answers.append({"error": str(error)})
print("ANSWERS" + json.dumps(answers))
"""


def ask(endpoint: str, home: Path, *calls: list[str]) -> list[Any]:
    """What a fresh process that knows only this hub answers to ``[method, *arguments]``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = kept | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(calls)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "ANSWERS" in done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.split("ANSWERS")[1])


CALLS = {
    "pairs": ["load", "xnli", "de", "dev"],
    "test": ["load", "xnli", "de", "test"],
    "withheld": ["load", "xnli", "el", "test"],
    "another column": ["load", "xnli", "en", "dev"],
    "another label": ["load", "xnli", "fr", "dev"],
    "labels missing": ["load", "xnli", "el", "dev"],
    "no such configuration": ["load", "xnli", "es", "dev"],
    "answers": ["load", "squad_v1", "en", "train"],
    "wrong offset": ["load", "squad_v1", "en", "dev"],
    "tags": ["load", "udpos", "af", "test"],
    "choices": ["load", "hellaswag", "en", "train"],
    "label out of range": ["load", "hellaswag", "en", "dev"],
    "no such repository": ["load", "pawsx", "de", "dev"],
    "one language of all": ["load", "tydiqa", "fi", "test"],
    "a language without rows": ["load", "tydiqa", "ko", "test"],
    "kept": ["load", "tydiqa", "en", "train"],
    "held out": ["load", "tydiqa", "en", "dev"],
}


@pytest.fixture(scope="module")
def answers(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("home")
    return dict(zip(CALLS, ask(endpoint, home, *CALLS.values()), strict=True))


def test_pairs_of_one_language_with_their_labels_by_name(answers: dict[str, Any]) -> None:
    first, *others = answers["pairs"]
    assert first == {"id": "0", "text": "Ein Satz", "pair": "?", "label": "entailment"}
    assert [other["label"] for other in others] == ["neutral", "contradiction", "entailment"]
    assert len(answers["test"]) == 6


def test_withheld_labels_are_none(answers: dict[str, Any]) -> None:
    assert [example["label"] for example in answers["withheld"]] == [None]


def test_questions_with_answers_counted_in_characters(answers: dict[str, Any]) -> None:
    first = answers["answers"][0]
    assert (first["id"], first["question"], first["answers"]) == (
        "q1",
        "Wo?",
        [{"text": "Zürich", "start": 4}],
    )


def test_tags_are_decoded_by_their_names(answers: dict[str, Any]) -> None:
    assert answers["tags"] == [{"id": "0", "words": ["Wer", "geht", "da"], "tags": ["X", "VERB", "NOUN"]}]


def test_choices_from_json_lines(answers: dict[str, Any]) -> None:
    assert answers["choices"] == [
        {"id": "0", "context": "A", "question": "", "options": ["b", "c"], "label": 1}
    ]


def test_one_language_out_of_a_configuration_of_all(answers: dict[str, Any]) -> None:
    assert [example["id"] for example in answers["one language of all"]] == ["finnish-b", "finnish-c"]
    assert "no rows whose id starts with 'korean-'" in answers["a language without rows"]["error"]


def test_the_last_tenth_of_training_is_held_out_where_there_is_no_development_set(
    answers: dict[str, Any],
) -> None:
    assert [example["id"] for example in answers["held out"]] == ["english-18", "english-19"]
    assert [example["id"] for example in answers["kept"]] == [f"english-{i}" for i in range(18)]


@pytest.mark.parametrize(
    ("call", "got"),
    [
        ("another column", "has no column label, only premise, hypothesis"),
        ("wrong offset", "question 'q3': answer 'Zürich' is not in its context at or near character 500"),
        ("label out of range", "row 0: label '7'"),
        ("another label", "row 0: unknown label 'maybe'"),
        ("labels missing", "facebook/xnli (el, dev): row 0 has no label"),
        ("no such configuration", "could not read facebook/xnli (es), split validation"),
        ("no such repository", "the hub does not have google-research-datasets/paws-x (de)"),
    ],
)
def test_what_does_not_fit_is_said(answers: dict[str, Any], call: str, got: str) -> None:
    assert got in answers[call]["error"]
    assert "do: " in answers[call]["error"]


def test_what_was_downloaded_needs_no_hub_again(endpoint: str, tmp_path: Path) -> None:
    call = ["load", "xnli", "de", "dev"]
    assert ask(endpoint, tmp_path, call) == ask("http://127.0.0.1:9", tmp_path, call)


def test_the_cache_never_stands_in_for_another_revision(endpoint: str, tmp_path: Path) -> None:
    ask(endpoint, tmp_path, ["load", "xnli", "de", "dev"])
    script = (
        "from dataclasses import replace; from xadapt.data.hub import _download;"
        "from xadapt.tasks.catalogue import task_named;"
        "hub = replace(task_named('xnli').hub, revision='a' * 40);"
        "_download(hub, 'de', 'validation', online=False)"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert "the local cache has facebook/xnli (de), split validation at another revision" in done.stderr


def test_an_unreachable_hub_says_what_to_do(tmp_path: Path) -> None:
    (answer,) = ask("http://127.0.0.1:9", tmp_path, ["load", "xnli", "de", "dev"])
    for part in (
        "could not reach the hub at http://127.0.0.1:9 for facebook/xnli (de), split validation",
        "check the connection",
        "HF_ENDPOINT",
        "--data DIR",
    ):
        assert part in answer["error"]


def test_a_pinned_revision_needs_no_hub() -> None:
    hub = task_named("xnli").hub
    assert hub is not None
    assert HubSource().revision("xnli", "de", "dev") == f"facebook/xnli@{hub.revision}/de/validation"
    assert HubSource().revision("tydiqa", "en", "dev").endswith("/tydiqa/train-held")


def test_an_unpinned_branch_is_resolved_to_its_commit(endpoint: str, tmp_path: Path) -> None:
    script = (
        "from xadapt.data.hub import _commit; from xadapt.tasks.task import Hub;"
        "print(_commit(Hub('facebook/xnli', '{lang}', {}, {})))"
    )
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path),
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == HEAD


def test_every_row_is_pinned_to_a_commit() -> None:
    for task in CATALOGUE.values():
        assert task.hub is None or re.fullmatch("[0-9a-f]{40}", task.hub.revision), task.name


def test_languages_and_splits_are_known_without_asking() -> None:
    source = HubSource()
    assert source.test_split("xnli") == "test"
    assert source.test_split("mnli") == "dev"
    assert source.languages("xnli", "train") == ("en",)
    assert source.languages("xnli", "dev") == task_named("xnli").languages
    assert source.languages("xquad", "dev") == ()
    assert "th" in source.languages("udpos", "test")
    assert "th" not in source.languages("udpos", "dev")


def test_a_task_that_the_hub_has_only_as_a_script_is_refused() -> None:
    with pytest.raises(UserError, match="only as a script"):
        HubSource().load("cosmos_qa", "en", "train")


def test_a_split_that_the_hub_does_not_have_names_those_it_has() -> None:
    with pytest.raises(UserError, match="no train split of xquad") as caught:
        HubSource().load("xquad", "en", "train")
    assert "train on squad_v1" in str(caught.value)
    assert "test: ar de el" in str(caught.value)
