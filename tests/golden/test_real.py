"""Golden cases with the bundled model and the installed server, one process for all of them, over stdio.

What is shown is the model's own greedy text, which is the same on every machine with the native engine.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
import pytest_asyncio
from lsprotocol import types

from tests.golden.cases import Case, check, document, load
from tests.server.conftest import Client, connect

pytest.importorskip("flash_engine._native", reason="the native backend is not built")
pytestmark = [pytest.mark.bundled, pytest.mark.asyncio(loop_scope="module")]

PATIENT = {"deadlineMs": 10_000, "holdMs": 20_000}
"""Replies are whole suggestions, however slow the machine."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client() -> AsyncIterator[Client]:
    command = (sys.executable, "-m", "flash_lsp", "serve")
    async with connect("vscode-1.139.1", command=command, **PATIENT) as client:
        await client.loaded()  # else the first reply may be what there is at the deadline
        yield client


class Real:
    """One document of the client."""

    _numbers = itertools.count()

    def __init__(self, client: Client, case: Case) -> None:
        text, self.cursor = document(case)
        uri = f"file:///w/golden{next(self._numbers)}/{case['file']}"
        self._client = client
        self._document = client.open(text, uri, case["language"])

    @property
    def text(self) -> str:
        return self._document.text

    def edit(self, start: int, removed: int, inserted: str) -> None:
        self._client.edit(self._document, start, removed, inserted)
        self.cursor = start + len(inserted)

    async def ask(self, *, invoked: bool) -> SimpleNamespace:
        answer = await self._client.lsp.text_document_inline_completion_async(
            types.InlineCompletionParams(
                types.InlineCompletionContext(types.InlineCompletionTriggerKind(1 if invoked else 2)),
                types.TextDocumentIdentifier(self._document.uri),
                self._client.position(self._document, self.cursor),
            )
        )
        here = types.Range(*[self._client.position(self._document, self.cursor)] * 2)
        items = answer.items if isinstance(answer, types.InlineCompletionList) else []
        assert all(item.range == here for item in items)
        first, *others = [str(item.insert_text) for item in items] or [""]
        return SimpleNamespace(text=first, silence=self._client.records[-1]["silence"], others=tuple(others))

    def close(self) -> None:
        self._client.lsp.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(self._document.uri))
        )


@pytest.mark.parametrize("case", load("real"))
async def test_real(client: Client, case: Case) -> None:
    screen = Real(client, case)
    try:
        await check(case, screen)
    finally:
        screen.close()
