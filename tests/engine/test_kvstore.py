"""KV caches on disk: restored bit for bit, or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from flash_engine import Session, Tokenizer
from flash_engine.kvstore import KVStore, store_key
from flash_engine.pace import Pace

from .conftest import DEVICES, OpenTiny
from .tiny import Shape

TOKENS = [(7 * i) % 290 + 1 for i in range(150)]
STORABLE = [DEVICES[0], DEVICES[2]]


@pytest.fixture
def store(tmp_path: Path) -> KVStore:
    return KVStore(tmp_path / "kv", cap=10_000_000)


def greedy(session: Session, count: int) -> list[np.ndarray]:
    """The logits of `count` greedy steps."""
    rows = []
    for _ in range(count):
        rows.append(session.logits().copy())
        session.append(int(rows[-1].argmax()))
    return rows


@pytest.mark.parametrize("device", STORABLE)
@pytest.mark.parametrize("kept", [64, 100, 129, 150])
def test_a_restored_session_goes_on_bit_for_bit(
    open_tiny: OpenTiny, tokenizer: Tokenizer, store: KVStore, device: str, kept: int
) -> None:
    backend = open_tiny(device, Shape())
    first = Session(backend, tokenizer, Pace())
    first.sync(TOKENS)
    first.trim(kept)
    saved = first.save()
    assert saved is not None
    assert store.put("key", *saved)
    first.sync(TOKENS)
    expected = greedy(first, 8)
    found = store.find("key", TOKENS)
    assert found is not None
    second = Session(backend, tokenizer, Pace())
    second.load(*found)
    assert second.sync(TOKENS) <= max(len(TOKENS) - kept, 1)
    for ours, theirs in zip(greedy(second, 8), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("device", STORABLE)
def test_another_text_uses_what_it_has_in_common(
    open_tiny: OpenTiny, tokenizer: Tokenizer, store: KVStore, device: str
) -> None:
    backend = open_tiny(device, Shape())
    first = Session(backend, tokenizer, Pace())
    first.sync(TOKENS)
    saved = first.save()
    assert saved is not None
    store.put("key", *saved)
    other = [*TOKENS[:90], 5, 6, 7]
    plain, restored = (Session(backend, tokenizer, Pace()) for _ in range(2))
    plain.sync(other)
    found = store.find("key", other)
    assert found is not None
    restored.load(*found)
    assert restored.sync(other) == 3
    for ours, theirs in zip(greedy(restored, 4), greedy(plain, 4), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("device", STORABLE)
def test_content_that_does_not_fit_changes_nothing(
    open_tiny: OpenTiny, tokenizer: Tokenizer, device: str
) -> None:
    session = Session(open_tiny(device, Shape()), tokenizer, Pace())
    session.sync(TOKENS)
    saved = session.save()
    assert saved is not None
    expected = session.logits().copy()
    for tokens, data in ((TOKENS, saved[1][:-1]), (TOKENS, b""), ([10**6], saved[1])):
        with pytest.raises(ValueError, match=r"bytes are not those|token ids run"):
            session.load(tokens, data)
    assert list(session.tokens) == TOKENS
    np.testing.assert_array_equal(session.logits(), expected)


def test_a_damaged_entry_is_dropped_never_used(store: KVStore) -> None:
    path = store.put("key", TOKENS, b"x" * 1000)
    assert path is not None
    whole = path.read_bytes()
    for position in range(0, len(whole), 41):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        found = store.find("key", TOKENS)
        assert found is None, position
        path.write_bytes(whole)
    for cut in (0, 5, 39, 50, 300, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert store.find("key", TOKENS) is None
        assert not path.exists()
    path.write_bytes(whole)
    assert store.find("key", TOKENS) == (TOKENS, b"x" * 1000)


def test_entries_belong_to_one_key_and_enough_tokens(store: KVStore, tmp_path: Path) -> None:
    assert store.find("key", TOKENS) is None
    store.put("key", TOKENS, b"x")
    assert store.find("other", TOKENS) is None
    assert store.find("key", TOKENS[:63]) is None
    assert store.find("key", TOKENS[:64]) is not None
    assert store.put("key", TOKENS[:63], b"x") is None
    (tmp_path / "model").mkdir()
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(b"1")
    keys = {store_key(tmp_path / "model", None, "native", template) for template in ("a", "b")}
    keys.add(store_key(tmp_path / "model", None, "mlx", "a"))
    keys.add(store_key(tmp_path / "model", 4, "native", "a"))
    weights.write_bytes(b"22")
    keys.add(store_key(tmp_path / "model", None, "native", "a"))
    assert len(keys) == 5
    (tmp_path / "model" / "adapter_config.json").write_text('{"base_model_name_or_path": "../base"}')
    (tmp_path / "base").mkdir()
    for weight in ("1", "22"):
        (tmp_path / "base" / "model.safetensors").write_text(weight)
        keys.add(store_key(tmp_path / "model", None, "native", "a"))
    assert len(keys) == 7


def test_a_longer_text_replaces_its_beginning(store: KVStore) -> None:
    store.put("key", TOKENS[:100], b"x")
    store.put("key", TOKENS, b"y")
    (entry,) = store.entries()
    assert len(entry.tokens) == 150


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    store = KVStore(tmp_path / "kv", cap=6000)
    texts = [[start + i for i in range(100)] for start in (0, 1000, 2000)]
    for index, text in enumerate(texts[:2]):
        path = store.put("key", text, b"x" * 2000)
        assert path is not None
        os.utime(path, (index, index))
    assert store.find("key", texts[0]) is not None
    store.put("key", texts[2], b"x" * 2000)
    assert store.find("key", texts[0]) is not None
    assert store.find("key", texts[1]) is None
    assert store.put("key", texts[1], b"x" * 7000) is None
    assert sum(entry.size for entry in store.entries()) <= 6000
    assert store.clear() == 2
    assert store.entries() == []


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_nobody_else_can_read_it(store: KVStore) -> None:
    path = store.put("key", TOKENS, b"x")
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
