"""Every architecture against transformers, in float32 and through each file format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flash_engine import Checkpoint, backends
from flash_engine.backends import reference

from .architectures import CASES, logits, make

TOKENS = np.random.default_rng(7).integers(0, 160, 40).tolist()


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """But for the rounding of keys and values, left out here."""
    expected = logits(make(case, tmp_path), TOKENS)
    checkpoint = Checkpoint(tmp_path)
    exact = reference.ReferenceBackend.load(checkpoint, capacity=64)
    with_rounded_cache = exact.forward(TOKENS, exact.new_cache(), logits=40)
    mlx = backends.load("mlx", checkpoint, capacity=64)
    rounded = mlx.forward(TOKENS, mlx.new_cache(), logits=40)
    monkeypatch.setattr(reference, "through_int8", lambda rows: rows)
    computed = exact.forward(TOKENS, exact.new_cache(), logits=40)
    np.testing.assert_allclose(computed, expected, atol=1e-4)
    assert np.sqrt(np.mean((rounded - with_rounded_cache) ** 2)) < 4e-3 * expected.std()
