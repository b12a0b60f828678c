"""A stand-in for the Hugging Face hub, and a fresh process that knows no other.

A small HTTP server on this machine answers what `datasets` and `huggingface_hub` ask: the
repository, its tree, its files. Each case runs in a process of its own, because the libraries
read ``HF_ENDPOINT`` and ``HF_HOME`` once, on import.
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
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import datasets

REPOSITORY = Path(__file__).parents[1]
HEAD = "f" * 40  # what an unpinned branch resolves to in the stand-in


def parquet(rows: Any, features: datasets.Features | None, where: Path) -> bytes:
    datasets.Dataset.from_dict(rows, features=features).to_parquet(where / "some.parquet")
    return (where / "some.parquet").read_bytes()


def card(configs: dict[str, list[str]]) -> bytes:
    """The head of a dataset card, which tells `datasets` where the splits are."""
    lines = ["---", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {name}/{split}-*"]
    return "\n".join([*lines, "---", ""]).encode()


@contextmanager
def served(repositories: dict[str, dict[str, bytes]]) -> Iterator[str]:
    """The address of a hub that has these repositories: name -> file -> content."""

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
from xadapt.common.errors import UserError

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
