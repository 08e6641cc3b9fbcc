"""The server behind the editor: its life, what it says of itself, the commands and the health page."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from pynvim.api.common import NvimError

from .conftest import PLUGIN, Neovim, Start, wait_for

RULES = [{"before": "def a", "replies": [{"texts": ["dd(a, b):"]}]}]


@pytest.fixture(scope="module")
def shared(program: Path, start: Start) -> Neovim:
    return start(program, RULES)


@pytest.fixture
def editor(shared: Neovim, tmp_path: Path) -> Neovim:
    """With an empty file, for tests that leave the server as it was."""
    shared.type("<C-\\><C-n>")
    shared.api.command(f"only! | edit! {tmp_path / 'empty.py'}")
    return shared


def test_a_crashed_server_is_started_again(program: Path, start: Start) -> None:
    editor = start(program, RULES)
    os.kill(editor.events("initialize")[0]["pid"], signal.SIGKILL)
    wait_for(lambda: len(editor.events("initialize")) == 2)
    wait_for(editor.attached)
    editor.fill("")
    editor.type("def a")
    editor.wait_ghost("dd(a, b):")
    editor.type("<Tab>")
    wait_for(lambda: editor.text == "def add(a, b):")


def test_a_server_that_keeps_crashing_is_given_up(program: Path, start: Start) -> None:
    editor = start(program, RULES)
    editor.lua("require('flash_lsp.recovery').on_exit(...)", 1, 0)
    for _ in range(5):
        editor.lua("require('flash_lsp.recovery').on_exit(...)", 1, 0)
    wait_for(lambda: "not started again" in editor.api.command_output("messages"))


def test_restart_pause_and_statistics(program: Path, start: Start) -> None:
    editor = start(program, RULES)
    wait_for(lambda: editor.status() == "flash: ready")
    editor.api.command("FlashLsp restart")
    wait_for(lambda: len(editor.events("initialize")) == 2)
    wait_for(editor.attached)

    editor.api.command("FlashLsp toggle")
    assert editor.status() == "flash: paused"
    wait_for(
        lambda: any(
            event["params"]["settings"]["flash-lsp"].get("enabled") is False
            for event in editor.events("workspace/didChangeConfiguration")
        )
    )
    asked = len(editor.events("inlineCompletion"))
    editor.fill("")
    editor.type("def a")
    wait_for(lambda: editor.text == "def a")
    editor.api.command("FlashLsp toggle")
    editor.type("<BS>a")
    editor.wait_ghost("dd(a, b):")
    assert [event["before"] for event in editor.events("inlineCompletion")[asked:]].count("def ") <= 1

    editor.type("<Esc>")
    editor.api.command("FlashLsp stats")
    wait_for(lambda: "requests =" in editor.api.command_output("messages"))
    with pytest.raises(
        NvimError, match="clear, doctor, language, log, reload, restart, snooze, stats, status, toggle, why"
    ):
        editor.api.command("FlashLsp nonsense")


ANSWERS = {
    "flash-lsp.snooze": {"minutes": 25},
    "flash-lsp.toggle": {"language": "python", "enabled": False},
    "flash-lsp.explainLastSilence": {"reason": "mid-line", "message": "there is code right of the cursor"},
    "flash-lsp.reload": {"message": "flash-coder on native"},
    "flash-lsp.clearCaches": None,
}
SAID = {
    "snooze 25": "no suggestions for 25 minutes",
    "language": "off for python",
    "why": "there is code right of the cursor (mid-line)",
    "reload": "flash-coder on native",
    "clear": "caches cleared",
    "stats": "no server in this buffer that offers flash-lsp.stats",
}


def test_commands_that_the_server_runs(program: Path, start: Start) -> None:
    editor = start(program, RULES, commands=ANSWERS)
    for command, text in SAID.items():
        editor.api.command(f"FlashLsp {command}")
        wait_for(lambda text=text: text in editor.api.command_output("messages"))
    sent = [event["params"] for event in editor.events("workspace/executeCommand")]
    assert {"command": "flash-lsp.snooze", "arguments": [25]} in sent
    assert {"command": "flash-lsp.toggle", "arguments": ["python"]} in sent


def test_what_the_statusline_says(editor: Neovim) -> None:
    wait_for(lambda: editor.status() == "flash: ready")
    client = editor.lua("return require('flash_lsp.inline').client().id")
    said = {
        "flash: loading": {"state": "loading"},
        "flash: loading 34 %": {"state": "loading", "percent": 34},
        "flash: silent (mid-line)": {"state": "silent", "reason": "mid-line"},
        "flash: error": {"state": "error", "message": "no model"},
    }
    for text, status in said.items():
        editor.lua(
            "require('flash_lsp.status').on_status(nil, select(1, ...), { client_id = select(2, ...) })",
            status,
            client,
        )
        assert editor.status() == text
    editor.api.command("FlashLsp status")
    assert "no model" in editor.api.command_output("messages")


def test_one_server_for_all_folders_and_none_for_buffers_without_a_type(editor: Neovim) -> None:
    other = Path(editor.api.current.buffer.name).parent / "other"
    (other / ".git").mkdir(parents=True)
    (other / "more.py").write_text("")
    editor.api.command(f"edit {other / 'more.py'}")
    wait_for(editor.attached)
    added = wait_for(lambda: editor.events("workspace/didChangeWorkspaceFolders"))
    assert added[-1]["params"]["event"]["added"][0]["name"] == str(other)
    editor.api.command("enew")
    assert not editor.attached()
    assert len(editor.events("initialize")) == 1


def test_health(program: Path, start: Start) -> None:
    editor = start(program, RULES, keys={"accept_line": False})
    editor.api.command("inoremap <C-]> nothing")
    editor.api.command("checkhealth flash_lsp")
    page = wait_for(lambda: (text := editor.text) and "previous: <M-[>" in text and text)
    assert "Python 3" in page
    assert "columns in utf-8; 1 buffer(s)" in page
    assert "accept_line: no key" in page
    assert "dismiss: <C-]> is mapped to something else" in page
    assert "ERROR" not in page


def test_every_tag_of_the_help_file_is_found(editor: Neovim, tmp_path: Path) -> None:
    (tmp_path / "doc").mkdir()
    page = (PLUGIN / "doc" / "flash-lsp.txt").read_text()
    (tmp_path / "doc" / "flash-lsp.txt").write_text(page)
    editor.lua("vim.opt.runtimepath:append(...); vim.cmd.helptags(... .. '/doc')", str(tmp_path))
    for tag in re.findall(r"\|([^|\s]+)\|", page):
        editor.api.command(f"help {tag}")


def test_keys_keep_what_they_did(editor: Neovim) -> None:
    for mapping in (
        "inoremap <Tab> plain",
        "inoremap <expr> <Tab> 'expr'",
        "imap <Tab> <Plug>(thing)",
    ):
        editor.api.command("iunmap <Tab>")
        editor.api.command("inoremap <Plug>(thing) plug")
        editor.api.command(mapping)
        editor.lua("require('flash_lsp.keys').map()")
        editor.fill("")
        editor.type("<Tab>")
        wait_for(lambda: editor.text in ("plain", "expr", "plug"))
        editor.fill("")
        editor.type("def a")
        editor.wait_ghost("dd(a, b):")
        editor.type("<Tab>")
        wait_for(lambda: editor.text == "def add(a, b):")


def test_wrong_options_are_named(editor: Neovim) -> None:
    setup = "return { pcall(require('flash_lsp').setup, ...) }"
    assert "backend" in editor.lua(setup, {"backend": "magic"})[1]
    assert "keys.acept" in editor.lua(setup, {"keys": {"acept": "<Tab>"}})[1]
