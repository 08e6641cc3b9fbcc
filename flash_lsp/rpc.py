"""pygls' protocol with three changes: documents are left to the server's own store, every request gets an answer
however malformed it is, and nothing of a user's code gets into an error message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cattrs import Converter
from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcParseError,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import LanguageServerProtocol, default_converter
from pygls.protocol.language_server import lsp_method


def converter() -> Converter:
    """pygls' converter, but a trigger kind that the specification does not know counts as Invoked.

    vscode-languageclient before 10 sends 0 for a manual request.
    """
    result: Converter = default_converter()  # type: ignore[no-untyped-call]
    known = {int(kind) for kind in types.InlineCompletionTriggerKind}

    def trigger_kind(value: Any, _: type) -> types.InlineCompletionTriggerKind:
        return types.InlineCompletionTriggerKind(value if value in known else 1)

    result.register_structure_hook(types.InlineCompletionTriggerKind, trigger_kind)
    return result


class FlashProtocol(LanguageServerProtocol):
    """The server's side of one connection."""

    def structure_message(self, data: dict[str, Any]) -> Any:
        """Make a message object of parsed JSON. A request that cannot be one is answered with an error, then the
        error raised: pygls only reports it."""
        try:
            return super().structure_message(data)
        except JsonRpcException:
            if "method" in data and "id" in data:
                self._refuse(data["id"], JsonRpcInvalidParams(f"Invalid parameters of {data['method']}"))
            raise

    def handle_message(self, message: Any) -> None:
        """Hand a message to its handler, unless it is none or comes at the wrong time."""
        identity = message.get("id") if isinstance(message, Mapping) else getattr(message, "id", None)
        method = getattr(message, "method", None)
        if not hasattr(message, "jsonrpc"):
            self._refuse(identity, JsonRpcInvalidRequest("Not a JSON-RPC 2.0 message"))
        elif method is None or method == types.EXIT:
            super().handle_message(message)
        elif self._workspace is None and method != types.INITIALIZE:
            if identity is not None:
                self._refuse(identity, JsonRpcServerNotInitialized(f"{method} before initialize"))
        elif self._shutdown:
            if identity is not None:
                self._refuse(identity, JsonRpcInvalidRequest(f"{method} after shutdown"))
        else:
            super().handle_message(message)

    @property
    def was_shut_down(self) -> bool:
        """Whether the client has sent a shutdown request."""
        return self._shutdown

    def refuse_unparsable(self) -> None:
        """Answer a message that is not JSON."""
        self._refuse(None, JsonRpcParseError("The message is not valid JSON"))

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> Any:
        return self._own(types.TEXT_DOCUMENT_DID_OPEN)(params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Any:
        return self._own(types.TEXT_DOCUMENT_DID_CHANGE)(params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> Any:
        return self._own(types.TEXT_DOCUMENT_DID_CLOSE)(params)

    def _own(self, method: str) -> Callable[[Any], Any]:
        handler: Callable[[Any], Any] = self.fm.features[method]
        return handler

    def _refuse(self, identity: Any, error: JsonRpcException) -> None:
        self._send_data(types.ResponseErrorMessage(id=identity, error=error.to_response_error()))
