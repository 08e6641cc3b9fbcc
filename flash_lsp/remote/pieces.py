"""Prompts as text, for servers that take no token ids: pieces of text stand for the tokens that only they know."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flash_lsp.remote.words import hold_word

_PIECE = re.compile(r"\s?\w{1,4}|\s+|.", re.DOTALL)
"""About as long as the tokens of code are, so that a prompt's budget in pieces is one in tokens."""

_CONTROL = re.compile(r"▁?<[^<>]+>|\[[A-Z]+\]")


class TextPieces:
    """A stand-in for a tokenizer whose pieces, joined, are the text again (`text`).

    A control string becomes a control token wherever it stands in a prompt, so in the user's text those that `special`
    was asked for, the template's, are taken apart by a space after their first character.
    """

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._texts: list[str] = []
        self._controls: set[str] = set()

    def encode(self, text: str) -> list[int]:
        for name in self._controls:
            text = text.replace(name, f"{name[0]} {name[1:]}")
        return [self._id(piece) for piece in _PIECE.findall(text)]

    def hold_back(self, text: str) -> tuple[str, bytes]:
        return hold_word(text)

    def special(self, name: str) -> int | None:
        """The piece that is the control string `name`; None if a name like this is plain text."""
        if not _CONTROL.fullmatch(name):
            return None
        self._controls.add(name)
        return self._id(name)

    def text(self, pieces: Sequence[int]) -> str:
        return "".join(self._texts[piece] for piece in pieces)

    def _id(self, piece: str) -> int:
        number = self._ids.setdefault(piece, len(self._texts))
        if number == len(self._texts):
            self._texts.append(piece)
        return number
