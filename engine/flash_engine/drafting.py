"""Drafting several tokens, pass by pass: each pass may read along what is likely to come, and then chooses more than
one token."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from flash_engine import sampling
from flash_engine.backend import Backend, KVCache
from flash_engine.common import common_tokens
from flash_engine.errors import FlashError

MOST_TOKENS = 8
"""Of a pass."""

Chosen = list[tuple[int, float]]
"""Ids with their log-probabilities."""

Read = Callable[[Sequence[int], int, int], Chosen]
"""read(tokens, position, choices): a pass of 1 to 8 `tokens` at `position`, up to which the cache is kept. Returns the
most likely next token, the lowest of equals, after each of the last `choices` of them."""


@dataclass(frozen=True, slots=True)
class DraftRule:
    """Where a draft ends. A draft of n tokens gets another one, and those that come with it, while n < len(bars) and
    the chance that all n are accepted, 1 for n = 0, is above bars[n]."""

    bars: Sequence[float]
    chances: Sequence[float]
    """Chance that a token is accepted if those before it are, by its probability p: chances[len(chances) * p]."""
    ends: NDArray[np.bool_]
    """[ids]: tokens that end a draft and are no part of it. Only the first `ids` of the vocabulary are drafted."""

    def chance(self, logprob: float) -> float:
        """Of a token of this log-probability."""
        return self.chances[min(int(len(self.chances) * math.exp(logprob)), len(self.chances) - 1)]


class ReadAlong(Protocol):
    """Knows what may come next in a draft. That changes how many passes a draft takes, and never its tokens."""

    def after(self, drafted: Sequence[int], unread: int, most: int) -> Sequence[int]:
        """Up to `most` tokens that may follow those drafted, to be read along in a pass of `unread` others."""
        ...

    def judge(self, right: int) -> None:
        """The pass has ended: so many of these, from the first on, were what was chosen."""
        ...


class Nothing:
    """A ReadAlong that knows nothing."""

    def after(self, drafted: Sequence[int], unread: int, most: int) -> Sequence[int]:
        return ()

    def judge(self, right: int) -> None: ...


NOTHING = Nothing()


@runtime_checkable
class ChoosingBackend(Protocol):
    """A Backend that chooses tokens faster than by their logits."""

    def choosing(
        self, cache: KVCache, *, vocabulary: int, cancel: threading.Event | None = None
    ) -> AbstractContextManager[Read]:
        """Passes on `cache`, which nothing else is done with until the end, choosing among the ids below `vocabulary`.

        Log-probabilities are among those. The cache then holds what the last pass has read. The reference is
        `choosing_by_forwards`; `read` raises what a forward does.
        """
        ...


@contextmanager
def choosing_by_forwards(
    backend: Backend, cache: KVCache, *, vocabulary: int, cancel: threading.Event | None = None
) -> Iterator[Read]:
    """The reference."""

    def read(tokens: Sequence[int], position: int, choices: int) -> Chosen:
        cache.trim(position)
        logits = backend.forward(tokens, cache, logits=choices, cancel=cancel)
        return [sampling.greedy(row[:vocabulary]) for row in logits]

    yield read


def draft(
    backend: Backend,
    tokens: Sequence[int],
    cache: KVCache,
    rule: DraftRule,
    *,
    along: ReadAlong = NOTHING,
    cancel: threading.Event | None = None,
) -> Chosen:
    """Append `tokens` (at least one) to `cache`, then the most likely next token, then the one after it, ...

    Returns the drafted ids, each with its log-probability among those of `rule.ends`; the cache then holds `tokens` and
    the drafted ones but the last. Raises CapacityError where a draft does not fit the cache, and Cancelled if `cancel`
    was seen to be set, the cache then as before.
    """
    if not rule.bars:
        return []
    length, vocabulary = cache.length, len(rule.ends)
    if isinstance(backend, ChoosingBackend):
        choosing = backend.choosing(cache, vocabulary=vocabulary, cancel=cancel)
    else:
        choosing = choosing_by_forwards(backend, cache, vocabulary=vocabulary, cancel=cancel)
    first = max(len(tokens) - MOST_TOKENS, 0)
    try:
        if first:
            backend.forward(tokens[:first], cache, logits=0, cancel=cancel)
        with choosing as read:
            steps = bursts(read, tokens[first:], length + first, len(rule.bars), along)
            drafted = draft_from(steps, rule)
    except FlashError:
        cache.trim(length)
        raise
    cache.trim(min(length + len(tokens) + max(len(drafted) - 1, 0), cache.length))
    return drafted


def bursts(
    read: Read, tokens: Sequence[int], position: int, most: int, along: ReadAlong = NOTHING
) -> Iterator[Chosen]:
    """Up to `most` tokens that follow `tokens`, 1 to 8 at `position`: what a pass chooses, one or more, at a time."""
    drafted: list[int] = []
    while len(drafted) < most:
        room = min(most - len(drafted) - 1, MOST_TOKENS - len(tokens))
        ahead = along.after(drafted, len(tokens), room) if room else ()
        chosen = read([*tokens, *ahead], position, 1 + len(ahead))
        right = common_tokens(ahead, [token for token, _ in chosen])
        if room:
            along.judge(right)
        yield chosen[: right + 1]
        position += len(tokens) + right
        drafted += [token for token, _ in chosen[: right + 1]]
        tokens = drafted[-1:]


def draft_from(bursts: Iterator[Chosen], rule: DraftRule) -> Chosen:
    """A draft of what `bursts` gives, asked for no more than it takes."""
    drafted: Chosen = []
    chance = 1.0
    while len(drafted) < len(rule.bars) and chance > rule.bars[len(drafted)]:
        for token, logprob in next(bursts):
            if rule.ends[token]:
                return drafted
            drafted.append((token, logprob))
            chance *= rule.chance(logprob)
    return drafted
