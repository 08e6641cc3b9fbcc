"""The part of the Hugging Face hub that a pull uses, on loopback."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A hub with one repository, team/tiny."""

    files: dict[str, bytes]
    license: str = "apache-2.0"
    gated: bool = False
    cuts: int = 0
    """How many downloads of weights break off half-way."""
    lies: bool = False
    """Whether the SHA-256 told is another one."""
    asked: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.serve(body=False)

        def do_GET(self) -> None:
            self.serve(body=True)

        def serve(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append(path)
            if hub.gated and "/resolve/" in path:
                self.answer(403, b"", {"X-Error-Code": "GatedRepo"}, body)
            elif re.fullmatch(r"/api/models/team/tiny(/revision/(main|v1))?", path):
                self.answer(200, json.dumps(self.info()).encode(), {"Content-Type": "application/json"}, body)
            elif path.startswith("/api/models/team/tiny/revision/"):
                self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
            elif found := re.fullmatch(f"/team/tiny/resolve/{COMMIT}/(.+)", path):
                self.file(hub.files[found[1]], body)
            else:
                self.answer(404, b"", {"X-Error-Code": "RepoNotFound"}, body)

        def info(self) -> dict[str, Any]:
            siblings = []
            for name, data in hub.files.items():
                entry: dict[str, Any] = {"rfilename": name, "size": len(data)}
                if name.endswith((".safetensors", ".gguf")):
                    digest = "0" * 64 if hub.lies else hashlib.sha256(data).hexdigest()
                    entry["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 100}
                siblings.append(entry)
            return {
                "id": "team/tiny", "sha": COMMIT, "siblings": siblings, "cardData": {"license": hub.license},
                "tags": [], "downloads": 0, "private": False,
            }  # fmt: skip

        def file(self, data: bytes, body: bool) -> None:
            headers = {
                "ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes",
            }  # fmt: skip
            wanted = self.headers.get("Range")
            if not wanted:
                self.answer(200, data, headers, body, cut=body and len(data) > 100_000)
                return
            hub.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], headers, body)

        def answer(
            self, status: int, data: bytes, headers: dict[str, str], body: bool, *, cut: bool = False
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body and cut and hub.cuts:
                hub.cuts -= 1
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
            elif body:
                self.wfile.write(data)

    return Handler


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """The address of `hub`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
