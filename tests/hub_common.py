"""A stand-in for the hub that takes commits: what its client asks for, and no more."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Repositories:
    """What was sent: repository -> file -> content; and which requests there were."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.large: dict[str, bytes] = {}
        self.commits = 0
        self.tokens: set[str | None] = set()

    @property
    def commit(self) -> str:
        return hashlib.sha1(str(self.commits).encode()).hexdigest()


def _commit(here: Repositories, repository: str, body: bytes) -> None:
    files = here.files[repository]
    for line in body.decode().splitlines():
        entry = json.loads(line)
        value = entry["value"]
        if entry["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif entry["key"] == "lfsFile":
            files[value["path"]] = here.large[value["oid"]]
        elif entry["key"] == "deletedFile":
            del files[value["path"]]
    here.commits += 1


def answer(
    here: Repositories, method: str, path: str, body: bytes, base: str
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body (JSON where it is no bytes)."""
    if path == "/":
        return 200, {}, b""
    if path == "/api/repos/create":
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        known = name in here.files
        here.files.setdefault(name, {})
        return (409 if known else 200), {}, {"url": f"{base}/{name}"}
    if path == "/api/validate-yaml":
        return 200, {}, {"errors": [], "warnings": []}
    if match := re.fullmatch(r"/lfs/(\w+)", path):
        here.large[match[1]] = body
        return 200, {}, b""
    if match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
        objects = json.loads(body)["objects"]
        actions = [o | {"actions": {"upload": {"href": f"{base}/lfs/{o['oid']}"}}} for o in objects]
        return (
            200,
            {"Content-Type": "application/vnd.git-lfs+json"},
            {"transfer": "basic", "objects": actions},
        )
    if (match := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/(\w+)/([^/]+))?(?:/.*)?", path)) is None:
        match = re.fullmatch(r"/([^/]+/[^/]+)/(resolve)/([^/]+)/(?P<file>.+)", path)
    if match is None or match[1] not in here.files:
        return 404, {"X-Error-Code": "RepoNotFound"}, {"error": "Repository not found"}
    files = here.files[match[1]]
    if match[2] == "preupload":
        asked = json.loads(body)["files"]
        modes = [
            {
                "path": f["path"],
                "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for f in asked
        ]
        return 200, {}, {"files": modes}
    if match[2] == "commit":
        _commit(here, match[1], body)
        url = f"{base}/{match[1]}/commit/{here.commit}"
        return 200, {}, {"success": True, "commitOid": here.commit, "commitUrl": url}
    if match[2] == "tree":
        rows = [{"type": "file", "path": n, "size": len(c), "oid": "0"} for n, c in sorted(files.items())]
        return 200, {}, rows
    if match[2] == "resolve":
        if match["file"] not in files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        content = files[match["file"]]
        return 200, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": here.commit}, content
    siblings = [{"rfilename": name} for name in files]
    return 200, {}, {"id": match[1], "sha": here.commit, "siblings": siblings}


@contextmanager
def serving(here: Repositories) -> Iterator[str]:
    """The stand-in's address."""

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def reply(self) -> None:
            here.tokens.add(self.headers.get("Authorization"))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            base = f"http://127.0.0.1:{server.server_port}"
            status, headers, content = answer(here, self.command, self.path.partition("?")[0], body, base)
            if not isinstance(content, bytes):
                content = json.dumps(content).encode()
                headers = {"Content-Type": "application/json"} | headers
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = reply  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
