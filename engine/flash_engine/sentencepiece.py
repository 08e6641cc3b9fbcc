"""SentencePiece's BPE (CodeLlama, CodeGemma, Mistral's first): characters, spaces written as ▁, bytes for what has no
token. There is no pattern of words: any pieces may merge."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import tokenizers

from flash_engine.byte_level import TAIL, word_start

SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class SentencePiece:
    """A Scheme: see flash_engine.tokenizer. Text is taken as it is: no space is put before it."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.pipeline = {
            **raw,
            "added_tokens": [],
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            "pre_tokenizer": None,
            "post_processor": None,
        }
        control = {token["content"] for token in raw["added_tokens"]}
        self._pieces = [
            text for text in raw["model"]["vocab"] if text not in control and not _BYTE.fullmatch(text)
        ]

    def use(self, tokenizer: tokenizers.Tokenizer) -> None:
        pass

    def token_bytes(self, text: str) -> bytes:
        byte = _BYTE.fullmatch(text)
        return bytes([int(byte[1], 16)]) if byte else text.replace(SPACE, " ").encode()

    def reserved(self, text: str) -> str:
        return text.replace(SPACE, "\ufffd")

    def tail(self, text: str) -> int:
        start = word_start(text, len(text) - TAIL)
        while start and text[start - 1] + SPACE in self._neighbours:
            start = word_start(text, start - 1)
        return start

    def last_cut(self, text: str) -> int:
        """The last place between two characters that no token holds side by side.

        No merge can cross such a place, so what is before it and what is after it are encoded each on its own.
        """
        spelled = text.replace(" ", SPACE)
        for cut in range(len(spelled) - 1, 0, -1):
            if spelled[cut - 1 : cut + 1] not in self._neighbours:
                return cut
        return 0

    @cached_property
    def _neighbours(self) -> frozenset[str]:
        """All pairs of characters that are side by side in a token."""
        return frozenset(piece[at : at + 2] for piece in self._pieces for at in range(len(piece) - 1))
