"""Emacs with lsp-mode in a real terminal, with the real server and the bundled model; positions in utf-32."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..terminal import Terminal

pytestmark = pytest.mark.bundled

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
EDITORS = REPOSITORY / ".cache" / "editors"
LISP = EDITORS / "emacs-lisp" / "usr" / "share" / "emacs" / "site-lisp" / "elpa-src"
KEYS_A_SECOND = 12
AREA = 'import math\n\n\ndef area(radius):\n    """Größe des Kreises."""\n'
FUNCTION = "\n".join(
    line
    for number in range(8)
    for line in (
        f"def f{number}(a):",
        "  # ö 🎈",
        f"  c = a + {number}",
        "  if c:",
        "    return",
    )
)


class Emacs:
    """One Emacs with demo.py open in it; it is asked by emacsclient."""

    def __init__(self, terminal: Terminal, folder: Path) -> None:
        self.terminal = terminal
        self.folder = folder
        self._socket = folder / "server"

    def evaluate(self, form: str) -> Any:
        """The value of a Lisp form in demo.py's window, through JSON; None for nil, and where there was no answer:
        Emacs is not up yet, or lsp-mode, which waits for the server, was interrupted by the question and dropped it."""
        window = '(get-buffer-window "demo.py")'
        lisp = f"(with-selected-window {window} (json-serialize (vector {form}) :null-object nil))"
        command = ["emacsclient", "-s", str(self._socket), "--eval", lisp]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3)
        except subprocess.TimeoutExpired:
            return None
        return json.loads(json.loads(answer.stdout))[0] if answer.returncode == 0 else None

    @property
    def text(self) -> str:
        return str(wait_for(lambda: self.evaluate('(concat "=" (buffer-string))')))[1:]

    def ghost(self) -> str | None:
        text = self.evaluate("(test-ghost)")
        return None if text is None else str(text)

    def accepted(self) -> list[str]:
        return [str(text) for text in self.evaluate("(vconcat (reverse test-accepted))") or []]

    def fill(self, text: str) -> None:
        """Starts anew with this text, the cursor behind it."""
        form = f"(progn (setq test-accepted nil) (erase-buffer) (insert {json.dumps(text, ensure_ascii=False)}) t)"
        wait_for(lambda: self.evaluate(form))
        wait_for(lambda: self.text == text)


def wait_for(condition: Callable[[], Any], *, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.05)
    return result


@pytest.fixture(scope="module")
def emacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emacs]:
    if not LISP.exists() or not shutil.which("emacs") or not shutil.which("tmux"):
        pytest.skip("Emacs, lsp-mode or tmux is not installed: tests/editors/install_emacs.sh .cache/editors")
    folder = tmp_path_factory.mktemp("emacs")
    (folder / "demo.py").write_text(AREA)
    environment = {
        "HOME": str(folder),
        "TEST_FOLDER": str(folder),
        "TEST_LISP": str(LISP),
        "TEST_CLIENT": str(REPOSITORY / "editors" / "emacs" / "flash-lsp.el"),
        "TEST_SERVER": f"{sys.executable} -m flash_lsp serve",
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
    command = ["emacs", "-nw", "-Q", "-l", str(HERE / "init.el"), str(folder / "demo.py")]
    with Terminal(command, environment=environment) as terminal:
        emacs = Emacs(terminal, folder)
        wait_for(lambda: emacs.evaluate("flash-lsp-status") == "ready", seconds=60)
        yield emacs


def test_a_suggestion_is_shown_and_accepted(emacs: Emacs) -> None:
    emacs.fill(AREA)
    emacs.terminal.type("    return mat")
    wait_for(emacs.ghost)
    emacs.terminal.settled()
    ghost = wait_for(emacs.ghost)
    emacs.terminal.wait(lambda screen: "return mat" + ghost.split("\n")[0] in screen)
    emacs.terminal.save_picture(EDITORS / "pictures" / "emacs.svg", "Emacs, lsp-mode")
    assert emacs.text == AREA + "    return mat"
    emacs.terminal.keys("Tab")
    wait_for(lambda: emacs.text == AREA + "    return mat" + emacs.accepted()[-1])


def test_positions_are_in_utf_32(emacs: Emacs) -> None:
    capabilities = "(lsp--workspace-server-capabilities (car (lsp-workspaces)))"
    assert emacs.evaluate(f"(lsp-get {capabilities} :positionEncoding)") == "utf-32"


BEFORE_TYPED = {
    "behind characters outside the basic plane": 'grün = "🎈🎈"; from collections import',
    "ASCII": "from collections import",
    "below another line": "import sys\nfrom collections import",
}


@pytest.mark.parametrize("line", BEFORE_TYPED.values(), ids=BEFORE_TYPED)
@pytest.mark.parametrize("key", ["Tab", "M-Right"])
def test_what_is_typed_at_once_stands_before_what_is_accepted(emacs: Emacs, line: str, key: str) -> None:
    emacs.fill(line)
    emacs.terminal.type(" default")
    ghost = wait_for(emacs.ghost)
    emacs.terminal.keys(key)
    (accepted,) = wait_for(emacs.accepted)
    wait_for(lambda: emacs.text == f"{line} default{accepted}")
    assert accepted == ghost.split("\n")[0]
    assert emacs.evaluate("(= (point) (point-max))") is True


def test_a_suggestion_is_typed_through(emacs: Emacs) -> None:
    line = 'grün = "🎈🎈"; from collections import d'
    emacs.fill(line)
    emacs.terminal.type("e")
    ghost = wait_for(emacs.ghost)
    typed = ghost[:5]
    emacs.terminal.type(typed)
    wait_for(lambda: emacs.ghost() == ghost[5:])
    emacs.terminal.keys("Tab")
    wait_for(lambda: emacs.text == f"{line}e{ghost}")


def test_lines_that_end_in_crlf(emacs: Emacs) -> None:
    emacs.evaluate("(progn (set-buffer-file-coding-system 'utf-8-dos t) t)")
    emacs.fill("größe = 1\nfrom collections import")
    emacs.terminal.type(" default")
    ghost = wait_for(emacs.ghost)
    emacs.terminal.keys("Tab", "C-x", "C-s")
    file = emacs.folder / "demo.py"
    saved = f"größe = 1\r\nfrom collections import default{ghost}\r\n"
    wait_for(lambda: file.read_bytes().decode() == saved)
    emacs.evaluate("(progn (set-buffer-file-coding-system 'utf-8-unix t) t)")


def test_a_change_from_elsewhere_drops_the_ghost_text(emacs: Emacs) -> None:
    emacs.fill("from collections import")
    emacs.terminal.type(" default")
    wait_for(emacs.ghost)
    form = '(progn (save-excursion (goto-char (point-min)) (insert "import sys\n")) t)'
    wait_for(lambda: emacs.evaluate(form))
    wait_for(lambda: emacs.ghost() is None)
    emacs.terminal.type("d")
    wait_for(lambda: emacs.text == "import sys\nfrom collections import defaultd")


def test_a_word_is_accepted(emacs: Emacs) -> None:
    emacs.fill(AREA)
    emacs.terminal.type("    return mat")
    ghost = wait_for(emacs.ghost)
    emacs.terminal.keys("M-Right")
    (word,) = wait_for(emacs.accepted)
    assert emacs.text == AREA + "    return mat" + word
    assert ghost.startswith(word)


def test_any_other_key_goes_on_typing(emacs: Emacs) -> None:
    emacs.fill(AREA)
    emacs.terminal.type("    return mat")
    wait_for(emacs.ghost)
    emacs.terminal.type("x")
    wait_for(lambda: emacs.text == AREA + "    return matx")


def test_fast_typing_leaves_what_was_typed_and_accepted(emacs: Emacs) -> None:
    emacs.fill("")
    lines = FUNCTION.split("\n")
    assert len(lines) == 40
    expected, taken = "", 0
    begun, keys = time.monotonic(), 0
    for number, line in enumerate(lines):
        for character in line:
            emacs.terminal.type(character)
            expected, keys = expected + character, keys + 1
            time.sleep(max(0, begun + keys / KEYS_A_SECOND - time.monotonic()))
        if number % 5 == 2:
            paused = time.monotonic()
            time.sleep(0.7)
            if emacs.ghost() is not None:
                emacs.terminal.keys("Tab")
                wait_for(lambda taken=taken: len(emacs.accepted()) > taken)
                accepted = emacs.accepted()
                expected, taken = expected + "".join(accepted[taken:]), len(accepted)
            begun += time.monotonic() - paused
        emacs.terminal.keys("Enter")
        expected, keys = expected + "\n", keys + 1
    wait_for(lambda: emacs.text == expected)
    assert taken
