"""End to end over stdio, with the initialize payloads that real editors send."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from flash_lsp.text import Document
from tests.server.conftest import PAYLOADS, Client, connect, until

ENCODINGS = {"vscode": "utf-16", "nvim": "utf-8", "emacs": "utf-32"}


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_typing_a_line_with_wide_characters(payload: str) -> None:
    async with connect(payload) as client:
        assert client.encoding == ENCODINGS[payload.split("-")[0]]
        assert client.capabilities.inline_completion_provider is not None
        text = "s = '👋🏽'\x0c\u2028; grüße = '👋🏽 wörl'\ngr"
        document = client.open(text)
        client.edit(document, len(text), 0, "üße = '👋")
        end = len(document.text)
        item = await client.suggest(document, end)
        assert item is not None
        assert item.insert_text == "🏽 wörld' + name"
        assert item.range == types.Range(client.position(document, end), client.position(document, end))
        client.edit(document, end, 0, "🏽 w")
        item = await client.suggest(document, end + 3)
        assert item is not None
        assert item.insert_text == "örld' + name"
        assert [record["source"] for record in client.records] == ["model", "shown"]
        client.edit(document, 5, 1, "")
        assert (await client.suggest(document, end + 2)) is not None, (
            "the text store agrees after an edit above"
        )


async def test_a_reply_at_the_deadline_is_followed_by_ready() -> None:
    async with connect("vscode-1.139.1", "--token-ms", "30") as client:
        document = client.open("total = com")
        item = await client.suggest(document, 11)
        assert item is not None
        shown = str(item.insert_text)
        assert "pute(first, second)".startswith(shown)
        assert shown != "pute(first, second)"
        await until(lambda: client.readies)
        ready = client.readies[0]
        assert (ready.uri, ready.version) == (document.uri, 1)
        assert (ready.position.line, ready.position.character) == (0, 11)
        item = await client.suggest(document, 11)
        assert item is not None
        assert item.insert_text == "pute(first, second)"
        first, second = client.records
        assert (first["complete_line"], second["complete_line"]) == (False, True)
        assert second["source"] == "shown"


async def test_superseding_cancelling_and_the_answer_after_them(tmp_path: Path) -> None:
    patient = {"deadlineMs": 10_000, "holdMs": 20_000}
    speaks = tmp_path / "speaks"
    async with connect("nvim-0.12.4", "--silent-until", str(speaks), **patient) as client:
        document = client.open("total = ")
        older = asyncio.create_task(client.suggest(document, 8))
        newer = asyncio.create_task(client.suggest(document, 8))
        assert await older is None
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
            types.TextDocumentIdentifier(document.uri),
            client.position(document, 8),
        )
        cancelled = client.lsp.protocol.send_request(
            types.TEXT_DOCUMENT_INLINE_COMPLETION, params, msg_id="mine"
        )
        assert await newer is None
        client.lsp.cancel_request(types.CancelParams("mine"))
        with pytest.raises(JsonRpcException) as error:
            await asyncio.wrap_future(cancelled)
        assert error.value.code == -32800
        speaks.touch()
        assert await client.suggest(document, 8) is not None
        silences = [record["silence"] for record in client.records]
        assert silences == ["superseded", "superseded", "cancelled", None]


async def test_loading_is_shown_and_requests_are_held_meanwhile() -> None:
    async with connect("vscode-1.139.1", "--load-ms", "300") as client:
        document = client.open("total = ")
        item = await client.suggest(document, 8)
        assert item is not None, "held until the model was there"
        assert client.records[0]["held"]
        assert [status.state for status in client.statuses] == ["loading", "ready"]
        bars = client.lsp.progress_reports
        await until(lambda: any(isinstance(bar[-1], types.WorkDoneProgressEnd) for bar in bars.values()))
        (reports,) = bars.values()
        assert isinstance(reports[0], types.WorkDoneProgressBegin)
        assert any(isinstance(each, types.WorkDoneProgressReport) for each in reports)
    async with connect("vscode-1.139.1", "--load-ms", "1500") as client:
        assert await client.suggest(client.open("total = "), 8) is None
        assert client.records[0]["silence"] == "loading"


async def test_a_silence_is_explained_once_and_taken_back() -> None:
    async with connect("vscode-1.139.1") as client:
        document = client.open("total = \nnothing\n")
        assert await client.suggest(document, 8) is not None
        for _ in range(2):
            assert await client.suggest(document, 16) is None
        assert await client.suggest(document, 8) is not None
        states = [(status.state, getattr(status, "reason", None)) for status in client.statuses]
        assert states == [("loading", None), ("ready", None), ("silent", "blank"), ("ready", None)]


async def test_a_model_that_cannot_be_loaded_is_reported_once() -> None:
    async with connect("vscode-1.139.1", "--fail", model="missing") as client:
        assert await client.loaded() == "error"
        assert client.statuses[-1].message == "missing: no such model"
        assert await client.suggest(client.open("total = "), 8) is None
        assert client.records[-1]["silence"] == "engine-error"
        assert [message.message for message in client.lsp.messages] == ["flash-lsp: missing: no such model"]


async def test_an_error_in_the_engine_is_a_silence_and_the_next_request_works() -> None:
    async with connect() as client:
        document = client.open("boom = ")
        assert await client.suggest(document, 7) is None
        assert client.records[-1]["silence"] == "engine-error"
        client.edit(document, 0, 7, "total = ")
        assert await client.suggest(document, 8) is not None


async def test_a_selected_menu_entry_is_extended_in_its_own_range() -> None:
    async with connect() as client:
        document = client.open("total = co")
        span = types.Range(types.Position(0, 8), types.Position(0, 10))
        info = types.SelectedCompletionInfo(span, "compute")
        item = await client.suggest(document, 10, selected=info)
        assert item is not None
        assert (item.insert_text, item.range) == ("compute(first, second)", span)
        beyond = types.SelectedCompletionInfo(
            types.Range(types.Position(0, 8), types.Position(0, 9)), "compute"
        )
        item = await client.suggest(document, 10, selected=beyond)
        assert item is not None
        assert item.insert_text == "mpute(first, second)"


async def test_several_items_for_who_asks_by_hand() -> None:
    async with connect("vscode-1.139.1") as client:
        document = client.open("total = co")
        answer = await client.lsp.text_document_inline_completion_async(
            types.InlineCompletionParams(
                types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
                types.TextDocumentIdentifier(document.uri),
                client.position(document, 10),
            )
        )
        assert isinstance(answer, types.InlineCompletionList)
        assert [item.insert_text for item in answer.items] == ["mpute(first, second)", "m0", "m1"]
        assert len({str(item.range) for item in answer.items}) == 1
    async with connect("emacs-lsp-mode-10.0.0") as client:
        client.open("total = co")
        for kind, labels in (
            (types.CompletionTriggerKind.TriggerForIncompleteCompletions, ["compute(first, second)"]),
            (types.CompletionTriggerKind.Invoked, ["compute(first, second)", "com0", "com1"]),
        ):
            answer = await client.lsp.text_document_completion_async(
                types.CompletionParams(
                    types.TextDocumentIdentifier("file:///w/a.py"),
                    types.Position(0, 10),
                    types.CompletionContext(kind),
                )
            )
            assert isinstance(answer, types.CompletionList)
            assert [item.label for item in answer.items] == labels


async def test_neovim_selected_text_is_ignored() -> None:
    async with connect("nvim-0.12.4") as client:
        document = client.open("total = co")
        span = types.Range(types.Position(0, 8), types.Position(0, 10))
        item = await client.suggest(
            document, 10, selected=types.SelectedCompletionInfo(span, "compute"), kind=1
        )
        assert item is not None
        assert item.insert_text == "mpute(first, second)"
        assert item.range == types.Range(types.Position(0, 10), types.Position(0, 10))


async def test_the_completion_menu_is_for_clients_without_ghost_text() -> None:
    def menu(document: Document) -> types.CompletionParams:
        return types.CompletionParams(types.TextDocumentIdentifier(document.uri), types.Position(0, 10))

    async with connect("emacs-lsp-mode-10.0.0") as client:
        assert client.capabilities.completion_provider is not None
        document = client.open("total = co")
        answer = await client.lsp.text_document_completion_async(menu(document))
        assert isinstance(answer, types.CompletionList)
        (item,) = answer.items
        assert answer.is_incomplete
        assert item.label == item.filter_text == "compute(first, second)"
        span = types.Range(types.Position(0, 8), types.Position(0, 10))
        assert item.text_edit == types.TextEdit(span, "compute(first, second)")
        await client.suggest(document, 10)
        assert await client.lsp.text_document_completion_async(menu(document)) is None, "it has ghost text"
    async with connect("vscode-1.139.1") as client:
        assert client.capabilities.completion_provider is None
    async with connect("vscode-1.139.1", completion="always") as client:
        document = client.open("total = co")
        assert await client.lsp.text_document_completion_async(menu(document)) is not None


async def test_settings_from_every_source_and_wrong_ones_named() -> None:
    async with connect(
        configuration={"disabledLanguages": ["python"]}, deadlineMs="soon", colour="red"
    ) as client:
        await client.loaded()
        shown = [message.message for message in client.lsp.messages]
        assert shown[0] == (
            "flash-lsp: deadlineMs: 'soon' is not a whole number from 1 to 10000 (milliseconds from a request to "
            "the best reply that is ready): kept 50"
        )
        assert shown[1].startswith("flash-lsp: colour is not a setting")
        document = client.open("total = ")
        assert await client.suggest(document, 8) is None
        assert client.records[-1]["silence"] == "disabled"
        client.lsp.set_configuration({"disabled_languages": []}, section="flash-lsp")
        client.lsp.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
        await until_suggested(client, document, 8)
        settings = {"flash-lsp": {"enabled": False}}
        client.lsp.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))
        assert await client.suggest(document, 8) is None


async def until_suggested(client: Client, document: Document, offset: int) -> None:
    async with asyncio.timeout(20):
        while await client.suggest(document, offset) is None:
            await asyncio.sleep(0.01)


async def test_trace_follows_set_trace() -> None:
    async with connect(trace="off") as client:
        document = client.open("total = ")
        await client.suggest(document, 8)
        client.lsp.set_trace(types.SetTraceParams(types.TraceValue.Messages))
        await client.suggest(document, 8)
        client.lsp.set_trace(types.SetTraceParams(types.TraceValue.Verbose))
        await client.suggest(document, 8)
        assert [(trace.message, trace.verbose is None) for trace in client.traces] == [
            ("flash-lsp reply", True),
            ("flash-lsp reply", False),
        ]


async def test_stats_count_replies_and_tokens() -> None:
    async with connect() as client:
        document = client.open("total = ")
        for _ in range(3):
            await client.suggest(document, 8)
        stats = await client.command("flash-lsp.stats")
        assert stats["requests"] == 3
        assert stats["sources"] == {"model": 1, "shown": 2}
        assert stats["computed_tokens"] == stats["generated_tokens"] == 7
        assert stats["documents"] == 1


async def test_closed_and_unknown_documents_get_null() -> None:
    async with connect() as client:
        document = client.open("total = ")
        assert await client.suggest(document, 8) is not None
        client.lsp.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(document.uri))
        )
        assert await client.suggest(document, 8) is None
        client.edit(document, 0, 0, "x")
        again = client.open("total = ")
        assert await client.suggest(again, 8) is not None
