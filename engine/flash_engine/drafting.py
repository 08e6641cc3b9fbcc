"""Drafting several tokens in one call: what a backend may do in its own way, and the reference in forwards."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from flash_engine import sampling
from flash_engine.backend import Backend, KVCache
from flash_engine.errors import FlashError


@dataclass(frozen=True, slots=True)
class DraftRule:
    """Where a draft ends. A draft of n tokens gets another one while n < len(bars) and the chance that all n are
    accepted, 1 for n = 0, is above bars[n]."""

    bars: Sequence[float]
    chances: Sequence[float]
    """Chance that a token is accepted if those before it are, by its probability p: chances[len(chances) * p]."""
    ends: NDArray[np.bool_]
    """[ids]: tokens that end a draft and are no part of it. Only the first `ids` of the vocabulary are drafted."""

    def chance(self, logprob: float) -> float:
        """Of a token of this log-probability."""
        return self.chances[min(int(len(self.chances) * math.exp(logprob)), len(self.chances) - 1)]


@runtime_checkable
class DraftingBackend(Protocol):
    """A Backend that drafts faster than by a forward a token."""

    def draft(
        self, tokens: Sequence[int], cache: KVCache, rule: DraftRule, *, cancel: threading.Event | None = None
    ) -> list[tuple[int, float]]:
        """Append `tokens` (at least one) to `cache`, then the most likely next token, then the one after it, ...

        Returns the drafted ids, the lowest of equals, each with its log-probability among those of `rule.ends`; the
        cache then holds `tokens` and the drafted ones, the last of them or not. The reference is `draft_by_forwards`.
        Raises CapacityError if the cache cannot hold a draft of len(rule.bars), and Cancelled if `cancel` was seen
        to be set, the cache then as before.
        """
        ...


def draft(
    backend: Backend,
    tokens: Sequence[int],
    cache: KVCache,
    rule: DraftRule,
    *,
    cancel: threading.Event | None = None,
) -> list[tuple[int, float]]:
    """`DraftingBackend.draft` by the backend's own way, or by forwards."""
    if isinstance(backend, DraftingBackend):
        return backend.draft(tokens, cache, rule, cancel=cancel)
    return draft_by_forwards(backend, tokens, cache, rule, cancel=cancel)


def draft_by_forwards(
    backend: Backend,
    tokens: Sequence[int],
    cache: KVCache,
    rule: DraftRule,
    *,
    cancel: threading.Event | None = None,
) -> list[tuple[int, float]]:
    """The reference."""
    length = cache.length

    def steps(tokens: Sequence[int]) -> Iterator[tuple[int, float]]:
        while True:
            logits = backend.forward(tokens, cache, logits=1, cancel=cancel)
            token, logprob = sampling.greedy(logits[0, : len(rule.ends)])
            yield token, logprob
            tokens = [token]

    try:
        return draft_from(steps(tokens), rule)
    except FlashError:
        cache.trim(length)
        raise


def draft_from(steps: Iterator[tuple[int, float]], rule: DraftRule) -> list[tuple[int, float]]:
    """A draft of what decoding token by token gives, ids and log-probabilities, asked for no more than it takes."""
    drafted: list[tuple[int, float]] = []
    chance = 1.0
    for bar in rule.bars:
        if chance <= bar:
            break
        token, logprob = next(steps)
        if rule.ends[token]:
            break
        drafted.append((token, logprob))
        chance *= rule.chance(logprob)
    return drafted
