"""A program in a real terminal: keys in, the screen out, also as a picture."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text

_COLOURS = [SVG_EXPORT_THEME.ansi_colors[index] for index in range(16)]
_THEME = TerminalTheme((20, 22, 27), (224, 226, 234), _COLOURS[:8], _COLOURS[8:])

# Without the fonts that rich would have fetched from the network.
_PICTURE = re.sub(r"\s*@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


class Terminal:
    """One tmux server with one window, in which `command` runs."""

    def __init__(
        self, command: list[str], *, environment: dict[str, str], columns: int = 72, rows: int = 16
    ) -> None:
        self._columns = columns
        self._tmux = ["tmux", "-L", f"flash-lsp-{id(self)}-{time.monotonic_ns()}", "-f", "/dev/null"]
        size = ["-x", str(columns), "-y", str(rows)]
        settings = [f"-e{name}={value}" for name, value in environment.items()]
        self._run("new-session", "-d", *size, *settings, *command)

    def keys(self, *keys: str) -> None:
        """Presses keys by tmux' names."""
        self._run("send-keys", *keys)

    def type(self, text: str) -> None:
        self._run("send-keys", "-l", text)

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def wait(self, condition: Callable[[str], object], *, seconds: float = 30) -> str:
        """The screen, once `condition` holds of it."""
        end = time.monotonic() + seconds
        while not condition(screen := self.screen()):
            assert time.monotonic() < end, f"what was waited for did not come; the screen:\n{screen}"
            time.sleep(0.05)
        return screen

    def settled(self) -> str:
        """The screen, once it has been the same for a second."""
        before = ""
        while (screen := self.screen()) != before:
            before = screen
            time.sleep(1)
        return screen

    def save_picture(self, path: Path, title: str) -> None:
        """Writes the screen as it is, with its colours, as an SVG file."""
        console = Console(record=True, width=self._columns, file=StringIO(), force_terminal=True)
        console.print(Text.from_ansi(self._run("capture-pane", "-p", "-e", "-N")))
        path.parent.mkdir(parents=True, exist_ok=True)
        console.save_svg(str(path), title=title, theme=_THEME, code_format=_PICTURE)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _run(self, *command: str) -> str:
        return subprocess.run([*self._tmux, *command], check=True, capture_output=True, text=True).stdout
