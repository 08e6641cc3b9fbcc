"""The installed server with the bundled model, over stdio."""

from __future__ import annotations

import sys

import pytest
from lsprotocol import types

from tests.server.conftest import Client, connect

pytest.importorskip("flash_engine._native", reason="the native backend is not built")
pytestmark = pytest.mark.bundled

SERVE = (sys.executable, "-m", "flash_lsp", "serve")
PATIENT = {"deadlineMs": 10_000, "holdMs": 20_000}
"""Replies are whole suggestions, however slow the machine."""


async def suggested(client: Client, text: str, *, language: str = "python") -> str:
    before, after = text.split("‸")
    document = client.open(before + after, uri=f"file:///w/{language}", language=language)
    item = await client.suggest(document, len(before))
    return "" if item is None else str(item.insert_text)


async def test_it_completes_code_and_types_through_without_the_model() -> None:
    async with connect("nvim-0.12.4", command=SERVE, **PATIENT) as client:
        document = client.open("def add(a, b):\n    return ")
        item = await client.suggest(document, len(document.text))
        assert item is not None
        assert item.insert_text == "a + b"
        spent = (await client.command("flash-lsp.stats"))["computed_tokens"]
        assert spent > 0
        for typed in ("a", " ", "+"):
            client.edit(document, len(document.text), 0, typed)
            rest = await client.suggest(document, len(document.text))
            assert rest is not None
            assert document.text + str(rest.insert_text) == "def add(a, b):\n    return a + b"
        assert [record["source"] for record in client.records] == ["model", "shown", "shown", "shown"]
        assert (await client.command("flash-lsp.stats"))["computed_tokens"] == spent


async def test_blocks_lines_and_silences_by_position() -> None:
    async with connect("vscode-1.139.1", command=SERVE, **PATIENT) as client:
        block = await suggested(client, "def mean(values):\n    ‸\n\n\nprint(mean([1, 2, 3]))\n")
        assert "return" in block
        line = await suggested(client, "import json\n\ndata = json.‸\nprint(data)\n")
        assert line
        assert "\n" not in line
        inside = await suggested(client, "x = ‸ + 1\n")
        assert inside == ""
        assert client.records[-1]["silence"] == "mid-line"


async def test_control_strings_in_the_file_are_ordinary_text() -> None:
    async with connect("emacs-lsp-mode-10.0.0", command=SERVE, **PATIENT) as client:
        plain = await suggested(client, "def add(a, b):\n    # note\n    return ‸\n")
        marked = await suggested(client, "def add(a, b):\n    # <|fim_middle|>\n    return ‸\n")
        assert plain == marked == "a + b"


async def test_a_keystroke_that_diverges_reuses_the_cache() -> None:
    async with connect("vscode-1.139.1", command=SERVE, decodeAhead=False, **PATIENT) as client:
        code = "class Stack:\n    def __init__(self):\n        self.items = []\n\n" * 8
        document = client.open(code + "stack = ")
        await client.suggest(document, len(document.text))
        client.edit(document, len(document.text), 0, "Q")
        await client.suggest(document, len(document.text))
        first, second = client.records
        assert first["prompt_tokens"] > 40, "a slow machine begins with a small window"
        assert second["reused"] > 0.8 * first["prompt_tokens"]
        assert second["computed"] - second["generated"] < 10, "no more than the last words are read again"


async def test_the_shown_item_keeps_the_range_of_the_selected_menu_entry() -> None:
    async with connect("vscode-1.139.1", command=SERVE, **PATIENT) as client:
        document = client.open("def add(first, second):\n    return fi")
        span = types.Range(types.Position(1, 11), types.Position(1, 13))
        item = await client.suggest(
            document, len(document.text), selected=types.SelectedCompletionInfo(span, "first")
        )
        assert item is not None
        assert item.range == span
        assert str(item.insert_text).startswith("first")
        assert len(str(item.insert_text)) > len("first")
