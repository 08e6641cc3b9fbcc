"""hold_back: for any continuation c, encode(kept) is a prefix of encode(kept + held + c)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flash_engine import Tokenizer

REPOSITORY = Path(__file__).parents[2]

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PATTERNS = {
    "qwen2": [
        _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ],
    "llama3": [
        _CONTRACTIONS
        + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
}
"""Pre-tokenizer patterns of other models (llama.cpp, src/llama-vocab.cpp), put around the bundled vocabulary."""

pieces = st.sampled_from(
    [
        *("'", "'s", "'S", "'r", "re", "ve", "l", "E", "a", "Z", "_", "(", "==", "1", "23", "<|fim_middle|>"),
        *(" ", "  ", "    ", "\t", "\n", "\r\n", "\r", ")\n", "\n    return", "\x0c", "\x1c", "\x85", "\x04"),
        *("é", "e\u0301", "漢", "\U0001f600", "\u00a0", "\u2028", "\u200b", "\u3000", "Ⅷ", "²", "\ud800"),
    ]
)
texts = st.lists(pieces, max_size=16).map("".join) | st.text(max_size=20)


def check(tokenizer: Tokenizer, text: str, continuation: str) -> None:
    kept, held = tokenizer.hold_back(text)
    assert text.startswith(kept)
    assert len(kept) + len(held.decode()) == len(text)
    tokens = tokenizer.encode(kept)
    assert tokenizer.encode(kept + held.decode() + continuation)[: len(tokens)] == tokens
    assert tokenizer.encode(text + continuation)[: len(tokens)] == tokens


@settings(max_examples=1500, deadline=None)
@given(text=texts, continuation=texts)
@example(text="\r\nZ", continuation="")
@example(text="don'", continuation="t")
@example(text="don'r", continuation="e")
@example(text="foo  ", continuation="1")
def test_any_continuation(tokenizer: Tokenizer, text: str, continuation: str) -> None:
    check(tokenizer, text, continuation)


@pytest.mark.parametrize("family", PATTERNS)
def test_any_continuation_with_patterns_of_other_models(bundled_folder: Path, family: str) -> None:
    raw: dict[str, Any] = json.loads((bundled_folder / "tokenizer.json").read_text())
    splits = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in PATTERNS[family]
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    other = Tokenizer({**raw, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*splits, byte_level]}})

    @settings(max_examples=500, deadline=None)
    @given(text=texts, continuation=texts)
    def check_all(text: str, continuation: str) -> None:
        check(other, text, continuation)

    check_all()


@pytest.mark.parametrize(
    "path",
    [
        "flash_lsp/text.py",
        "engine/native/module.cpp",
        "tests/engine/test_hold_back.py",
        "README.md",
        "Makefile",
    ],
)
def test_every_cut_of_real_source(tokenizer: Tokenizer, path: str) -> None:
    source = (REPOSITORY / path).read_text()
    for begin in range(0, min(len(source), 4000), 400):
        text = source[begin : begin + 400]
        whole = tokenizer.encode(text)
        for cut in range(len(text) + 1):
            kept, held = tokenizer.hold_back(text[:cut])
            assert kept + held.decode() == text[:cut]
            tokens = tokenizer.encode(kept)
            assert whole[: len(tokens)] == tokens


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("def f(x):\n    retu", b" retu"),
        ("def f(x):\n    ", b"\n    "),
        ("x = 1", b""),
        ("x = foo.", b"."),
        ("naïve caf\u00e9", " café".encode()),
        ("", b""),
        ("word", b"word"),
    ],
)
def test_what_is_held(tokenizer: Tokenizer, text: str, held: bytes) -> None:
    assert tokenizer.hold_back(text) == (text[: len(text) - len(held.decode())], held)


def test_reads_only_the_end(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    boundaries = tokenizer._scheme.boundaries
    monkeypatch.setattr(tokenizer._scheme, "boundaries", lambda text: read.append(text) or boundaries(text))
    text = "    value = compute(first, second)\n" * 10_000 + "    ret"
    assert tokenizer.hold_back(text) == (text[:-4], b" ret")
    assert max(map(len, read)) < 60
