"""A completion server on loopback that does what the test says."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Script:
    """What the server answers, and what it was asked."""

    tokens: tuple[str, ...] = ("1", " +", " 2", "\n")
    later: tuple[str, ...] | None = None
    """Answer to all completions but the first that is streamed; None: the same."""
    models: tuple[str, ...] = ("Qwen2.5-Coder-7B",)
    seconds: float = 0.0
    """Before each token."""
    status: int = 200
    """Of completions."""
    loading: int = 0
    """How many questions are refused with 503 first."""
    breaks_after: int | None = None
    """Tokens after which the connection is cut."""
    garbage: bool = False
    takes_logprobs: bool = True
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    """Set when a client left before the end."""


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            if script.loading:
                script.loading -= 1
                self.answer(503, {})
            elif self.path == "/v1/models":
                self.answer(200, {"data": [{"id": name} for name in script.models]})
            else:
                self.answer(404, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            script.bodies.append(body)
            script.keys.append(self.headers.get("Authorization"))
            if body.get("logprobs") and not script.takes_logprobs:
                self.answer(400, {"error": "logprobs"})
            elif not body["stream"]:
                self.answer(200, {"choices": [{"text": "1", "finish_reason": "length"}]})
            elif script.status != 200:
                self.answer(script.status, {"error": "no"})
            else:
                self.stream(body)

        def stream(self, body: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            first = sum(body["stream"] for body in script.bodies) == 1
            tokens = script.tokens if first or script.later is None else script.later
            try:
                for index, token in enumerate(tokens):
                    if index == script.breaks_after:
                        self.connection.close()
                        return
                    time.sleep(script.seconds)
                    choice = {"text": token, "finish_reason": None}
                    if body.get("logprobs"):
                        choice["logprobs"] = {"token_logprobs": [-0.25]}
                    usage = {"prompt_tokens": 50, "prompt_tokens_details": {"cached_tokens": 40}}
                    self.event(
                        "{nonsense" if script.garbage else json.dumps({"choices": [choice], "usage": usage})
                    )
                self.event("[DONE]")
            except OSError:
                script.hung_up.set()

        def event(self, data: str) -> None:
            self.wfile.write(f"data: {data}\n\n".encode())
            self.wfile.flush()

        def answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


@contextmanager
def serving(script: Script, certificate: tuple[str, str] | None = None) -> Iterator[str]:
    """The address of a server that follows `script`, over TLS with `certificate` (its and its key's PEM file)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
