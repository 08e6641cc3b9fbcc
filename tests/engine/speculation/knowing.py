"""Drafts for tests: the reference, and one who knows what comes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flash_engine import sampling
from flash_engine.backend import Backend, KVCache
from flash_engine.drafting import Chosen, DraftRule


class Knowing:
    """A ReadAlong that knows what comes next, but for what `rng` makes wrong."""

    def __init__(self, whole: Sequence[int], rng: np.random.Generator) -> None:
        self.whole, self.rng = whole, rng
        self.passes, self.right = 0, 0
        self.given: list[int] = []

    def after(self, drafted: Sequence[int], unread: int, most: int) -> list[int]:
        assert list(drafted) == list(self.whole[: len(drafted)])
        assert 1 <= most <= 8 - unread
        coming = self.whole[len(drafted) :][: self.rng.integers(0, most + 1)]
        self.passes += 1
        self.given = [token if self.rng.random() < 0.7 else 16 for token in coming]
        return self.given

    def judge(self, right: int) -> None:
        assert right <= len(self.given)
        assert right == len(self.given) or self.given[right] == 16
        self.right += right


def by_forwards(backend: Backend, tokens: Sequence[int], cache: KVCache, rule: DraftRule) -> Chosen:
    """The reference: a forward a token, the cache then without the last."""
    drafted: Chosen = []
    chance = 1.0
    for bar in rule.bars:
        if chance <= bar:
            break
        token, logprob = sampling.greedy(backend.forward(tokens, cache, logits=1)[0, : len(rule.ends)])
        if rule.ends[token]:
            cache.trim(cache.length - bool(drafted))
            break
        drafted.append((token, logprob))
        chance *= rule.chance(logprob)
        tokens = [token]
    return drafted
