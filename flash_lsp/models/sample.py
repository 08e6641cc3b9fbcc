"""A small sample of code, for calibrating a conversion."""

from __future__ import annotations

import random
from pathlib import Path

from flash_engine import FlashError, Tokenizer
from flash_lsp.bench.cases import source_files

OWN_SOURCES = Path(__file__).parents[1]
"""flash-lsp's own: always at hand, and in no model's training data."""

TOKENS = 2048
"""Of each of the two parts."""

_STRETCH = 512
"""Tokens of a file at most."""


def read_sample(folder: Path, tokenizer: Tokenizer) -> tuple[list[list[int]], list[list[int]]]:
    """Tokens of the beginnings of sources under `folder`, in two parts of different files; the same each time.

    Raises FlashError if there are fewer than two sources.
    """
    texts = [text for _, text in source_files(folder)]
    if len(texts) < 2:
        raise FlashError(f"{folder} has fewer than two source files: give a folder of code")
    random.Random(0).shuffle(texts)
    return _part(texts[::2], tokenizer), _part(texts[1::2], tokenizer)


def _part(texts: list[str], tokenizer: Tokenizer) -> list[list[int]]:
    part: list[list[int]] = []
    for text in texts:
        room = min(_STRETCH, TOKENS - sum(map(len, part)))
        if room < 2:
            break
        part.append(tokenizer.encode(text[: 8 * _STRETCH])[:room])
    return part
