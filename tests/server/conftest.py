"""Clients of the real server over stdio: an editor's, from its recorded initialize payload, and a raw one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from lsprotocol import converters, types
from pytest_lsp import LanguageClient
from pytest_lsp.client import make_test_lsp_client

from flash_lsp.text import Document

HERE = Path(__file__).parent
SCRIPTED = (sys.executable, str(HERE / "scripted_server.py"))
PAYLOADS = {path.stem: path for path in sorted((HERE / "init_params").glob("*.json"))}


class Client:
    """An editor with the documents it has open. Positions are given as offsets in code points."""

    def __init__(self, lsp: LanguageClient) -> None:
        self.lsp = lsp
        self.capabilities = types.ServerCapabilities()
        self.statuses: list[Any] = []
        self.readies: list[Any] = []
        self.traces: list[types.LogTraceParams] = []
        lsp.feature("flash-lsp/status")(lambda status: self.statuses.append(status))
        lsp.feature("flash-lsp/ready")(lambda ready: self.readies.append(ready))
        lsp.feature(types.LOG_TRACE)(lambda trace: self.traces.append(trace))

    @property
    def encoding(self) -> str:
        return types.PositionEncodingKind(self.capabilities.position_encoding).value

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(trace.verbose or "null") for trace in self.traces]

    async def loaded(self) -> str:
        await until(lambda: any(status.state != "loading" for status in self.statuses), 300.0)
        return str(self.statuses[-1].state)

    def open(self, text: str, uri: str = "file:///w/a.py", language: str = "python") -> Document:
        document = Document(uri, language, 1, text)
        self.lsp.text_document_did_open(
            types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, language, 1, text))
        )
        return document

    def edit(self, document: Document, start: int, removed: int, inserted: str) -> None:
        span = types.Range(self.position(document, start), self.position(document, start + removed))
        change = types.TextDocumentContentChangePartial(span, inserted)
        document.apply([change], self.encoding)
        document.version += 1
        self.lsp.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(document.version, document.uri), [change]
            )
        )

    def position(self, document: Document, offset: int) -> types.Position:
        return types.Position(*document.position(offset, self.encoding))

    async def suggest(
        self,
        document: Document,
        offset: int,
        *,
        selected: types.SelectedCompletionInfo | None = None,
        kind: int = 2,
    ) -> types.InlineCompletionItem | None:
        answer = await self.lsp.text_document_inline_completion_async(
            types.InlineCompletionParams(
                types.InlineCompletionContext(types.InlineCompletionTriggerKind(kind), selected),
                types.TextDocumentIdentifier(document.uri),
                self.position(document, offset),
            )
        )
        if answer is None:
            return None
        assert isinstance(answer, types.InlineCompletionList)
        assert kind == 1 or len(answer.items) == 1
        return answer.items[0]

    async def command(self, name: str, *arguments: Any) -> Any:
        return await self.lsp.workspace_execute_command_async(
            types.ExecuteCommandParams(name, list(arguments))
        )


@contextlib.asynccontextmanager
async def connect(
    payload: str = "vscode-1.139.1",
    *arguments: str,
    command: tuple[str, ...] = SCRIPTED,
    trace: str = "verbose",
    configuration: Any = None,
    **options: Any,
) -> AsyncIterator[Client]:
    """Start a server and shake hands as the editor of `payload` does; shut it down afterwards."""
    raw = json.loads(PAYLOADS[payload].read_text())
    raw |= {"trace": trace, "initializationOptions": options or None, "processId": None}
    lsp = make_test_lsp_client()
    if configuration is not None:
        lsp.set_configuration(configuration, section="flash-lsp")
    client = Client(lsp)
    await lsp.start_io(*command, *arguments)
    result = await lsp.initialize_session(converters.get_converter().structure(raw, types.InitializeParams))
    client.capabilities = result.capabilities
    try:
        yield client
        await lsp.shutdown_session()
    finally:
        process = lsp._server
        if process and process.returncode is None:  # the test failed half-way
            process.kill()
        await lsp.stop()


async def until(condition: Any, seconds: float = 60.0) -> None:
    """Wait for `condition()`; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class RawServer:
    """A server process that is sent bytes as they are."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    def send_bytes(self, body: bytes) -> None:
        self._stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def send(self, method: str, params: Any = None, identity: Any = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self.send_bytes(json.dumps(message if identity is None else message | {"id": identity}).encode())

    async def answer(self, identity: Any) -> dict[str, Any]:
        """The next response with this id; what comes before is dropped."""
        async with asyncio.timeout(20):
            while True:
                message = await self._receive()
                if "method" not in message and message.get("id") == identity:
                    return message

    async def ask(self, identity: Any, method: str, params: Any = None) -> dict[str, Any]:
        self.send(method, params, identity)
        return await self.answer(identity)

    async def start(self) -> None:
        await self.ask("init", "initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        self.send("initialized", {})

    def close_stdin(self) -> None:
        self._stdin.close()

    async def exit_code(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()

    async def _receive(self) -> dict[str, Any]:
        size = 0
        while (header := (await self._stdout.readuntil(b"\r\n")).strip()) or not size:
            if header.startswith(b"Content-Length:"):
                size = int(header.split(b":")[1])
        message: dict[str, Any] = json.loads(await self._stdout.readexactly(size))
        return message


@contextlib.asynccontextmanager
async def raw_server(*arguments: str) -> AsyncIterator[RawServer]:
    process = await asyncio.create_subprocess_exec(
        *SCRIPTED, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield RawServer(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
