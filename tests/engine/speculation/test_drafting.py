"""Drafting in one native call: what forwards give, bit for bit."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flash_engine import Cancel, Cancelled, CapacityError
from flash_engine.drafting import DraftRule, draft, draft_by_forwards

from ..conftest import NATIVE, OpenTiny
from ..tiny import Shape

VOCABULARY = 300

bars = st.lists(st.sampled_from([0.0, 0.02, 0.1, 0.4]), max_size=7)
chances = st.lists(st.floats(0.05, 1.0), min_size=1, max_size=10)


@pytest.mark.parametrize("device", NATIVE)
def test_as_by_forwards(open_tiny: OpenTiny, device: str) -> None:
    """Any bars, chances, ends and number of ids, after any prompt; the cache then goes on alike."""
    backend = open_tiny(device, Shape())

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        bars, chances, st.integers(1, VOCABULARY), st.floats(0, 0.5), st.integers(1, 20), st.integers(0, 99)
    )
    def check(
        bars: list[float], chances: list[float], ids: int, ending: float, length: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        rule = DraftRule(bars, chances, rng.random(ids) < ending)
        prompt = rng.integers(17, VOCABULARY, length).tolist()
        outcomes = []
        for way in (draft, draft_by_forwards):
            cache = backend.new_cache()
            drafted = way(backend, prompt, cache, rule)
            after = backend.forward([40], cache, logits=1).tolist()
            outcomes.append((drafted, cache.length, after))
        assert outcomes[0] == outcomes[1]

    check()


@pytest.mark.parametrize("device", NATIVE)
def test_cancelled_or_beyond_the_context_the_cache_is_as_before(open_tiny: OpenTiny, device: str) -> None:
    backend = open_tiny(device, Shape())
    cache = backend.new_cache()
    rng = random.Random(0)
    prompt = [rng.randrange(17, VOCABULARY) for _ in range(backend.capacity - 3)]
    backend.forward(prompt, cache, logits=0)
    rule = DraftRule([0.0] * 4, [0.5], np.zeros(VOCABULARY, np.bool_))
    with pytest.raises(CapacityError):
        draft(backend, [50], cache, rule)
    cancel = Cancel()
    cancel.set()
    cache.trim(10)
    with pytest.raises(Cancelled):
        draft(backend, [50], cache, rule, cancel=cancel)
    assert cache.length == 10
