"""The text of an open document as the Language Server Protocol counts it.

Lines end at `\\n`, `\\r\\n` and `\\r` and nowhere else: a form feed or U+2028 is an ordinary character,
unlike for `str.splitlines`. Offsets are in code points. Positions are (line, character), both from 0, with
`character` in the units of the negotiated encoding: "utf-8" bytes, "utf-16" or "utf-32" code units.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from lsprotocol import types
from numpy.typing import NDArray

from flash_engine.common import common_prefix, common_suffix

LINE_END = re.compile(r"\r\n?|\n")


class Edit(NamedTuple):
    """One replacement: `removed` code points at offset `start` gave way to the text `inserted`."""

    start: int
    removed: int
    inserted: str

    @property
    def end(self) -> int:
        """Where the inserted text ends: the cursor's place after typing."""
        return self.start + len(self.inserted)


@dataclass(frozen=True, slots=True)
class _Units:
    """How many units of an encoding an ASCII, a two-byte, a three-byte and an astral character take."""

    two_byte: int
    three_byte: int
    astral: int

    def of(self, character: str) -> int:
        code = ord(character)
        if code < 0x80:
            return 1
        if code < 0x800:
            return self.two_byte
        return self.three_byte if code < 0x10000 else self.astral


_ENCODINGS = {"utf-8": _Units(2, 3, 4), "utf-16": _Units(1, 1, 2), "utf-32": _Units(1, 1, 1)}


class Document:
    """An open document, kept up to date by the client's changes."""

    def __init__(self, uri: str, language_id: str, version: int, text: str) -> None:
        self.uri = uri
        self.language_id = language_id
        self.version = version
        self._set_text(text)

    @property
    def text(self) -> str:
        return self._text

    @property
    def line_count(self) -> int:
        return len(self._starts)

    def line(self, number: int) -> str:
        """Line `number` without its line end. Raises IndexError if there is no such line."""
        if not 0 <= number < len(self._starts):
            raise IndexError(f"line {number} of a document of {len(self._starts)} lines")
        start, end = self._line_span(number)
        return self._text[start:end]

    def apply(self, changes: Sequence[types.TextDocumentContentChangeEvent], encoding: str) -> list[Edit]:
        """Apply the content changes of one didChange in order; one without a range replaces the whole text.

        Returns the edits that were made, each in the offsets of the text it met; the edit of a full
        replacement is the smallest one that leads to the new text.
        """
        edits = []
        for change in changes:
            if isinstance(change, types.TextDocumentContentChangePartial):
                first, last = change.range.start, change.range.end
                start = self.offset(first.line, first.character, encoding)
                end = max(start, self.offset(last.line, last.character, encoding))
                edit = Edit(start, end - start, change.text)
            else:
                edit = smallest_edit(self._text, change.text)
            self._replace(edit)
            edits.append(edit)
        return edits

    def offset(self, line: int, character: int, encoding: str) -> int:
        """The code point offset of a position.

        Past the end of a line: the line's end, before its line end characters; past the last line: the end of
        the text; inside a character: its start. Raises KeyError for an unknown encoding.
        """
        units = _ENCODINGS[encoding]
        if line < 0:
            return 0
        if line >= len(self._starts):
            return len(self._text)
        start, end = self._line_span(line)
        content = self._text[start:end]
        if content.isascii() or encoding == "utf-32":
            return start + min(max(character, 0), len(content))
        for index, letter in enumerate(content):
            character -= units.of(letter)
            if character < 0:
                return start + index
        return end

    def position(self, offset: int, encoding: str) -> tuple[int, int]:
        """The position of a code point offset, clamped to the text; between \\r and \\n: the line's end."""
        units = _ENCODINGS[encoding]
        offset = min(max(offset, 0), len(self._text))
        line = int(np.searchsorted(self._starts, offset, side="right")) - 1
        start, end = self._line_span(line)
        before = self._text[start : min(offset, end)]
        return line, len(before) if before.isascii() else sum(map(units.of, before))

    def _set_text(self, text: str) -> None:
        self._text = text
        self._starts: NDArray[np.int64] = np.array(
            [0, *(end.end() for end in LINE_END.finditer(text))], dtype=np.int64
        )

    def _replace(self, edit: Edit) -> None:
        start, removed, inserted = edit
        tail = start + removed
        self._text = self._text[:start] + inserted + self._text[tail:]
        # Whether a line starts at p depends on the characters p-1 and p alone: only start .. end can change.
        end = edit.end
        found = (m.end() for m in LINE_END.finditer(self._text, max(start - 1, 0), end + 1))
        middle = [place for place in found if start <= place <= end]
        if start == 0:
            middle.insert(0, 0)
        kept = self._starts[: np.searchsorted(self._starts, start, side="left")]
        moved = self._starts[np.searchsorted(self._starts, tail, side="right") :] + (len(inserted) - removed)
        self._starts = np.concatenate([kept, np.array(middle, dtype=np.int64), moved])

    def _line_span(self, line: int) -> tuple[int, int]:
        """Offsets of a line's first character and of its line end (or the end of the text)."""
        start = int(self._starts[line])
        if line + 1 == len(self._starts):
            return start, len(self._text)
        end = int(self._starts[line + 1])
        return start, end - (2 if self._text.startswith("\r\n", end - 2) else 1)


def smallest_edit(old: str, new: str) -> Edit:
    """The smallest single replacement that turns `old` into `new`."""
    start = common_prefix(old, new)
    kept = common_suffix(old[start:], new[start:])
    return Edit(start, len(old) - start - kept, new[start : len(new) - kept])
