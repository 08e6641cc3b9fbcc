"""Real Neovims, driven over their own RPC, with the plugin and either the scripted or the real server."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

pynvim = pytest.importorskip("pynvim", reason="pynvim is not installed: pip install pynvim")

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parents[3]
PLUGIN = REPOSITORY / "editors" / "neovim"
EDITORS = REPOSITORY / ".cache" / "editors"
SCRIPTED_SERVER = REPOSITORY / "tests" / "editors" / "scripted_server.py"
PROGRAMS = {
    "0.11": EDITORS / "nvim-0.11" / "bin" / "nvim",
    "0.12-dev": EDITORS / "nvim-0.12-dev" / "bin" / "nvim",
    "0.12": EDITORS / "nvim-debian" / "nvim",
}
REAL_SERVER = [sys.executable, "-m", "flash_lsp", "serve"]


def wait_for(condition: Callable[[], T], *, seconds: float = 10) -> T:
    """What `condition` returns once it is true; asserts that it comes to be."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.02)
    return result


class Neovim:
    """One editor with one file open in it."""

    def __init__(
        self, program: Path, file: Path, server: list[str], options: dict[str, Any], log: Path
    ) -> None:
        self.api: Any = pynvim.attach("child", argv=[str(program), "--embed", "--headless", "--clean", "-n"])
        self.log_path = log
        self.lua("vim.opt.runtimepath:prepend(...)", str(PLUGIN))
        self.lua("vim.cmd.runtime('plugin/flash_lsp.lua')")
        self.lua(
            "_G.accepted = {}; vim.api.nvim_create_autocmd('User', { pattern = 'FlashLspAccepted',"
            "callback = function(event) table.insert(_G.accepted, event.data.text) end })"
        )
        self.lua("require('flash_lsp').setup(...)", {"cmd": server, **options})
        self.api.command(f"edit {file}")
        self.api.command("setlocal indentexpr= noautoindent noexpandtab")

    def lua(self, code: str, *arguments: Any) -> Any:
        return self.api.exec_lua(code, *arguments)

    def type(self, keys: str) -> None:
        self.api.input(keys)

    def fill(self, text: str) -> None:
        """Starts anew with this text: the cursor is behind it, in insert mode."""
        self.type("<C-\\><C-n>")
        self.lua("_G.accepted = {}")
        self.api.current.buffer[:] = text.split("\n")
        self.type("G$a")

    def attached(self) -> bool:
        return bool(
            self.lua("local c = require('flash_lsp.inline').client(); return c ~= nil and c.initialized")
        )

    def status(self) -> str:
        return str(self.lua("return require('flash_lsp').statusline()"))

    def suggestion(self) -> str | None:
        text = self.lua("return require('flash_lsp').suggestion()")
        return None if text is None else str(text)

    @property
    def mode(self) -> str:
        return str(self.api.api.get_mode()["mode"])

    @property
    def text(self) -> str:
        return "\n".join(self.api.current.buffer[:])

    @property
    def cursor(self) -> tuple[int, int]:
        """Row from 1, column in bytes from 0."""
        row, column = self.api.current.window.cursor
        return row, column

    def ghost(self) -> tuple[int, int, str] | None:
        """Row and column (from 0, in bytes) of the ghost text that is drawn, and the text."""
        marks = self.lua("return vim.api.nvim_buf_get_extmarks(0, -1, 0, -1, { details = true })")
        for _, row, column, details in marks:
            if details.get("virt_text"):
                lines = [details["virt_text"], *details.get("virt_lines", [])]
                return row, column, "\n".join("".join(chunk[0] for chunk in line) for line in lines)
        return None

    def ghost_group(self) -> str:
        """The highlight group of the ghost text that is drawn."""
        marks = self.lua("return vim.api.nvim_buf_get_extmarks(0, -1, 0, -1, { details = true })")
        return next(str(mark[3]["virt_text"][0][1]) for mark in marks if mark[3].get("virt_text"))

    def wait_ghost(self, text: str) -> tuple[int, int]:
        """Waits until exactly this ghost text is drawn; returns where."""
        try:
            wait_for(lambda: (ghost := self.ghost()) and ghost[2] == text)
        except AssertionError:
            raise AssertionError(
                f"no ghost text {text!r}; drawn: {self.ghost()!r}; events: {self.events()}"
            ) from None
        ghost = self.ghost()
        assert ghost is not None
        return ghost[:2]

    def wait_no_ghost(self) -> None:
        wait_for(lambda: self.ghost() is None)

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """What the scripted server was told."""
        if not self.log_path.exists():
            return []
        events = [json.loads(line) for line in self.log_path.read_text().splitlines()]
        return [event for event in events if name in (None, event["event"])]

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self.api.command("qall!")
        self.api.close()


Start = Callable[..., Neovim]


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Path:
    path = PROGRAMS[request.param]
    if not path.exists():
        pytest.skip(
            f"Neovim {request.param} is not installed: tests/editors/install_neovim.sh .cache/editors"
        )
    return path


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts editors: start(program, rules) with the scripted server, start(program) with the real one."""
    root = tmp_path_factory.mktemp("neovim")
    running: list[Neovim] = []

    def begin(
        program: Path,
        rules: list[dict[str, Any]] | None = None,
        *,
        encoding: str = "utf-8",
        name: str = "demo.py",
        text: str = "",
        commands: dict[str, Any] | None = None,
        **options: Any,
    ) -> Neovim:
        folder = root / f"editor-{len(running)}"
        folder.mkdir()
        file, script, log = folder / name, folder / "script.json", folder / "log.jsonl"
        file.write_text(text)
        answers = {} if commands is None else {"commands": commands}
        script.write_text(json.dumps({"encoding": encoding, "rules": rules or [], **answers}))
        server = (
            REAL_SERVER if rules is None else [sys.executable, str(SCRIPTED_SERVER), str(script), str(log)]
        )
        editor = Neovim(program, file, server, options, log)
        running.append(editor)
        wait_for(editor.attached)
        return editor

    with pytest.MonkeyPatch.context() as environment:
        for name in ("CONFIG", "DATA", "STATE", "CACHE"):
            environment.setenv(f"XDG_{name}_HOME", str(root / name))
        yield begin
    for editor in running:
        editor.close()
