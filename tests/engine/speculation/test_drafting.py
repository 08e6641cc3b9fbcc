"""Drafting pass by pass: what forwards give, bit for bit, whatever is read along."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flash_engine import Cancel, Cancelled, CapacityError
from flash_engine.drafting import ChoosingBackend, Chosen, DraftRule, bursts, draft

from ..conftest import NATIVE, OpenTiny
from ..tiny import Shape
from .knowing import Knowing, by_forwards

VOCABULARY = 300

bars = st.lists(st.sampled_from([0.0, 0.02, 0.1, 0.4]), max_size=7)
chances = st.lists(st.floats(0.05, 1.0), min_size=1, max_size=10)


@pytest.mark.parametrize("device", [*NATIVE, "reference"])
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
        for way in (draft, by_forwards):
            cache = backend.new_cache()
            drafted = way(backend, prompt, cache, rule)
            after = backend.forward([40], cache, logits=1).tolist()
            outcomes.append((drafted, cache.length, after))
        assert outcomes[0] == outcomes[1]

    check()


@pytest.mark.parametrize("device", [*NATIVE, "reference"])
def test_what_is_read_along_changes_no_token(open_tiny: OpenTiny, device: str) -> None:
    """A draft goes at least as far; its passes and the right ones among the tokens read along make up its length."""
    backend = open_tiny(device, Shape())
    ends = np.zeros(VOCABULARY, np.bool_)

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bars, chances, st.integers(1, 20), st.integers(0, 99))
    def check(bars: list[float], chances: list[float], length: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        prompt = rng.integers(17, VOCABULARY, length).tolist()
        whole = by_forwards(backend, prompt, backend.new_cache(), DraftRule([0.0] * 8, chances, ends))
        rule, cache = DraftRule(bars, chances, ends), backend.new_cache()
        plain = draft(backend, prompt, backend.new_cache(), rule)
        knowing = Knowing([token for token, _ in whole], rng)
        drafted = draft(backend, prompt, cache, rule, along=knowing)
        assert plain == drafted[: len(plain)]
        assert drafted == whole[: len(drafted)]
        assert len(drafted) <= len(bars)
        unasked = (
            len(drafted) - knowing.passes - knowing.right
        )  # passes without room: a full one, and the last
        assert 0 <= unasked <= 1 + (length >= 8)
        assert cache.length == (length + len(drafted) - 1 if drafted else 0)
        fresh = backend.new_cache()
        backend.forward([*prompt, *knowing.whole][: cache.length] or [17], fresh, logits=0)
        fresh.trim(cache.length)
        one, other = (backend.forward([40], each, logits=1).tolist() for each in (cache, fresh))
        assert one == other

    check()


def test_bursts() -> None:
    """Each pass gives what it chose after the tokens that were read along and right; wrong ones are read over."""
    passes: list[tuple[int | list[int], ...]] = []

    class Next:
        def after(self, drafted: Sequence[int], unread: int, most: int) -> list[int]:
            return [[31, 32, 99], [], [36, 37], [36, 37]][len(passes)][:most]

        def judge(self, right: int) -> None:
            passes[-1] += (right,)

    def read(tokens: Sequence[int], position: int, choices: int) -> Chosen:
        passes.append((list(tokens), position, choices))
        return [(token + 1 if token != 99 else 7, -0.5) for token in tokens[-choices:]]

    found = [[token for token, _ in burst] for burst in bursts(read, [29, 30], 5, 7, Next())]
    assert found == [[31, 32, 33], [34], [35], [36, 37]]
    assert passes == [
        ([29, 30, 31, 32, 99], 5, 4, 2),
        ([33], 9, 1, 0),
        ([34, 36, 37], 10, 3, 0),
        ([35, 36], 11, 2, 1),
    ]


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


@pytest.mark.parametrize("device", NATIVE)
def test_choices_without_a_token_are_refused(open_tiny: OpenTiny, device: str) -> None:
    backend = open_tiny(device, Shape())
    assert isinstance(backend, ChoosingBackend)
    cache = backend.new_cache()
    for vocabulary, choices, what in ((VOCABULARY, 3, "choices"), (VOCABULARY + 1, 1, "more ids")):
        with backend.choosing(cache, vocabulary=vocabulary) as read, pytest.raises(ValueError, match=what):
            read([40, 50], 0, choices)
    assert cache.length == 0
