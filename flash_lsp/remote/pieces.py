"""Prompts as text, for servers that take no token ids: pieces of text stand for the tokens that only they know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_PIECE = re.compile(r"\s?\w{1,4}|\s+|.", re.DOTALL)
"""About as long as the tokens of code are, so that a prompt's budget in pieces is one in tokens."""


class TextPieces:
    """A stand-in for a tokenizer whose pieces, joined, are the text again (`text`).

    The control strings `controls` become control tokens in a prompt wherever they stand, so in the user's text they
    are taken apart by a space after their first character.
    """

    def __init__(self, controls: Iterable[str] = ()) -> None:
        self._ids: dict[str, int] = {}
        self._texts: list[str] = []
        names = sorted(controls, key=len, reverse=True)
        self._literal = re.compile("|".join(map(re.escape, names))) if names else None

    def encode(self, text: str) -> list[int]:
        if self._literal:
            text = self._literal.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
        return [self._id(piece) for piece in _PIECE.findall(text)]

    def hold_back(self, text: str) -> tuple[str, bytes]:
        """Nothing is held back: the server could not be made to spell it."""
        return text, b""

    def special(self, name: str) -> int | None:
        """The piece that is the control string `name`."""
        return self._id(name)

    def text(self, pieces: Sequence[int]) -> str:
        return "".join(self._texts[piece] for piece in pieces)

    def _id(self, piece: str) -> int:
        number = self._ids.setdefault(piece, len(self._texts))
        if number == len(self._texts):
            self._texts.append(piece)
        return number
