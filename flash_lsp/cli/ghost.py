"""Source code with a suggestion in it, as an editor draws ghost text: dimmed, at the cursor."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from rich.syntax import Syntax
from rich.text import Text

GHOST = "dim italic"
TAB_SIZE = 4
# Control characters would shift columns or steer the terminal: draw their Unicode pictures instead.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}


def ghost_view(
    path: Path, prefix: str, suggestion: str, suffix: str, *, above: int, below: int, marks: bool = False
) -> Text:
    """The lines around the cursor with `suggestion` dimmed at it.

    `above` and `below` are numbers of lines; the suggestion's own further lines carry a `+` where the others
    have their number. `marks` puts the suggestion between « and », for output without colours.
    """
    before, ghost, after = (_printable(part) for part in (prefix, suggestion, suffix))
    code = _highlighted(str(path), before + after)
    head, tail, _ = code.divide([len(before), len(before) + len(after)])  # the lexer may add a last newline
    code = Text.assemble(head, (f"«{ghost}»" if marks else ghost, GHOST), tail)
    lines = code.split("\n", allow_blank=True)
    cursor_line = before.count("\n")
    last_ghost = cursor_line + ghost.count("\n")
    first = max(0, cursor_line - above)
    width = len(str(before.count("\n") + after.count("\n") + 1))
    view = Text()
    for index in range(first, min(len(lines), last_ghost + below + 1)):
        added = cursor_line < index <= last_ghost
        number = "+" if added else str(index + 1 - max(0, min(index, last_ghost) - cursor_line))
        view.append(f"{number:>{width}} ", "dim cyan" if index == cursor_line else "dim")
        view.append("│ ", "dim").append_text(lines[index]).append("\n")
    view.right_crop(1)
    return view


@lru_cache(maxsize=2)
def _highlighted(path: str, code: str) -> Text:
    return Syntax("", Syntax.guess_lexer(path, code), theme="ansi_dark", tab_size=TAB_SIZE).highlight(code)


def _printable(text: str) -> str:
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    return unix.translate(_PICTURES).expandtabs(TAB_SIZE)
