from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flash_engine.sampling import Candidates, greedy, greedy_numpy, sample

vectors = hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(-30, 30, width=32))


@given(logits=vectors, data=st.data())
def test_greedy_equals_numpy(logits: np.ndarray, data: st.DataObject) -> None:
    """The native version, where it is built, against float64."""
    subsets = st.lists(st.integers(0, len(logits) - 1), min_size=1, unique=True).map(sorted)
    ids = data.draw(st.none() | subsets)
    allowed: Candidates | None = None if ids is None else np.array(ids, np.int32)
    token, logprob = greedy(logits, allowed)
    expected_token, expected_logprob = greedy_numpy(logits, allowed)
    assert token == expected_token
    assert logprob == pytest.approx(expected_logprob, abs=1e-4)


def test_first_of_equals() -> None:
    logits = np.array([1, 3, 3, 2], np.float32)
    assert greedy(logits)[0] == 1
    assert greedy(logits, np.array([2, 3], np.int32))[0] == 2


def test_logprob_is_among_the_allowed() -> None:
    logits = np.log(np.array([0.5, 0.2, 0.2, 0.1], np.float32))
    assert greedy(logits)[1] == pytest.approx(math.log(0.5), abs=1e-5)
    assert greedy(logits, np.array([1, 3], np.int32))[1] == pytest.approx(math.log(2 / 3), abs=1e-5)


def test_frequencies_follow_the_temperature() -> None:
    shares = np.array([0.6, 0.3, 0.1])
    logits = np.log(shares).astype(np.float32)
    rng = np.random.default_rng(0)
    for temperature in (0.5, 1.0, 2.0):
        expected = shares ** (1 / temperature) / np.sum(shares ** (1 / temperature))
        draws = [sample(logits, None, temperature, rng)[0] for _ in range(4000)]
        np.testing.assert_allclose(np.bincount(draws, minlength=3) / 4000, expected, atol=0.03)


def test_sample_reports_the_logprob_at_temperature_1_among_the_allowed() -> None:
    logits = np.log(np.array([0.5, 0.2, 0.2, 0.1], np.float32))
    rng = np.random.default_rng(0)
    for _ in range(20):
        token, logprob = sample(logits, np.array([1, 3], np.int32), 3.0, rng)
        assert logprob == pytest.approx(math.log({1: 2 / 3, 3: 1 / 3}[token]), abs=1e-6)


def test_extreme_logits() -> None:
    logits = np.array([1e30, -1e30, 0], np.float32)
    assert greedy(logits) == (0, pytest.approx(0.0))
    assert sample(logits, None, 1e-3, np.random.default_rng(0))[0] == 0
