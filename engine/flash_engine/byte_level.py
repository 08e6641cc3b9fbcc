"""Byte-level BPE (GPT-2's): a vocabulary of bytes, and a pattern that cuts text into words before any merge."""

from __future__ import annotations

from typing import Any

import tokenizers

_PROBES = ("s", "e", "l", "1", " ", "\n", "=", "'", "é")
"""One continuation of each kind that a pre-tokenizer's pattern tells apart (s, e, l end the contractions
's, 're, 've and 'll)."""

TAIL = 24
"""Characters of a text's end that are looked at, at least."""


class ByteLevel:
    """A Scheme: see flash_engine.tokenizer."""

    def __init__(self, raw: dict[str, Any]) -> None:
        # Unicode normalization (Qwen's NFC) is left out: it would change the user's text, and what was typed before.
        self.pipeline = {**raw, "added_tokens": [], "normalizer": None}
        self._pre_tokenizer: Any = None

    def use(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._pre_tokenizer = tokenizer.pre_tokenizer

    def token_bytes(self, text: str) -> bytes:
        return text.translate(_BYTE_OF).encode("latin-1")

    def reserved(self, text: str) -> str:
        return text

    def tail(self, text: str) -> int:
        """Where a space follows a visible character: a boundary in every byte-level BPE pattern known."""
        return word_start(text, len(text) - TAIL)

    def last_cut(self, text: str) -> int:
        """The last boundary of the pre-tokenizer that no continuation can move, and before which the text is cut alike
        when it stands alone."""
        cuts = [self.boundaries(text + probe) for probe in _PROBES]
        stable = set.intersection(*cuts)
        first_unstable = min(set.union(*cuts) - stable, default=len(text) + 1)
        candidates = sorted((cut for cut in stable if cut < first_unstable), reverse=True)
        return next(
            cut for cut in candidates if self.boundaries(text[:cut]) == {c for c in stable if c < cut}
        )

    def boundaries(self, text: str) -> set[int]:
        """Offsets at which the pre-tokenizer cuts `text`."""
        return {start for _, (start, _) in self._pre_tokenizer.pre_tokenize_str(text)}


def word_start(text: str, before: int) -> int:
    """The last place up to offset `before` where a space follows a visible ASCII character; else 0."""
    space = text.rfind(" ", 0, max(before, 0) + 1)
    while space > 0 and not "!" <= text[space - 1] <= "~":
        space = text.rfind(" ", 0, space)
    return max(space, 0)


def _byte_alphabet() -> dict[int, int]:
    """Code point of a vocabulary character -> the byte it stands for (GPT-2's printable byte alphabet)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in visible]
    return {byte: byte for byte in visible} | {256 + index: byte for index, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()
