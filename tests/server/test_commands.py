"""Commands, status notifications, and showing late, against the real server with a scripted model."""

from __future__ import annotations

import asyncio
import time

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from flash_lsp import protocol
from flash_lsp.commands import COMMANDS
from flash_lsp.filters.candidate import Silence
from flash_lsp.silences import EXPLANATIONS, explain
from tests.server.conftest import connect, until


async def test_what_is_advertised() -> None:
    async with connect("nvim-0.12.4") as client:
        assert client.capabilities.execute_command_provider is not None
        assert set(client.capabilities.execute_command_provider.commands) == set(COMMANDS)


async def test_pause_snooze_and_toggle() -> None:
    async with connect("nvim-0.12.4") as client:
        document = client.open("total = ")
        assert await client.suggest(document, 8) is not None

        async def silenced_by(command: str, *arguments: object) -> str | None:
            await client.command(command, *arguments)
            await client.suggest(document, 8)
            return str(client.records[-1]["silence"] or "")

        assert await silenced_by(protocol.PAUSE) == "paused"
        assert (client.statuses[-1].state, client.statuses[-1].reason) == ("paused", "paused")
        assert await silenced_by(protocol.RESUME) == ""
        assert client.statuses[-1].state == "ready"
        assert await silenced_by(protocol.SNOOZE, 5) == "snoozed"
        assert client.statuses[-1].reason == "snoozed"
        assert await silenced_by(protocol.SNOOZE, 0.01) == "snoozed"
        await until(lambda: client.statuses[-1].state == "ready", 3)
        assert await silenced_by(protocol.TOGGLE, "python") == "disabled"
        assert (await client.command(protocol.EXPLAIN))["reason"] == "disabled"
        assert await silenced_by(protocol.TOGGLE, "python") == ""


async def test_arguments_may_be_left_out() -> None:
    async with connect("nvim-0.12.4") as client:
        assert await client.command(protocol.TOGGLE) == {"language": "", "enabled": False}
        assert await client.command(protocol.TOGGLE) == {"language": "", "enabled": True}
        assert (await client.command(protocol.SNOOZE))["minutes"] == pytest.approx(10, abs=0.1)
        for command, wrong in ((protocol.TOGGLE, 1), (protocol.SNOOZE, "long"), (protocol.SNOOZE, True)):
            with pytest.raises(JsonRpcException, match=command):
                await client.command(command, wrong)


async def test_caches_are_cleared_and_the_model_reloaded_with_documents_open() -> None:
    async with connect("nvim-0.12.4") as client:
        document = client.open("total = ")
        assert await client.command(protocol.EXPLAIN) is None
        for command in (None, protocol.CLEAR_CACHES, protocol.RELOAD):
            if command:
                await client.command(command)
            assert await client.suggest(document, 8) is not None
        assert [record["source"] for record in client.records] == ["model"] * 3
        assert [status.state for status in client.statuses] == ["loading", "ready"] * 2


async def test_manual_only() -> None:
    async with connect("nvim-0.12.4", manualOnly=True) as client:
        document = client.open("total = ")
        assert await client.suggest(document, 8) is None
        assert client.records[-1]["silence"] == "manual-only"
        assert await client.suggest(document, 8, kind=1) is not None


async def test_shown_late_and_typed_through_at_once() -> None:
    async with connect("nvim-0.12.4", showAfterMs=400) as client:
        document = client.open("total =")
        client.edit(document, 7, 0, " ")
        began = time.monotonic()
        older = asyncio.create_task(client.suggest(document, 8))
        await asyncio.sleep(0.1)
        client.edit(document, 8, 0, "c")
        newer = asyncio.create_task(client.suggest(document, 9))
        assert await older is None
        assert time.monotonic() - began < 0.4, "answered when it was out of date"
        assert await newer is not None
        assert time.monotonic() - began >= 0.5
        client.edit(document, 9, 0, "o")
        began = time.monotonic()
        assert await client.suggest(document, 10) is not None
        assert time.monotonic() - began < 0.4
        assert await client.suggest(document, 10, kind=1) is not None
        assert [record["silence"] for record in client.records] == ["superseded", None, None, None]


async def test_a_changed_model_is_loaded() -> None:
    async with connect("nvim-0.12.4", configuration={}) as client:
        await client.loaded()
        client.lsp.set_configuration({"threads": 2}, section="flash-lsp")
        client.lsp.workspace_did_change_configuration(
            types.DidChangeConfigurationParams(settings={"flash-lsp": {"threads": 2}})
        )
        await until(lambda: len(client.statuses) == 4)
        assert [status.state for status in client.statuses] == ["loading", "ready"] * 2


async def test_a_model_that_may_write_worse_than_it_could_is_warned_of_once() -> None:
    async with connect("nvim-0.12.4", template="plain") as client:
        for command in (protocol.RELOAD, protocol.RELOAD):
            await client.loaded()
            await client.command(command)
        messages = [(message.type, message.message) for message in client.lsp.messages]
        assert messages == [(types.MessageType.Warning, "flash-lsp: no format is known")]


async def test_an_idle_model_is_unloaded_and_loaded_again_by_work() -> None:
    async with connect("nvim-0.12.4", unloadMinutes=0.005) as client:
        document = client.open("total =")
        assert await client.loaded() == "ready"
        await until(lambda: "unloaded" in client.statuses[-1].message)
        client.edit(document, 7, 0, " ")
        assert await client.suggest(document, 8) is not None
        assert [status.state for status in client.statuses][:4] == ["loading", "ready", "ready", "loading"]


async def test_edits_while_the_model_is_freed_are_not_lost() -> None:
    async with connect("nvim-0.12.4") as client:
        document = client.open("total")
        await client.loaded()
        reloading = asyncio.create_task(client.command(protocol.RELOAD))
        await asyncio.sleep(0)
        client.edit(document, 5, 0, " = ")
        await reloading
        assert await client.suggest(document, 8) is not None


def test_every_silence_is_explained() -> None:
    assert set(Silence) <= set(EXPLANATIONS)
    assert set(EXPLANATIONS) >= protocol.NOT_A_VERDICT
    assert explain("unheard-of") == "unheard-of"
