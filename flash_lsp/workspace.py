"""The server's state: the open documents, the settings and the model of one client."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sqlite3
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import FeatureRequestError
from pygls.lsp.server import LanguageServer

from flash_lsp import protocol
from flash_lsp.acceptance import Acceptance
from flash_lsp.answers import Place
from flash_lsp.context.recent import OpenFile, Recent, Surroundings
from flash_lsp.decoder import ModelDecoder, NoModel
from flash_lsp.delay import ShowLate
from flash_lsp.gate import PAUSED, SNOOZED, Gate
from flash_lsp.lifecycle import Lifecycle, Load
from flash_lsp.loading import Report, load_in_thread
from flash_lsp.pending import Reply
from flash_lsp.places import path_in_workspace, path_of
from flash_lsp.protocol import Explanation
from flash_lsp.recall import is_private
from flash_lsp.rpc import FlashProtocol, converter
from flash_lsp.session import DocumentSession
from flash_lsp.settings import Settings
from flash_lsp.silences import explain
from flash_lsp.statistics import REQUESTS, SILENCE, Statistics
from flash_lsp.study import without_line
from flash_lsp.text import Document

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 10.0
"""Between a reply and its being counted in the file."""


class FlashServer(LanguageServer):
    """A pygls server with that state; flash_lsp.server gives it its handlers."""

    protocol: FlashProtocol

    def __init__(self, settings: Settings, load: Load) -> None:
        super().__init__(
            "flash-lsp", version("flash-lsp"), protocol_cls=FlashProtocol, converter_factory=converter
        )
        self.settings = settings
        self.totals = protocol.Totals()
        self.gate = Gate()
        self.uses_inline_completion = False
        self.trusts_selected_entry = True
        self._defaults = settings
        self._lifecycle = Lifecycle(self, settings, load)
        self._status = protocol.Status(state="loading", message="")
        self._silence: str | None = None
        self._last_silence: Explanation | None = None
        self._sessions: dict[str, DocumentSession] = {}
        self._late = ShowLate()
        self._recent = Recent()
        self._statistics = Statistics()
        self._acceptance: dict[str, Acceptance] = {}
        self._flushing: asyncio.TimerHandle | None = None
        self._waking: asyncio.TimerHandle | None = None

    @property
    def encoding(self) -> str:
        """The position encoding agreed with the client."""
        return types.PositionEncodingKind(self.workspace.position_encoding).value

    def session(self, uri: str) -> DocumentSession | None:
        return self._sessions.get(uri)

    def open_document(self, item: types.TextDocumentItem) -> None:
        self.close_document(item.uri)
        self._begin(Document(item.uri, item.language_id, item.version, item.text))

    def _begin(self, document: Document) -> None:
        session = DocumentSession(
            document,
            self.settings,
            asyncio.get_running_loop(),
            path=self._name(document.uri),
            ready=lambda offset: self._announce_ready(document, offset),
            veto=self.gate.reason,
        )
        if self._lifecycle.decoder:
            session.attach(self._lifecycle.decoder)
        self._sessions[document.uri] = session
        self._acceptance[document.uri] = Acceptance(
            document,
            lambda name: self._count(document.language_id, name),
            asyncio.get_running_loop().call_later,
        )
        self._study(document)

    def change_document(self, params: types.DidChangeTextDocumentParams) -> None:
        self._lifecycle.stir()
        session = self._sessions.get(params.text_document.uri)
        if session is None:
            logger.warning("didChange for a document that is not open")
            return
        edits = session.document.apply(params.content_changes, self.encoding)
        session.document.version = params.text_document.version
        if edits:
            self._visit(session.document)
            self._recent.edited(session.document, edits[-1])
            self._acceptance[session.document.uri].changed(edits)
            self._study(session.document, edits[-1].end)
        self._late.edited(session.document.uri)
        session.changed(edits)

    def close_document(self, uri: str) -> None:
        session = self._sessions.pop(uri, None)
        if session:
            session.close()
            self._late.forget(uri)
            self._recent.closed(uri)
            self._acceptance.pop(uri).close()
            if self._lifecycle.model:
                self._lifecycle.model.forget(uri)

    async def ask(
        self,
        session: DocumentSession,
        start: int,
        end: int,
        *,
        chosen: str = "",
        invoked: bool = False,
        candidates: int = 1,
        deadline_ms: int | None = None,
    ) -> Reply:
        """The session's reply; see DocumentSession.request. Cancelling the task withdraws the request."""
        self._lifecycle.stir()
        for other in self._sessions.values():
            if other is not session:
                other.relax()
        uri = session.document.uri
        self._visit(session.document)
        self._late.interrupt(uri)
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answer(reply: Reply) -> None:
            if answered.done():  # withdrawn: nobody waits
                self._record(session, reply)
            else:
                answered.set_result(reply)

        withdraw = session.request(
            start,
            end,
            answer,
            chosen=chosen,
            invoked=invoked,
            candidates=candidates,
            deadline_ms=deadline_ms,
        )
        try:
            reply = await answered
            seconds = 0.0 if invoked else self.settings.show_after_ms / 1000
            if not await self._late.allows(uri, reply, seconds):
                reply = dataclasses.replace(reply, text="", silence="superseded", complete_line=False)
        except asyncio.CancelledError:
            withdraw()
            raise
        self._record(session, reply)
        if reply.text and not chosen and session is self._sessions.get(uri):
            self._acceptance[uri].shown(end, reply.text)
        return reply

    def _name(self, uri: str) -> str:
        """What prompts call a document."""
        return path_in_workspace(uri, [folder.uri for folder in self.workspace.folders.values()])

    def _visit(self, document: Document) -> None:
        def find(uri: str) -> tuple[Document, str] | None:
            session = self._sessions.get(uri)
            shared = session is not None and self._may_become_context(session.document)
            return (session.document, self._name(uri)) if session and shared else None

        self._recent.visit(document, find)

    def _study(self, document: Document, cursor: int | None = None) -> None:
        """Have drafts taken from a document, less the line at `cursor`, which is being written."""

        def text() -> str | None:
            if self.gate.file_reason(document, self.settings):
                return None
            if cursor is None:
                return Place.between(document.text, "", document.language_id).prefix
            return without_line(
                Place.between(document.text[:cursor], document.text[cursor:], document.language_id)
            )

        if self._lifecycle.model:
            self._lifecycle.model.changed(document.uri, text)

    def _may_become_context(self, document: Document) -> bool:
        return not (self.gate.file_reason(document, self.settings) or self._is_kept_out(document.uri))

    def _is_kept_out(self, uri: str) -> bool:
        """Whether a document must stay out of the KV store, and so out of the prompts that it may keep."""
        return self.settings.kv_store_mb > 0 and is_private(uri)

    def _surroundings(self, uri: str) -> Surroundings | None:
        """What the context of a document can be made of; nothing of files that are left alone."""
        session = self._sessions.get(uri)
        if session is None:
            return None
        others = [
            other.document
            for other in self._sessions.values()
            if other is not session and self._may_become_context(other.document)
        ]
        others.sort(key=lambda each: self._recent.order(each.uri), reverse=True)
        return Surroundings(
            document=self._open_file(session.document),
            root=self._root(uri),
            others=tuple(self._open_file(other) for other in others),
            chunks=self._recent.chunks(uri),
            epoch=self._recent.epoch,
            may_read=lambda path: not (self.gate.ignore.reason(path) or self._is_kept_out(path.as_uri())),
            budget=self.settings.context_tokens,
        )

    def _open_file(self, document: Document) -> OpenFile:
        return OpenFile(self._name(document.uri), document.language_id, document.text, path_of(document.uri))

    def _root(self, uri: str) -> Path | None:
        """The outermost workspace folder that holds a document, or else its own folder."""
        path = path_of(uri)
        folders = (path_of(folder.uri) for folder in self.workspace.folders.values())
        roots = [folder for folder in folders if folder and path and path.is_relative_to(folder)]
        return min(roots, key=lambda each: len(each.parts), default=path.parent if path else None)

    def set_defaults(self, values: object) -> None:
        """Take the client's initialization options: they hold under whatever it configures later."""
        self._defaults, problems = self._defaults.updated(values)
        self._set(self._defaults, problems)

    def configure(self, values: object) -> None:
        """Take the client's configuration in place of the one before."""
        self._set(*self._defaults.updated(values))

    @property
    def is_up_to_date(self) -> bool:
        """Whether the model that is loaded, or being loaded, is the one that the settings want."""
        return self._lifecycle.is_up_to_date

    async def load(self) -> None:
        """Load the model, if there is none, and give it to all sessions."""
        await self._lifecycle.load()

    async def reload(self) -> None:
        """Read ignore files anew, free the model and load the one of the settings. Open documents stay open."""
        self.follow_files()
        await self._lifecycle.reload()

    async def in_background(self, title: str, load: Callable[[Report], ModelDecoder]) -> ModelDecoder:
        return await load_in_thread(self, title, load)

    def attach(self, decoder: ModelDecoder | NoModel) -> None:
        if isinstance(decoder, ModelDecoder):
            decoder.look_around(self._surroundings)
        for session in self._sessions.values():
            session.attach(decoder)
        for uri in sorted(self._sessions, key=self._recent.order):
            self._study(self._sessions[uri].document)

    def detach(self) -> None:
        documents = [session.document for session in self._sessions.values()]
        self.close_documents()
        for document in documents:
            self._begin(document)

    def announce(self, state: str, message: str) -> None:
        self._status = protocol.Status(state=state, message=message)
        self._silence = None
        self._show_status()

    def alarm(self, message: str) -> None:
        self._tell(types.MessageType.Error, message)

    def warn(self, message: str) -> None:
        self._tell(types.MessageType.Warning, message)

    def stats(self) -> dict[str, Any]:
        """The totals, as the command `flash-lsp.stats` answers them."""
        result = {**dataclasses.asdict(self.totals), **self._status, "documents": len(self._sessions)}
        if self._lifecycle.model:
            result |= dataclasses.asdict(self._lifecycle.model.spent)
            result["speculation"] = self._lifecycle.model.speculation()
        return result

    def clear_caches(self) -> None:
        """Forget answers, KV caches and what was read of ignore files."""
        self.follow_files()
        self.detach()

    def pause(self, paused: bool) -> None:
        """No suggestions until resumed; resuming ends a snooze too."""
        self.gate.paused = paused
        self.snooze(0)

    def snooze(self, minutes: float) -> None:
        """No suggestions for some minutes."""
        self.gate.snooze(minutes)
        if self._waking:
            self._waking.cancel()
        self._waking = asyncio.get_running_loop().call_later(60 * minutes, self._show_status)
        self._show_status()

    def explain_last_silence(self) -> Explanation | None:
        """Why the latest reply that was empty for a reason of its own was empty; None if none was."""
        return self._last_silence

    def close_documents(self) -> None:
        """Answer all that waits and stop decoding."""
        for uri in list(self._sessions):
            self.close_document(uri)

    def stop(self) -> None:
        """Stop decoding, write the statistics and free the model."""
        self.close_documents()
        self._flush()
        self._lifecycle.close()

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Tell the client of a message that could not be handled, by the kind of error alone."""
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            self.protocol.refuse_unparsable()
        elif source is not FeatureRequestError:
            logger.error("a message could not be handled: %s", type(error).__name__)

    def _set(self, settings: Settings, problems: list[str]) -> None:
        if settings.kv_store_mb and not self.settings.kv_store_mb:
            self._recent = Recent()
        self.settings = settings
        self.follow_files()
        for session in self._sessions.values():
            session.settings = settings
        for problem in problems:
            self._tell(types.MessageType.Warning, problem)

    def _tell(self, kind: types.MessageType, message: str) -> None:
        self.window_show_message(types.ShowMessageParams(kind, f"flash-lsp: {message}"))

    def _record(self, session: DocumentSession, reply: Reply) -> None:
        record = protocol.reply_record(session.document.uri, self.totals.requests, reply)
        self.totals.count(record)
        language = session.document.language_id
        self._count(language, REQUESTS)
        if reply.silence:
            self._count(language, f"{SILENCE}{reply.silence}")
        if self.settings.statistics and reply.text:
            self._statistics.latency(language, record["ms"])
        if self.protocol.trace != types.TraceValue.Off:
            verbose = json.dumps(record) if self.protocol.trace == types.TraceValue.Verbose else None
            self.log_trace(types.LogTraceParams(protocol.REPLY_TRACE, verbose))
        if reply.silence in protocol.NOT_A_VERDICT:
            return
        if reply.silence is not None:
            self._last_silence = Explanation(
                reason=reply.silence,
                message=explain(reply.silence),
                uri=record["uri"],
                version=record["version"],
            )
        if reply.silence != self._silence:
            self._silence = reply.silence
            self._show_status()

    def _count(self, language: str, name: str) -> None:
        if not self.settings.statistics:
            self._statistics.drop()
            return
        self._statistics.count(language, name)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        """Write the statistics; a file that cannot be written is no reason to stop."""
        self._flushing = None
        model = self._lifecycle.model
        if model and self.settings.statistics and (figures := model.speculation()):
            self._statistics.speculation(model.device, figures)
        try:
            self._statistics.flush()
        except (OSError, sqlite3.Error) as error:
            logger.warning("the statistics cannot be written to %s: %s", self._statistics.path, error)

    def _show_status(self) -> None:
        """Tell the client how things stand: that replies are empty and why, or that they no longer are."""
        status, reason = self._status, self._silence
        paused = PAUSED if self.gate.paused else SNOOZED if self.gate.snoozed_minutes else None
        if paused:
            status = protocol.Status(state="paused", message=status["message"], reason=paused)
        elif reason not in (None, PAUSED, SNOOZED):
            status = protocol.Status(state="silent", message=explain(str(reason)), reason=str(reason))
        self.protocol.notify(protocol.STATUS, status)

    def follow_files(self) -> None:
        """Take the rules on files from the settings and the workspace's folders, and read ignore files anew."""
        folders = (path_of(folder.uri) for folder in self.workspace.folders.values())
        self.gate.follow([folder for folder in folders if folder], self.settings)

    def _announce_ready(self, document: Document, offset: int) -> None:
        line, character = document.position(offset, self.encoding)
        position = protocol.Position(line=line, character=character)
        self.protocol.notify(
            protocol.READY, protocol.Ready(uri=document.uri, version=document.version, position=position)
        )
