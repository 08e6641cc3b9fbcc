"""Encoding that costs what changed: a text is encoded in blocks, and a block seen before is looked up."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from cachetools import LRUCache


class Encoder(Protocol):
    """What a prompt needs of a tokenizer. See flash_engine.Tokenizer for the meaning of both."""

    def encode(self, text: str) -> list[int]: ...

    def hold_back(self, text: str) -> tuple[str, bytes]: ...


class _Block(NamedTuple):
    length: int
    """Characters of the text that the tokens stand for."""
    tokens: list[int]


class BlockEncoder:
    """The same tokens as the tokenizer's own `encode`, at the cost of the text's last block.

    A block ends where `hold_back` says that no continuation can change the tokens before, near the first
    line end after BLOCK characters: it depends on the text before it alone, so text appended moves no
    block.
    """

    BLOCK = 256
    CAPACITY = 1024

    def __init__(self, tokenizer: Encoder) -> None:
        self._tokenizer = tokenizer
        self._blocks: LRUCache[str, _Block] = LRUCache(self.CAPACITY)
        self._tails: LRUCache[str, list[int]] = LRUCache(self.CAPACITY)

    def hold_back(self, text: str) -> tuple[str, bytes]:
        return self._tokenizer.hold_back(text)

    def encode(self, text: str) -> list[int]:
        tokens: list[int] = []
        start = 0
        while end := text.find("\n", start + self.BLOCK) + 1:
            block = self._block(text[start:end])
            if not block.length:
                break
            tokens += block.tokens
            start += block.length
        return tokens + self._tail(text[start:])

    def _block(self, chunk: str) -> _Block:
        block = self._blocks.get(chunk)
        if block is None:
            kept, _ = self._tokenizer.hold_back(chunk)
            block = self._blocks[chunk] = _Block(len(kept), self._tokenizer.encode(kept))
        return block

    def _tail(self, text: str) -> list[int]:
        tokens = self._tails.get(text)
        if tokens is None:
            tokens = self._tails[text] = self._tokenizer.encode(text)
        return tokens
