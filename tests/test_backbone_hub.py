"""A backbone from the hub, through the real client against a stand-in on this machine."""

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

import pytest

from xadapt.backbone.backbone import Backbone

COMMIT = "a" * 40
SCRIPT = """
import sys
from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
try:
    print("fingerprint", Backbone.from_pretrained(sys.argv[1]).fingerprint)
except UserError as error:
    print("refused", error)
"""


@pytest.fixture(scope="module")
def hub(checkpoint: Path) -> Iterator[str]:
    """Serves one model repository, org/tiny."""
    files = {f.name: f.read_bytes() for f in checkpoint.iterdir()}

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self) -> None:
            path = self.path.partition("?")[0]
            asked = re.fullmatch(r"/(?P<repository>[^/]+/[^/]+)/resolve/[^/]+/(?P<file>.+)", path)
            known = "org/tiny" in path
            status, headers, body = 404, {"X-Error-Code": "EntryNotFound" if known else "RepoNotFound"}, b""
            if asked and known and asked["file"] in files:
                body = files[asked["file"]]
                status = 200
                headers = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
            elif re.fullmatch(r"/api/models/org/tiny(/revision/[^/]+)?", path):
                body = json.dumps(
                    {"id": "org/tiny", "sha": COMMIT, "siblings": [{"rfilename": n} for n in files]}
                ).encode()
                status, headers = 200, {"Content-Type": "application/json"}
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = do_HEAD = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def opened(name: str, endpoint: str, home: Path) -> str:
    """What a fresh process says of opening ``name``; the client reads its endpoint once, on import."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout


def test_a_hub_id_opens_and_opens_again_without_the_hub(checkpoint: Path, hub: str, tmp_path: Path) -> None:
    expected = Backbone.from_pretrained(str(checkpoint)).fingerprint
    assert opened("org/tiny", hub, tmp_path) == f"fingerprint {expected}\n"
    assert opened("org/tiny", "http://127.0.0.1:9", tmp_path) == f"fingerprint {expected}\n"  # cached


def test_an_unknown_repository_and_an_unreachable_hub_are_told_apart_from_nothing(
    hub: str, tmp_path: Path
) -> None:
    for endpoint in (hub, "http://127.0.0.1:9"):
        said = opened("org/unknown", endpoint, tmp_path)
        assert said.startswith("refused")
        assert "cannot be had from the hub" in said
        assert "HF_ENDPOINT" in said
