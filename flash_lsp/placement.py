"""Where the cursor stands decides how much may be suggested: a line, a block, or nothing."""

from __future__ import annotations

import re

from flash_lsp.languages import language
from flash_lsp.text import Edit

MID_LINE = "mid-line"

_REST_OF_LINE = re.compile(r"[^\r\n]*")
_CLOSERS = re.compile(r"""[\s)\]}>"'`;,:]*""")
_CLOSING = (")", "]", "}")
_OPENED_LINE = re.compile(r"((?:\r\n?|\n)[ \t]*)(?:\r\n?|\n)[ \t]*")
PAIRS = ("()", "[]", "{}", '""', "''", "``")


def line_limit(language_id: str, prefix: str, suffix: str, *, block: int) -> int:
    """Lines that may be suggested between `prefix` and `suffix`: `block` where a block begins (at the end of a line
    that opens one, or on the blank line below it), 1 elsewhere, comments included, and 0 inside a line whose rest is
    more than closers."""
    rest = _REST_OF_LINE.match(suffix)
    assert rest is not None
    if not _CLOSERS.fullmatch(rest[0]):
        return 0
    if rest[0].strip():
        return 1
    rules, line = language(language_id), _last_line(prefix)
    in_comment = line.lstrip().startswith(rules.line_comment)
    return block if not in_comment and rules.opens_block.search(line) else 1


def statement_limit(suffix: str, *, block: int) -> int:
    """Lines that a single line may go on for until its brackets are closed: `block` at the end of a line."""
    rest = _REST_OF_LINE.match(suffix)
    return 1 if rest and rest[0].strip() else block


def _last_line(prefix: str) -> str:
    """The last line of `prefix` that is not blank."""
    text = prefix.rstrip()
    return text[max(text.rfind("\n"), text.rfind("\r")) + 1 :]


def cursor_after(edit: Edit, text: str) -> int:
    """Where the cursor most likely stands after `edit`, which led to `text`: behind the inserted text; between the
    two halves of a pair that the editor has closed by itself; or on the blank line that it has made between two
    brackets, the closing one on a line of its own."""
    if edit.inserted in PAIRS:
        return edit.end - 1
    opened = _OPENED_LINE.fullmatch(edit.inserted)
    if opened and text[edit.end : edit.end + 1] in _CLOSING:
        return edit.start + opened.end(1)
    return edit.end
