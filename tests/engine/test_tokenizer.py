from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st

from flash_engine import ModelError, Tokenizer, bundled

CONTROL = (
    "<|endoftext|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
)

text_without_unspellable = st.text(
    st.characters(
        exclude_categories=["Cs"], exclude_characters="\x04\x06\x13\x14\x16\x1d", max_codepoint=0x3FFFF
    )
)


@pytest.fixture(scope="module")
def plain(bundled_folder: Path) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(bundled_folder / "tokenizer.json"))


@given(text=text_without_unspellable)
@example(text="<|fim_pad|>")
def test_same_ids_as_the_library_and_back(
    tokenizer: Tokenizer, plain: tokenizers.Tokenizer, text: str
) -> None:
    ids = tokenizer.encode(text)
    if not any(token.content in text for token in plain.get_added_tokens_decoder().values()):
        assert ids == plain.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids).decode() == text


def test_same_ids_as_the_library_on_source_files(tokenizer: Tokenizer, plain: tokenizers.Tokenizer) -> None:
    for file in Path(__file__).parent.glob("*.py"):
        text = file.read_text()
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids).decode() == text
        if not any(name in text for name in CONTROL):
            assert ids == plain.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("name", CONTROL)
def test_literal_control_string_stays_text(tokenizer: Tokenizer, name: str) -> None:
    text = f"token = '{name}'"
    ids = tokenizer.encode(text)
    assert tokenizer.special(name) not in ids
    assert tokenizer.decode(ids).decode() == text


def test_control_tokens_by_name(tokenizer: Tokenizer) -> None:
    assert [tokenizer.special(name) for name in CONTROL] == [0, 3, 5, 7, 8, 9]
    assert tokenizer.special("def") is None
    assert tokenizer.special("<|no_such|>") is None
    assert all(tokenizer.token_bytes(token) == b"" for token in range(17))
    assert tokenizer.token_bytes(tokenizer.vocab_size) == b""


@pytest.mark.parametrize("text", ["a\ud800b", "\udfff", "(\x04)", "\x1d", "\U00040000"])
def test_what_cannot_be_spelled_is_replaced_not_dropped(tokenizer: Tokenizer, text: str) -> None:
    decoded = tokenizer.decode(tokenizer.encode(text)).decode()
    assert len(decoded) == len(text)
    assert "\ufffd" in decoded


def test_bytes_that_no_token_spells(tokenizer: Tokenizer) -> None:
    assert tokenizer.unspellable(b"a\x04b\xff") == b"\x04\xff"
    assert tokenizer.unspellable("def é 漢 \U0001f600\t\r\n\x0c".encode()) == b""


def test_every_token_decodes_to_its_bytes(tokenizer: Tokenizer, plain: tokenizers.Tokenizer) -> None:
    for token in range(17, tokenizer.vocab_size):
        data = tokenizer.token_bytes(token)
        assert data
        assert data.decode(errors="replace") == plain.decode([token])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("content", ["", "[1", "\xff"])
def test_not_json(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match="not valid JSON"):
        Tokenizer.from_folder(tmp_path)


def test_unsupported_kind(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram"}, "added_tokens": []}))
    with pytest.raises(ModelError, match="Unigram tokenizer is not supported"):
        Tokenizer.from_folder(tmp_path)


def test_damaged_content(tmp_path: Path, bundled_folder: Path) -> None:
    shutil.copy(bundled_folder / "tokenizer.json", tmp_path)
    raw = json.loads((tmp_path / "tokenizer.json").read_text())
    del raw["model"]["merges"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match=r"tokenizer\.json: the tokenizer cannot be used"):
        Tokenizer.from_folder(tmp_path)


def test_bundled_draft_uses_the_main_models_tokenizer(bundled_folder: Path) -> None:
    assert bundled.tokenizer_folder(bundled.root() / "flash-coder-draft") == bundled_folder
    assert bundled.tokenizer_folder(bundled_folder) == bundled_folder
