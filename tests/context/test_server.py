"""The real server with the bundled model: context of other files, small windows first, full ones behind."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Client, connect

pytest.importorskip("flash_engine._native", reason="the native backend is not built")
pytestmark = pytest.mark.bundled

SERVE = (sys.executable, "-m", "flash_lsp", "serve")
PATIENT: dict[str, Any] = {"deadlineMs": 10_000, "holdMs": 20_000, "decodeAhead": False}
SHAPES = '"""Shapes."""\n\n\ndef wobbly_area(width, height, wobble):\n    return width * height * wobble\n'
MAIN = "from shapes import wobbly_area\n\n\ndef main():\n    print(wobbly_"


async def behind(client: Client) -> int:
    """The tokens computed behind, once no more are."""
    await client.loaded()
    before = -1
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0.6)
            tokens = int((await client.command("flash-lsp.stats"))["behind_tokens"])
            if tokens == before:
                return tokens
            before = tokens


async def test_a_context_is_computed_behind_and_typing_reuses_it(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text(SHAPES, encoding="utf-8")
    async with connect("nvim-0.12.4", command=SERVE, **PATIENT) as client:
        document = client.open(MAIN, uri=(tmp_path / "main.py").as_uri())
        await client.suggest(document, len(MAIN))
        without = client.records[-1]["prompt_tokens"]
        computed = await behind(client)
        assert computed > 0
        client.edit(document, len(document.text), 0, "Q")
        await client.suggest(document, len(document.text))
        record = client.records[-1]
        assert record["prompt_tokens"] > without + 15, "the outline of shapes.py is in the prompt"
        assert record["kv_hit_rate"] > 0.9
        client.edit(document, len(document.text) - 1, 1, "w")
        await client.suggest(document, len(document.text))
        assert client.records[-1]["kv_hit_rate"] > 0.9
        assert await behind(client) == computed, "nothing new is computed behind while the user types"


@pytest.mark.parametrize("off", ["setting", "secret", "ignored"])
async def test_what_may_not_become_context(tmp_path: Path, off: str) -> None:
    (tmp_path / "shapes.py").write_text(SHAPES, encoding="utf-8")
    if off == "ignored":
        (tmp_path / ".flashignore").write_text("shapes.py\n", encoding="utf-8")
    if off == "secret":
        (tmp_path / "shapes.py").write_text('password = "hunter2hunter2"\n', encoding="utf-8")
    settings = PATIENT | ({"contextTokens": 0} if off == "setting" else {})
    async with connect("nvim-0.12.4", command=SERVE, **settings) as client:
        document = client.open(MAIN, uri=(tmp_path / "main.py").as_uri())
        await client.suggest(document, len(MAIN))
        assert await behind(client) == 0


@pytest.mark.parametrize("kept", [0, 10])
async def test_private_text_is_no_context_of_prompts_that_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    vault = tmp_path / "vault"
    vault.mkdir()
    (vault / ".flash-lsp-private").touch()
    (vault / "shapes.py").write_text(SHAPES, encoding="utf-8")
    text = MAIN.replace("shapes", "vault.shapes", 1)
    async with connect("nvim-0.12.4", command=SERVE, **PATIENT, kvStoreMb=kept) as client:
        document = client.open(text, uri=(tmp_path / "main.py").as_uri())
        await client.suggest(document, len(text))
        assert (await behind(client) > 0) == (kept == 0)
