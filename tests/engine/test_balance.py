"""Keys balanced against queries: the same scores, and less lost in the 8-bit cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from flash_engine import Checkpoint
from flash_engine.backends import reference
from flash_engine.balance import key_factors

from .architectures import logits, make

TOKENS = np.random.default_rng(7).integers(0, 160, 40).tolist()


def with_large_key_biases(folder: Path) -> torch.nn.Module:
    """A tiny Qwen2 whose keys have a few channels far larger than the rest, as the real ones have."""
    model = make("qwen2", folder)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.k_proj.bias[::7] += 60.0
    model.save_pretrained(folder)
    return model


def test_logits_stay_and_the_cache_loses_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = logits(with_large_key_biases(tmp_path), TOKENS)
    checkpoint = Checkpoint(tmp_path)
    stored = Checkpoint(tmp_path)
    monkeypatch.setattr(stored, "_balance", lambda name: None)
    errors = []
    for opened in (checkpoint, stored):
        backend = reference.ReferenceBackend.load(opened, capacity=64)
        rounded = backend.forward(TOKENS, backend.new_cache(), logits=40)
        with monkeypatch.context() as exact:
            exact.setattr(reference, "through_int8", lambda rows: rows)
            whole = backend.forward(TOKENS, backend.new_cache(), logits=40)
        np.testing.assert_allclose(whole, expected, atol=2e-4)
        errors.append(np.sqrt(np.mean(np.square(rounded - whole))))
    assert errors[0] < 0.7 * errors[1]


def test_factors_are_powers_of_two_alike_in_a_pair(tmp_path: Path) -> None:
    with_large_key_biases(tmp_path)
    config = Checkpoint(tmp_path).config
    rng = np.random.default_rng(0)
    factors = key_factors(config, rng.uniform(0.1, 10, 64), rng.uniform(0.1, 100, 32))
    assert factors.shape == (config.num_kv_heads, config.head_dim)
    np.testing.assert_array_equal(np.exp2(np.rint(np.log2(factors))), factors)
    np.testing.assert_array_equal(*np.split(factors, 2, axis=1))
    assert len(np.unique(factors)) > 1
