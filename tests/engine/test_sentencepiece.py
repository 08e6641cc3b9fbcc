"""SentencePiece's BPE, on a vocabulary trained here: text in, text out, and where it can be cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flash_engine import ModelError, Tokenizer

from .test_hold_back import check, texts

REPOSITORY = Path(__file__).parents[2]
CONTROL = ("<unk>", "<s>", "</s>", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    """As CodeLlama's tokenizer.json: metaspace put before the text, byte fallback, merges across anything but words."""
    trained = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>", byte_fallback=True))
    trained.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=1200, special_tokens=[*CONTROL[:3], *BYTES], show_progress=False
    )
    source = [path.read_text() for path in sorted((REPOSITORY / "flash_lsp").glob("*.py"))]
    trained.train_from_iterator((line for text in source for line in text.split("\n")), trainer)
    raw: dict[str, Any] = json.loads(trained.to_str())
    for name in CONTROL[3:]:
        raw["model"]["vocab"][name] = len(raw["model"]["vocab"])
    vocabulary = raw["model"]["vocab"]
    raw["added_tokens"] = [{"id": vocabulary[name], "content": name, "special": True} for name in CONTROL]
    raw["normalizer"] = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ],
    }
    raw["pre_tokenizer"] = None
    return raw


@pytest.fixture(scope="module")
def pieces(raw: dict[str, Any]) -> Tokenizer:
    return Tokenizer(raw)


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=40))
@example(text="  indented\n\tif x:\r\n")
def test_text_comes_back(pieces: Tokenizer, text: str) -> None:
    assert pieces.decode(pieces.encode(text)).decode() == text


def test_the_sign_for_a_space_is_not_taken_for_one(pieces: Tokenizer) -> None:
    assert pieces.decode(pieces.encode("a▁b")).decode() == "a\ufffdb"


def test_spaces_are_as_in_the_text(raw: dict[str, Any], pieces: Tokenizer) -> None:
    """CodeLlama's tokenizer puts a space before the text; the tokens behind it are the same."""
    plain = tokenizers.Tokenizer.from_str(json.dumps({**raw, "added_tokens": []}))
    for text in ("import os", "    return self", "x = 1\n"):
        assert pieces.encode(f" {text}") == plain.encode(text, add_special_tokens=False).ids
        assert pieces.decode(pieces.encode(text)).decode() == text


def test_control_tokens_never_come_from_text(pieces: Tokenizer) -> None:
    for name in CONTROL:
        token = pieces.special(name)
        assert token is not None
        assert pieces.token_bytes(token) == b""
        assert token not in pieces.encode(f"x {name} y")


@settings(max_examples=800, deadline=None)
@given(text=texts, continuation=texts)
@example(text="        ", continuation=" x")
@example(text="self.val", continuation="ue")
def test_any_continuation(pieces: Tokenizer, text: str, continuation: str) -> None:
    check(pieces, text, continuation)


def test_every_cut_of_real_source(pieces: Tokenizer) -> None:
    text = (REPOSITORY / "flash_lsp" / "text.py").read_text()[:1500]
    whole = pieces.encode(text)
    for cut in range(len(text) + 1):
        kept, held = pieces.hold_back(text[:cut])
        assert kept + held.decode() == text[:cut]
        tokens = pieces.encode(kept)
        assert whole[: len(tokens)] == tokens
        assert len(held) < 40


@settings(max_examples=200, deadline=None)
@given(word=st.sampled_from(["self", " return", "    def", "\n", "é", "value = 1"]), size=st.integers(1, 6))
def test_constraint_spells_what_is_held(pieces: Tokenizer, word: str, size: int) -> None:
    """From any half-typed word some path of allowed tokens leads on: its own encoding is one."""
    held = word.encode()[:size]
    remainder = held
    for token in pieces.encode(word):
        if not remainder:
            break
        assert token in pieces.allowed(remainder)
        remainder = remainder[len(pieces.token_bytes(token)) :]


def test_from_the_metadata_of_a_gguf_file(tmp_path: Path, raw: dict[str, Any], pieces: Tokenizer) -> None:
    """SentencePiece's scores fall with the rank of the merge that makes a piece."""
    vocabulary = sorted(raw["model"]["vocab"].items(), key=lambda item: item[1])
    rank = {"".join(merge): -float(at) for at, merge in reversed(list(enumerate(raw["model"]["merges"])))}
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in vocabulary])
    writer.add_token_scores([rank.get(text, -1e6) for text, _ in vocabulary])
    writer.add_token_types([3 if text in CONTROL else 6 if text in BYTES else 1 for text, _ in vocabulary])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tokenizer = Tokenizer.from_folder(path)
    for file in sorted((REPOSITORY / "flash_lsp").glob("*.py"))[:4]:
        text = file.read_text()
        assert tokenizer.decode(tokenizer.encode(text)).decode() == text
        same = np.mean([tokenizer.encode(line) == pieces.encode(line) for line in text.split("\n")])
        assert same > 0.99
    assert [tokenizer.special(name) for name in CONTROL] == [pieces.special(name) for name in CONTROL]


def test_without_byte_fallback(tmp_path: Path, raw: dict[str, Any]) -> None:
    other = {**raw, "model": {**raw["model"], "byte_fallback": False}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(other))
    with pytest.raises(
        ModelError, match=r"tokenizer\.json: a BPE tokenizer is not supported .*byte fallback"
    ):
        Tokenizer.from_folder(tmp_path)


def test_deepseek_s_tokens_declared_not_special_are_control_tokens(bundled_folder: Path) -> None:
    """DeepSeek-Coder's fill-in-the-middle tokens have special=False, and some of its tokens are single letters."""
    raw = json.loads((bundled_folder / "tokenizer.json").read_text())
    names = ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "õ")  # noqa: RUF001
    raw["added_tokens"] += [
        {"id": 49152 + at, "content": name, "special": False} for at, name in enumerate(names)
    ]
    tokenizer = Tokenizer(raw)
    for at, name in enumerate(names):
        text = f"a {name} b"
        assert tokenizer.special(name) == 49152 + at
        assert 49152 + at not in tokenizer.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)).decode() == text


def test_unicode_normalization_is_left_out(bundled_folder: Path) -> None:
    """Qwen's tokenizer composes characters (NFC); what the user typed stays as it is."""
    raw = json.loads((bundled_folder / "tokenizer.json").read_text())
    tokenizer = Tokenizer({**raw, "normalizer": {"type": "NFC"}})
    text = "e\u0301 = 1"
    assert tokenizer.decode(tokenizer.encode(text)).decode() == text
