"""Neovim in a real terminal, with the real server: what the user sees. Keeps a picture of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..terminal import Terminal
from .conftest import EDITORS, PLUGIN, PROGRAMS, REAL_SERVER, wait_for

pytestmark = pytest.mark.bundled

TEXT = """import csv


def read_rows(path):
    with open(path) as file:
        return list(csv.reader(file))

"""
TYPED = "def write_rows(path, rows):"

INIT = """
vim.opt.termguicolors = true
vim.opt.number = true
vim.opt.swapfile = false
vim.opt.laststatus = 2
vim.opt.statusline = " %t %= %{{v:lua.require'flash_lsp'.statusline()}} "
vim.opt.runtimepath:prepend({plugin!r})
require('flash_lsp').setup({{ cmd = {{ {server} }} }})
"""


@pytest.fixture
def terminal(program: Path, tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    server = ", ".join(f"'{part}'" for part in REAL_SERVER)
    (tmp_path / "init.lua").write_text(INIT.format(plugin=str(PLUGIN), server=server))
    (tmp_path / "rows.py").write_text(TEXT)
    environment = {f"XDG_{name}_HOME": str(tmp_path) for name in ("CONFIG", "DATA", "STATE", "CACHE")}
    command = [str(program), "--clean", "-u", str(tmp_path / "init.lua"), str(tmp_path / "rows.py")]
    with Terminal(command, environment=environment) as terminal:
        yield terminal


def below(screen: str, line: str) -> list[str]:
    """The lines of text below one, without the numbers' column; a virtual line has no number."""
    lines = [text[4:].rstrip() for text in screen.splitlines() if not text.startswith("~")]
    return lines[lines.index(line) + 1 : -2] if line in lines else []


def test_a_block_is_shown_and_accepted(terminal: Terminal, program: Path, tmp_path: Path) -> None:
    terminal.wait(lambda screen: "flash: ready" in screen, seconds=60)
    terminal.keys("G", "o")
    terminal.type(TYPED)
    terminal.wait(lambda screen: len(below(screen, TYPED)) > 1)
    shown = below(terminal.settled(), TYPED)
    version = next(version for version, path in PROGRAMS.items() if path == program)
    terminal.save_picture(EDITORS / "pictures" / f"neovim-{version}.svg", f"Neovim {version}")
    terminal.keys("Tab", "Escape")
    terminal.type(":w\r")
    wait_for(lambda: (tmp_path / "rows.py").read_text() != TEXT)
    assert (tmp_path / "rows.py").read_text() == "\n".join([f"{TEXT}{TYPED}", *shown, ""])
