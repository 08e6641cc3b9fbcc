"""The half-typed word at the cursor, held back from prompts for servers.

A prompt that ends within a word ends in tokens that the model has hardly seen there. So the word is left out, with the
space before it, and what comes back must begin with it: llama-server is made to spell it by a grammar; of other servers
an answer that begins otherwise is dropped and the whole prompt is sent.
"""

from __future__ import annotations

import re

from flash_engine import Tokenizer

_WORD = re.compile(r"[^\S\r\n]?\w{1,64}\Z|[^\S\r\n]\Z")


def hold_word(text: str) -> tuple[str, bytes]:
    """(text without its last, perhaps unfinished word and the space before it, those in UTF-8)"""
    found = _WORD.search(text)
    return (text, b"") if found is None else (text[: found.start()], found[0].encode())


def grammar(prefix: str) -> str:
    """llama.cpp's GBNF for any text that begins with `prefix`."""
    spelled = "".join(char if char.isalnum() else f"\\U{ord(char):08X}" for char in prefix)
    return f'root ::= "{spelled}" [^\\x00]*'


class WordHeld:
    """A tokenizer that holds back the word at the end."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.encode = tokenizer.encode
        self.special = tokenizer.special

    def hold_back(self, text: str) -> tuple[str, bytes]:
        return hold_word(text)
