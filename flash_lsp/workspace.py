"""The server's state: the open documents, the settings and the model of one client."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.exceptions import FeatureRequestError
from pygls.lsp.server import LanguageServer

from flash_engine import FlashError
from flash_lsp import protocol
from flash_lsp.decoder import ModelDecoder, NoModel
from flash_lsp.loading import Report, load_in_thread
from flash_lsp.pending import Reply
from flash_lsp.rpc import FlashProtocol, converter
from flash_lsp.session import DocumentSession
from flash_lsp.settings import Settings
from flash_lsp.text import Document

logger = logging.getLogger(__name__)

Load = Callable[[Settings, asyncio.AbstractEventLoop, Report], ModelDecoder]


class FlashServer(LanguageServer):
    """A pygls server with that state; flash_lsp.server gives it its handlers."""

    protocol: FlashProtocol

    def __init__(self, settings: Settings, load: Load) -> None:
        super().__init__(
            "flash-lsp", version("flash-lsp"), protocol_cls=FlashProtocol, converter_factory=converter
        )
        self.settings = settings
        self.totals = protocol.Totals()
        self.uses_inline_completion = False
        self.trusts_selected_entry = True
        self._defaults = settings
        self._load = load
        self._loaded = settings
        self._decoder: ModelDecoder | NoModel | None = None
        self._status = protocol.Status(state="loading", message="")
        self._silence: str | None = None
        self._sessions: dict[str, DocumentSession] = {}

    @property
    def encoding(self) -> str:
        """The position encoding agreed with the client."""
        return types.PositionEncodingKind(self.workspace.position_encoding).value

    def session(self, uri: str) -> DocumentSession | None:
        return self._sessions.get(uri)

    def open_document(self, item: types.TextDocumentItem) -> None:
        self.close_document(item.uri)
        document = Document(item.uri, item.language_id, item.version, item.text)
        session = DocumentSession(
            document,
            self.settings,
            asyncio.get_running_loop(),
            path=path_in_workspace(item.uri, [folder.uri for folder in self.workspace.folders.values()]),
            ready=lambda offset: self._announce_ready(document, offset),
        )
        if self._decoder:
            session.attach(self._decoder)
        self._sessions[item.uri] = session

    def change_document(self, params: types.DidChangeTextDocumentParams) -> None:
        session = self._sessions.get(params.text_document.uri)
        if session is None:
            logger.warning("didChange for a document that is not open")
            return
        edits = session.document.apply(params.content_changes, self.encoding)
        session.document.version = params.text_document.version
        session.changed(edits)

    def close_document(self, uri: str) -> None:
        session = self._sessions.pop(uri, None)
        if session:
            session.close()
            if isinstance(self._decoder, ModelDecoder):
                self._decoder.forget(uri)

    async def ask(
        self,
        session: DocumentSession,
        start: int,
        end: int,
        *,
        chosen: str = "",
        invoked: bool = False,
        deadline_ms: int | None = None,
    ) -> Reply:
        """The session's reply; see DocumentSession.request. Cancelling the task withdraws the request."""
        for other in self._sessions.values():
            if other is not session:
                other.relax()
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answer(reply: Reply) -> None:
            self._record(session, reply)
            if not answered.done():
                answered.set_result(reply)

        withdraw = session.request(
            start, end, answer, chosen=chosen, invoked=invoked, deadline_ms=deadline_ms
        )
        try:
            return await answered
        except asyncio.CancelledError:
            withdraw()
            raise

    def set_defaults(self, values: object) -> None:
        """Take the client's initialization options: they hold under whatever it configures later."""
        self._defaults, problems = self._defaults.updated(values)
        self._set(self._defaults, problems)

    def configure(self, values: object) -> None:
        """Take the client's configuration in place of the one before."""
        self._set(*self._defaults.updated(values))
        if self._decoder and _model_of(self.settings) != _model_of(self._loaded):
            self._tell(
                types.MessageType.Info, "restart the language server to change model, device or threads"
            )

    async def load(self) -> None:
        """Load the model and give it to all sessions."""
        settings = self._loaded = self.settings
        loop = asyncio.get_running_loop()
        self._announce("loading", f"loading {settings.model}")
        decoder: ModelDecoder | NoModel
        try:
            decoder = await load_in_thread(
                self,
                f"flash-lsp: loading {settings.model}",
                lambda report: self._load(settings, loop, report),
            )
        except FlashError as error:
            decoder = self._failed(str(error))
        except Exception as error:
            logger.exception("the model could not be loaded")
            decoder = self._failed(
                f"the model could not be loaded ({type(error).__name__}: {error}): see the log"
            )
        else:
            self._announce("ready", decoder.device)
        self._decoder = decoder
        for session in self._sessions.values():
            session.attach(decoder)

    def _failed(self, message: str) -> NoModel:
        self._announce("error", message)
        self._tell(types.MessageType.Error, message)
        return NoModel()

    def stats(self) -> dict[str, Any]:
        """The totals, as the command `flash-lsp.stats` answers them."""
        result = {**dataclasses.asdict(self.totals), **self._status, "documents": len(self._sessions)}
        if isinstance(self._decoder, ModelDecoder):
            result |= dataclasses.asdict(self._decoder.spent)
        return result

    def close_documents(self) -> None:
        """Answer all that waits and stop decoding."""
        for uri in list(self._sessions):
            self.close_document(uri)

    def stop(self) -> None:
        """Stop decoding and free the model."""
        self.close_documents()
        if isinstance(self._decoder, ModelDecoder):
            self._decoder.close()

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Tell the client of a message that could not be handled, by the kind of error alone."""
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            self.protocol.refuse_unparsable()
        elif source is not FeatureRequestError:
            logger.error("a message could not be handled: %s", type(error).__name__)

    def _set(self, settings: Settings, problems: list[str]) -> None:
        self.settings = settings
        for session in self._sessions.values():
            session.settings = settings
        for problem in problems:
            self._tell(types.MessageType.Warning, problem)

    def _tell(self, kind: types.MessageType, message: str) -> None:
        self.window_show_message(types.ShowMessageParams(kind, f"flash-lsp: {message}"))

    def _record(self, session: DocumentSession, reply: Reply) -> None:
        record = protocol.reply_record(session.document.uri, self.totals.requests, reply)
        self.totals.count(record)
        if self.protocol.trace != types.TraceValue.Off:
            verbose = json.dumps(record) if self.protocol.trace == types.TraceValue.Verbose else None
            self.log_trace(types.LogTraceParams(protocol.REPLY_TRACE, verbose))
        if reply.silence != self._silence and reply.silence not in protocol.NOT_A_VERDICT:
            self._explain(reply.silence)

    def _explain(self, silence: str | None) -> None:
        """Tell the client that replies are empty now, and why, or that they no longer are."""
        self._silence = silence
        status = self._status
        if silence is not None:
            status = protocol.Status(state="silent", message=status["message"], reason=silence)
        self.protocol.notify(protocol.STATUS, status)

    def _announce(self, state: str, message: str) -> None:
        self._status = protocol.Status(state=state, message=message)
        self.protocol.notify(protocol.STATUS, self._status)

    def _announce_ready(self, document: Document, offset: int) -> None:
        line, character = document.position(offset, self.encoding)
        position = protocol.Position(line=line, character=character)
        self.protocol.notify(
            protocol.READY, protocol.Ready(uri=document.uri, version=document.version, position=position)
        )


def path_in_workspace(uri: str, folders: list[str]) -> str:
    """The path of a document relative to the innermost workspace folder that holds it, or else its file name."""
    path = PurePosixPath(unquote(urlsplit(uri).path))
    inside = [path.relative_to(root) for root in map(_folder_path, folders) if path.is_relative_to(root)]
    return str(min(inside, key=lambda each: len(each.parts), default=PurePosixPath(path.name)))


def _folder_path(uri: str) -> PurePosixPath:
    return PurePosixPath(unquote(urlsplit(uri).path))


def _model_of(settings: Settings) -> tuple[object, ...]:
    return settings.model, settings.device, settings.threads
