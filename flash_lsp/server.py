"""The language server: pygls' wiring between the messages of a client and the server's state."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from flash_lsp import commands
from flash_lsp.decoder import load_model
from flash_lsp.lifecycle import Load
from flash_lsp.replies import completion_list, inline_list, selected_entry
from flash_lsp.settings import SECTION, Settings
from flash_lsp.workspace import FlashServer

_CANDIDATES = 3
"""Suggestions to choose among where the user asked for one."""

_CONFIGURATION_WAIT = 1.0
"""Seconds to wait for the client's settings before the model is loaded without them."""


def create_server(settings: Settings | None = None, load: Load = load_model) -> FlashServer:
    """A server that is ready to run. `settings` are the defaults under the client's; `load` loads the model."""
    server = FlashServer(settings or Settings(), load)
    for method, handler in (
        (types.INITIALIZE, initialize),
        (types.INITIALIZED, initialized),
        (types.SHUTDOWN, shutdown),
        (types.WORKSPACE_DID_CHANGE_CONFIGURATION, did_change_configuration),
        (types.TEXT_DOCUMENT_DID_OPEN, did_open),
        (types.TEXT_DOCUMENT_DID_CHANGE, did_change),
        (types.TEXT_DOCUMENT_DID_CLOSE, did_close),
        (types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, did_change_folders),
    ):
        server.feature(method)(handler)
    # Without options pygls does not advertise it.
    server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())(inline_completion)
    for name, command in commands.COMMANDS.items():
        server.command(name)(command)
    return server


def serve(settings: Settings | None = None, tcp: tuple[str, int] | None = None) -> None:
    """Serve one client on stdin and stdout, or on a TCP address, until it leaves; then exit the process.

    The exit code is 0 after a shutdown request, else 1.
    """
    run(create_server(settings), tcp)


def run(server: FlashServer, tcp: tuple[str, int] | None = None) -> None:
    """Run a server as `serve` does."""
    # pygls logs whole messages, and with them the user's code.
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    try:
        if tcp:
            server.start_tcp(*tcp)
        else:
            output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
            # What anything else prints must not get between the messages.
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            server.start_io(sys.stdin.buffer, output)
    finally:
        server.stop()
    sys.exit(0 if server.protocol.was_shut_down else 1)


def initialize(ls: FlashServer, params: types.InitializeParams) -> None:
    ls.protocol.trace = params.trace or types.TraceValue.Off
    document = params.capabilities.text_document
    ls.uses_inline_completion = bool(document and document.inline_completion)
    # Neovim fills it from a visual selection, never from its menu.
    ls.trusts_selected_entry = not (params.client_info and params.client_info.name == "Neovim")
    ls.set_defaults(params.initialization_options)
    wanted = ls.settings.completion
    if wanted == "always" or (wanted == "auto" and not ls.uses_inline_completion):
        ls.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions())(completion)


async def initialized(ls: FlashServer, params: types.InitializedParams) -> None:
    await _follow_configuration(ls)
    await ls.load()


def shutdown(ls: FlashServer, params: None) -> None:
    ls.close_documents()


async def did_change_configuration(ls: FlashServer, params: types.DidChangeConfigurationParams) -> None:
    if isinstance(params.settings, dict) and SECTION in params.settings:
        ls.configure(params.settings)
    else:
        await _pull_configuration(ls)
    if not ls.is_up_to_date:
        await ls.reload()


def did_change_folders(ls: FlashServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
    ls.follow_files()


def did_open(ls: FlashServer, params: types.DidOpenTextDocumentParams) -> None:
    ls.open_document(params.text_document)


def did_change(ls: FlashServer, params: types.DidChangeTextDocumentParams) -> None:
    ls.change_document(params)


def did_close(ls: FlashServer, params: types.DidCloseTextDocumentParams) -> None:
    ls.close_document(params.text_document.uri)


async def inline_completion(
    ls: FlashServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList | None:
    ls.uses_inline_completion = True
    session = ls.session(params.text_document.uri)
    if session is None:
        return None
    document, encoding = session.document, ls.encoding
    start = end = document.offset(params.position.line, params.position.character, encoding)
    chosen = ""
    info = params.context.selected_completion_info
    if ls.trusts_selected_entry and (entry := selected_entry(document, params.position, info, encoding)):
        start, chosen = entry
    replaced = types.Range(
        types.Position(*document.position(start, encoding)), types.Position(*document.position(end, encoding))
    )
    invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    if invoked:  # to choose among, so it may take its time
        reply = await ls.ask(
            session,
            start,
            end,
            chosen=chosen,
            invoked=True,
            candidates=_CANDIDATES,
            deadline_ms=ls.settings.hold_ms,
        )
    else:
        reply = await ls.ask(session, start, end, chosen=chosen)
    return inline_list([reply.text, *reply.others], chosen, replaced) if reply.text else None


async def completion(ls: FlashServer, params: types.CompletionParams) -> types.CompletionList | None:
    session = ls.session(params.text_document.uri)
    wanted = ls.settings.completion
    if session is None or wanted == "never" or (wanted == "auto" and ls.uses_inline_completion):
        return None
    document, encoding = session.document, ls.encoding
    offset = document.offset(params.position.line, params.position.character, encoding)
    # A menu keeps what it is given: it gets whole lines.
    asked_for = params.context and params.context.trigger_kind == types.CompletionTriggerKind.Invoked
    candidates = _CANDIDATES if asked_for else 1
    reply = await ls.ask(session, offset, offset, candidates=candidates, deadline_ms=ls.settings.hold_ms)
    return completion_list(document, offset, [reply.text, *reply.others], encoding) if reply.text else None


async def _follow_configuration(ls: FlashServer) -> None:
    """Read the client's configuration, and have it say when that changes, as far as it can."""
    workspace = ls.client_capabilities.workspace
    changes = workspace and workspace.did_change_configuration
    if changes and changes.dynamic_registration:
        ls.client_register_capability(
            types.RegistrationParams(
                [
                    types.Registration(
                        SECTION,
                        types.WORKSPACE_DID_CHANGE_CONFIGURATION,
                        types.DidChangeConfigurationRegistrationOptions(section=SECTION),
                    )
                ]
            )
        )
    await _pull_configuration(ls)


async def _pull_configuration(ls: FlashServer) -> None:
    workspace = ls.client_capabilities.workspace
    if not (workspace and workspace.configuration):
        return
    request = ls.workspace_configuration_async(
        types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
    )
    try:
        answer = await asyncio.wait_for(request, _CONFIGURATION_WAIT)
    except (TimeoutError, JsonRpcException):
        return
    if answer:
        ls.configure(answer[0])
