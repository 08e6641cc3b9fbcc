"""Bytes that no good client sends: the server answers what can be answered and goes on."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.server.conftest import SCRIPTED, RawServer, raw_server

INLINE = "textDocument/inlineCompletion"
DOCUMENT = {"uri": "file:///w/a.py"}
OPEN = {"textDocument": DOCUMENT | {"languageId": "python", "version": 1, "text": "total = "}}


def inline(**changes: Any) -> dict[str, Any]:
    return {
        "textDocument": DOCUMENT,
        "position": {"line": 0, "character": 8},
        "context": {"triggerKind": 2},
    } | changes


async def works(server: RawServer, identity: str) -> bool:
    """Whether an ordinary request still gets its ordinary answer."""
    answer = await server.ask(identity, INLINE, inline())
    return bool(answer["result"]["items"][0]["insertText"] == "compute(first, second)")


async def test_what_is_no_message_gets_an_error_without_an_id() -> None:
    async with raw_server() as server:
        await server.start()
        server.send("textDocument/didOpen", OPEN)
        for body, code in (
            (b"{not json", -32700),
            (b"\xff\xfe\x00", -32700),
            (b"[]", -32600),
            (b"17", -32600),
            (b"null", -32600),
            (b'{"hello": "there"}', -32600),
        ):
            server.send_bytes(body)
            assert (await server.answer(None))["error"]["code"] == code, body
            assert await works(server, f"after {body!r}")


async def test_wrong_parameters_are_answered_and_survived() -> None:
    async with raw_server() as server:
        await server.start()
        server.send("textDocument/didOpen", OPEN)
        wrong: list[Any] = [
            None,
            [],
            {},
            inline(position={"line": "x"}),
            inline(position=None),
            inline(textDocument=7),
            inline(context={"triggerKind": 2, "selectedCompletionInfo": {"range": [{}, {}], "text": "x"}}),
        ]
        for number, params in enumerate(wrong):
            answer = await server.ask(number, INLINE, params)
            assert answer["error"]["code"] == -32602, params
        for params in ([], {}, {"textDocument": DOCUMENT}, {"contentChanges": 3}):
            server.send("textDocument/didChange", params)
            server.send("textDocument/didOpen", params)
            server.send("workspace/didChangeConfiguration", params)
            server.send("$/cancelRequest", params)
            server.send("$/setTrace", params)
        assert (await server.ask("unknown", "textDocument/nonsense", {}))["error"]["code"] == -32601
        assert (await server.ask("command", "workspace/executeCommand", {"command": "nonsense"}))["error"]
        server.send("flash-lsp/nonsense", {})
        server.send("$/cancelRequest", {"id": "never sent"})
        assert await works(server, "after")


async def test_an_unknown_trigger_kind_counts_as_invoked() -> None:
    async with raw_server() as server:
        await server.start()
        server.send("textDocument/didOpen", OPEN)
        for kind in (0, 3, -1, "automatic", None):
            answer = await server.ask(f"kind {kind}", INLINE, inline(context={"triggerKind": kind}))
            assert answer["result"]["items"], kind


async def test_positions_outside_the_document_are_clamped() -> None:
    async with raw_server() as server:
        await server.start()
        server.send("textDocument/didOpen", OPEN)
        answer = await server.ask(1, INLINE, inline(position={"line": 99, "character": 99}))
        end = {"line": 0, "character": 8}
        assert answer["result"]["items"][0]["range"] == {"start": end, "end": end}


async def test_changes_of_unknown_documents_and_impossible_ranges() -> None:
    async with raw_server() as server:
        await server.start()
        change = {"textDocument": DOCUMENT | {"version": 2}, "contentChanges": [{"text": "total = "}]}
        server.send("textDocument/didChange", change)
        server.send("textDocument/didClose", {"textDocument": DOCUMENT})
        assert (await server.ask(1, INLINE, inline()))["result"] is None
        server.send("textDocument/didOpen", OPEN)
        backwards = {"start": {"line": 5, "character": 5}, "end": {"line": 0, "character": 0}}
        change["contentChanges"] = [{"range": backwards, "text": ""}]
        server.send("textDocument/didChange", change)
        assert await works(server, "after")


@pytest.mark.parametrize(
    ("text", "silence"), [("PK\x03\x04\0\0total = ", "binary"), ("x\n" * 1_100_000, "too-large")]
)
async def test_binary_and_huge_files_get_null(text: str, silence: str) -> None:
    async with raw_server() as server:
        await server.start()
        server.send("$/setTrace", {"value": "verbose"})
        server.send("textDocument/didOpen", {"textDocument": OPEN["textDocument"] | {"text": text}})
        assert (await server.ask(1, INLINE, inline()))["result"] is None
        stats = (
            await server.ask(2, "workspace/executeCommand", {"command": "flash-lsp.stats", "arguments": []})
        )["result"]
        assert stats["silences"] == {silence: 1}


async def test_lone_surrogates_in_a_document() -> None:
    async with raw_server() as server:
        await server.start()
        server.send(
            "textDocument/didOpen", {"textDocument": OPEN["textDocument"] | {"text": "\ud83d\ntotal = "}}
        )
        answer = await server.ask(1, INLINE, inline(position={"line": 1, "character": 8}))
        assert answer["result"]["items"]


async def test_the_order_of_the_lifecycle() -> None:
    async with raw_server() as server:
        assert (await server.ask(1, INLINE, inline()))["error"]["code"] == -32002
        server.send("textDocument/didOpen", OPEN)
        await server.start()
        assert (await server.ask(2, "shutdown"))["result"] is None
        assert (await server.ask(3, INLINE, inline()))["error"]["code"] == -32600
        server.send("exit")
        assert await server.exit_code() == 0


async def test_exit_without_shutdown_is_code_1() -> None:
    async with raw_server() as server:
        await server.start()
        server.send("exit")
        assert await server.exit_code() == 1


@pytest.mark.parametrize("arguments", [(), ("--load-ms", "5000")])
async def test_a_closed_stdin_ends_the_server(arguments: tuple[str, ...]) -> None:
    async with raw_server("--token-ms", "200", *arguments) as server:
        await server.start()
        server.send("textDocument/didOpen", OPEN)
        server.send(INLINE, inline(), 1)
        started = time.monotonic()
        server.close_stdin()
        await server.exit_code()
        assert time.monotonic() - started < 4, "it does not wait for the model to load"


async def test_shutdown_answers_what_waits() -> None:
    async with raw_server("--token-ms", "500") as server:
        await server.start()
        server.send("textDocument/didOpen", OPEN)
        server.send(INLINE, inline(), 1)
        server.send("shutdown", identity=2)
        assert "id" in await server.answer(1)
        server.send("exit")
        assert await server.exit_code() == 0


async def test_no_user_code_in_stderr() -> None:
    async with raw_server() as server:
        await server.start()
        secret = "correct-horse-battery"
        server.send(
            "textDocument/didOpen",
            {"textDocument": OPEN["textDocument"] | {"text": f"boom = # {secret}\nboom = "}},
        )
        server.send("textDocument/didChange", {"textDocument": 1, "contentChanges": [{"text": secret}]})
        server.send_bytes(b"{" + secret.encode())
        await server.ask(1, INLINE, inline(position={"line": 1, "character": 7}))
        server.send("exit")
        await server.exit_code()
        assert server.process.stderr is not None
        log = (await server.process.stderr.read()).decode()
        assert "RuntimeError" in log, "the engine's failure is logged"
        assert secret not in log


def test_one_client_over_tcp() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([*SCRIPTED, "--tcp", str(port)], stderr=subprocess.PIPE)
    try:
        with connected(port) as client, client.makefile("rwb") as stream:
            ask(stream, "initialize", {"processId": None, "rootUri": None, "capabilities": {}}, 1)
            ask(stream, "shutdown", None, 2)
            send(stream, {"jsonrpc": "2.0", "method": "exit"})
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def connected(port: int) -> socket.socket:
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} ({sys.executable})")


def send(stream: Any, message: dict[str, Any]) -> None:
    body = json.dumps(message).encode()
    stream.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    stream.flush()


def ask(stream: Any, method: str, params: Any, identity: int) -> None:
    """Send a request and read up to its response."""
    send(stream, {"jsonrpc": "2.0", "method": method, "params": params, "id": identity})
    while True:
        headers = dict(line.split(b": ") for line in iter(lambda: stream.readline().strip(), b""))
        message = json.loads(stream.read(int(headers[b"Content-Length"])))
        if message.get("id") == identity:
            return
