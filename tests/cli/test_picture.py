"""The demo as a person sees it, in a real terminal; the picture that the README shows is made here."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from editors.terminal import Terminal

pytestmark = [
    pytest.mark.bundled,
    pytest.mark.skipif(not shutil.which("tmux"), reason="needs tmux"),
]


def test_the_demo_shows_code_ghost_text_and_latency(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flash_lsp", "demo", "--keys", "60"]
    environment = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PATH": os.environ["PATH"]}
    with Terminal(command, environment=environment, columns=100, rows=28) as terminal:
        terminal.wait(lambda screen: "from cache" in screen and "class" in screen, seconds=60)
        terminal.save_picture(tmp_path / "demo.svg", "flash-lsp demo")
        wanted = os.environ.get("FLASH_DEMO_PICTURE")
        if wanted:
            shutil.copy(tmp_path / "demo.svg", wanted)
    assert "<svg" in (tmp_path / "demo.svg").read_text(encoding="utf-8")
