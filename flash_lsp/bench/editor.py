"""An editor without a screen: it drives the real language server over stdio, as demo and replay need it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient
from rich.syntax import Syntax

from flash_engine.errors import FlashError
from flash_lsp.protocol import READY, REPLY_TRACE, STATS, STATUS, ReplyRecord
from flash_lsp.text import Document

SERVE = (sys.executable, "-m", "flash_lsp", "serve")
ENCODING = "utf-32"
_PATIENCE_S = 60.0

T = TypeVar("T")


class ServerError(FlashError):
    """The language server did not start, or went away."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one request."""

    text: str
    """Empty if nothing was suggested."""
    ms: float
    """From sending the request to the arrival of the reply."""
    record: ReplyRecord | None
    """The server's own account, from its trace."""


class Editor:
    """A client of one server process: `async with Editor(settings) as editor`."""

    def __init__(self, settings: Mapping[str, Any] | None = None, command: Sequence[str] = SERVE) -> None:
        self.settings = {"statistics": False} | dict(settings or {})
        self.command = command
        self.started = 0.0
        self._client = LanguageClient("flash-lsp bench", "1")
        self._complaints: deque[str] = deque(maxlen=20)
        self._records: dict[tuple[str, int], ReplyRecord] = {}
        self._reading: asyncio.Task[None] | None = None
        self._loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        # pygls sets attributes on its handlers, which bound methods do not take.
        self._client.feature(types.LOG_TRACE)(lambda params: self._keep_record(params))
        self._client.feature(READY)(lambda params: None)
        self._client.feature(STATUS)(lambda params: self._keep_status(params))
        for message in (types.WINDOW_LOG_MESSAGE, types.WINDOW_SHOW_MESSAGE):
            self._client.feature(message)(lambda params: self._complaints.append(params.message))
        self.started = time.perf_counter()
        await self._client.start_io(*self.command)
        self._reading = asyncio.create_task(self._read_stderr())
        initialized = await self._ask(
            self._client.initialize_async(
                types.InitializeParams(
                    capabilities=types.ClientCapabilities(
                        general=types.GeneralClientCapabilities(
                            position_encodings=[types.PositionEncodingKind.Utf32]
                        ),
                        text_document=types.TextDocumentClientCapabilities(
                            inline_completion=types.InlineCompletionClientCapabilities()
                        ),
                    ),
                    initialization_options=self.settings,
                )
            )
        )
        if initialized.capabilities.position_encoding != types.PositionEncodingKind.Utf32:
            raise ServerError("the server did not agree on utf-32 positions: is it a flash-lsp server?")
        self._client.initialized(types.InitializedParams())
        self._client.set_trace(types.SetTraceParams(types.TraceValue.Verbose))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            await self._ask(self._client.shutdown_async(None))
            self._client.exit(None)
        await self._client.stop()  # type: ignore[no-untyped-call]
        if self._reading:
            self._reading.cancel()

    async def loaded(self) -> None:
        """Wait until the server has its model. Raises ServerError with its message if it cannot."""
        await self._ask(asyncio.shield(self._loaded))

    def open(self, path: Path, text: str) -> Document:
        """Open a document that holds `text`."""
        document = Document(path.resolve().as_uri(), language_id(path), 1, text)
        self._client.text_document_did_open(
            types.DidOpenTextDocumentParams(
                types.TextDocumentItem(document.uri, document.language_id, document.version, text)
            )
        )
        return document

    def edit(self, document: Document, start: int, removed: int, inserted: str) -> None:
        """Replace `removed` code points at `start` by `inserted`, here and in the server."""
        change = replacement(document, start, removed, inserted)
        document.apply([change], ENCODING)
        document.version += 1
        self._client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(document.version, document.uri), [change]
            )
        )

    async def suggest(
        self,
        document: Document,
        offset: int,
        trigger: types.InlineCompletionTriggerKind = types.InlineCompletionTriggerKind.Automatic,
    ) -> Reply:
        """Ask for a suggestion at `offset`, once per version of the document."""
        version = document.version
        sent = time.perf_counter()
        answer = await self._ask(
            self._client.text_document_inline_completion_async(
                types.InlineCompletionParams(
                    types.InlineCompletionContext(trigger),
                    types.TextDocumentIdentifier(document.uri),
                    _position(document, offset),
                )
            )
        )
        ms = (time.perf_counter() - sent) * 1000
        await asyncio.sleep(0)  # the trace may come in the same read, behind the reply
        return Reply(_text(answer), ms, self._records.pop((document.uri, version), None))

    async def stats(self) -> dict[str, Any]:
        """The server's totals."""
        answer = await self._ask(
            self._client.workspace_execute_command_async(types.ExecuteCommandParams(STATS, []))
        )
        return cast("dict[str, Any]", json.loads(json.dumps(answer, default=vars)))

    def _keep_status(self, status: Any) -> None:
        if self._loaded.done():
            return
        if status.state == "error":
            self._loaded.set_exception(ServerError(status.message))
        elif status.state != "loading":
            self._loaded.set_result(None)

    def _keep_record(self, params: types.LogTraceParams) -> None:
        if params.message == REPLY_TRACE and params.verbose:
            record: ReplyRecord = json.loads(params.verbose)
            self._records[record["uri"], record["version"]] = record

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._complaints.append(line.decode(errors="replace").strip())

    async def _ask(self, answer: Awaitable[T]) -> T:
        try:
            return await asyncio.wait_for(answer, _PATIENCE_S)
        except TimeoutError:
            raise ServerError(f"the language server did not answer within {_PATIENCE_S:.0f} s") from None
        except (RuntimeError, ConnectionError):
            await self._process.wait()
            last = next((line for line in reversed(self._complaints) if line), "it left no message")
            raise ServerError(
                f"the language server stopped with exit code {self._process.returncode}: {last} "
                "(`flash-lsp doctor` looks for the cause)"
            ) from None
        except JsonRpcException as error:
            raise ServerError(f"the language server answered with an error: {error}") from None

    @property
    def _process(self) -> asyncio.subprocess.Process:
        process = self._client._server
        if process is None:
            raise ServerError("the language server was not started")
        return process


def language_id(path: Path) -> str:
    """The language of a file by its name, as editors call it."""
    name = Syntax.guess_lexer(path.name)
    return "plaintext" if name in ("default", "text") else name


def replacement(
    document: Document, start: int, removed: int, inserted: str
) -> types.TextDocumentContentChangePartial:
    """The change that replaces `removed` code points at `start` by `inserted`, its positions in ENCODING."""
    span = types.Range(_position(document, start), _position(document, start + removed))
    return types.TextDocumentContentChangePartial(span, inserted)


def _position(document: Document, offset: int) -> types.Position:
    return types.Position(*document.position(offset, ENCODING))


def _text(answer: types.InlineCompletionList | Sequence[types.InlineCompletionItem] | None) -> str:
    items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
    if not items:
        return ""
    text = items[0].insert_text
    return text if isinstance(text, str) else text.value
