"""A tokenizer as small as the tiny models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flash_engine import Tokenizer

TINY_VOCABULARY = 300


@pytest.fixture(scope="session")
def tiny_tokenizer(bundled_folder: Path) -> Tokenizer:
    """The first 300 tokens of the bundled tokenizer: the control tokens, the bytes and a few pairs."""
    raw = json.loads((bundled_folder / "tokenizer.json").read_bytes())
    model = raw["model"]
    vocab = {text: token for text, token in model["vocab"].items() if token < TINY_VOCABULARY}
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    merges = [pair for pair in pairs if {*pair, "".join(pair)} <= vocab.keys()]
    return Tokenizer({**raw, "model": {**model, "vocab": vocab, "merges": merges}})
