"""Real Neovims with the real server and the bundled model."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .conftest import PROGRAMS, Neovim, Start, wait_for

pytestmark = pytest.mark.bundled

KEYS_A_SECOND = 12
AREA = 'import math\n\n\ndef area(radius):\n    """Area of a circle."""\n    return mat'
FUNCTION = """def f(rows):
  # größe
  s = {}
  d = []
  for r in rows:
    k = r[0]
    if k < 0:
      k = -k
    n = r[1]
    if n in s:
      continue
    s[n] = k
    d += [n]
  a = 0
  b = 0
  for n in d:
    k = s[n]
    a += k
    if k > b:
      b = k
  m = a / b
  e = []
  for n in d:
    if n > m:
      e += [n]
  g = 0
  for n in e:
    g += n
  h = g * 2
  i = h - 1
  j = [g]
  j += [h]
  j += [i]
  if i > a:
    j += [a]
  if i > b:
    j += [b]
  q = "ä"
  j += [q]
  return j"""


def test_the_bundled_model_completes_a_line(program: Path, start: Start) -> None:
    editor = start(program)
    wait_for(lambda: editor.status() == "flash: ready", seconds=60)
    editor.fill(AREA)
    shown = wait_for(editor.ghost, seconds=60)
    assert shown[:2] == (5, len("    return mat"))
    suggestion = editor.suggestion()
    editor.type("<Tab>")
    wait_for(lambda: editor.text == f"{AREA}{suggestion}")


def test_other_suggestions_are_asked_for_and_shown(program: Path, start: Start) -> None:
    editor = start(program)
    wait_for(lambda: editor.status() == "flash: ready", seconds=60)
    editor.fill(AREA)
    wait_for(editor.ghost, seconds=60)
    shown = editor.suggestion()
    editor.type("<M-]>")
    other = wait_for(lambda: (now := editor.suggestion()) != shown and now)
    editor.type("<Tab>")
    wait_for(lambda: editor.text == f"{AREA}{other}")


@dataclass
class Typist:
    """Types one key after another, and notes what the buffer must hold: what was typed and what was accepted."""

    editor: Neovim
    expected: str = ""
    accepted: int = field(default=0, init=False)

    def type(self, character: str) -> None:
        self.editor.type({"\n": "<CR>", "<": "<lt>"}.get(character, character))
        self.expected += character

    def accept(self, key: str) -> None:
        """Presses a key that accepts, if something is shown, and reads what was accepted."""
        if self.editor.suggestion() is None:
            return
        self.editor.type(key)
        self.editor.api.command("")  # after this the key has been handled
        taken = self.editor.lua("return _G.accepted")[self.accepted :]
        self.accepted += len(taken)
        self.expected += "".join(taken)


def test_fast_typing_leaves_what_was_typed_and_accepted(start: Start) -> None:
    # One for each client: the plugin's own, and the editor's.
    programs = [path for version, path in PROGRAMS.items() if path.exists() and version != "0.12-dev"]
    if not programs:
        pytest.skip("no Neovim is installed: tests/editors/install_neovim.sh .cache/editors")
    typists = [Typist(start(path)) for path in programs]
    for typist in typists:
        wait_for(lambda editor=typist.editor: editor.status() == "flash: ready", seconds=60)
        typist.editor.fill("")
    lines = FUNCTION.split("\n")
    assert len(lines) == 40
    begun, keys = time.monotonic(), 0
    for number, line in enumerate(lines):
        for index, character in enumerate(line + "\n"):
            if number % 4 == 3 and index == len(line) - 1:
                begun += 0.3
                time.sleep(0.3)
                for typist in typists:
                    typist.accept("<M-Right>" if number % 8 == 3 else "<Tab>")
            for typist in typists:
                typist.type(character)
            keys += 1
            time.sleep(max(0, begun + keys / KEYS_A_SECOND - time.monotonic()))
    for typist in typists:
        wait_for(lambda typist=typist: typist.editor.text == typist.expected)
    assert all(typist.accepted for typist in typists)
