"""Drafts are taken from documents that are open or edited, in none of which anything was ever asked for."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from flash_lsp.study import Changes
from tests.server.conftest import Client, connect

SERVE = (sys.executable, "-m", "flash_lsp", "serve")
TEXT = "def wobbly_area(width, height, wobble):\n    return width * height * wobble\n" * 30


async def test_changes_are_told_once_and_only_of_open_documents() -> None:
    told: list[tuple[str, str]] = []
    changes = Changes(asyncio.get_running_loop(), lambda name, text: told.append((name, text)))
    changes.note("a", lambda: "old")
    changes.note("b", lambda: "b")
    changes.note("secret", lambda: None)
    changes.note("closed", lambda: "c")
    changes.forget("closed")
    changes.note("a", lambda: "new")
    assert not told, "nothing is read while edits go on"
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0.05)
    assert told == [("b", "b"), ("a", "new")]


async def text_tokens(client: Client, least: int) -> int:
    """What drafts may be taken from, once it is `least` tokens or for a second."""
    tokens = 0
    for _ in range(20):
        stats: dict[str, Any] = await client.command("flash-lsp.stats")
        tokens = (stats["speculation"] or {}).get("text_tokens", 0)
        if tokens >= least:
            break
        await asyncio.sleep(0.1)
    return tokens


@pytest.mark.bundled
async def test_open_and_edited_documents_are_read_but_not_those_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("flash_engine._native", reason="the native backend is not built")
    async with connect("nvim-0.12.4", command=SERVE, deadlineMs=10_000, holdMs=20_000) as client:
        secret = client.open(TEXT, uri=(tmp_path / ".env").as_uri())
        asked = client.open("x = ", uri=(tmp_path / "asked.py").as_uri())
        await client.suggest(asked, 4)
        client.edit(secret, 0, 0, "# more\n")
        before = await text_tokens(client, 300)
        assert before < 300, "a file with a secret is not read"
        other = client.open(TEXT, uri=(tmp_path / "other.py").as_uri())
        opened = await text_tokens(client, before + 300)
        assert opened >= before + 300
        client.edit(other, len(other.text), 0, TEXT.replace("wobbl", "shak"))
        assert await text_tokens(client, opened + 300) >= opened + 300
