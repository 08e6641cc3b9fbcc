"""What is measured of a decoder: steps, passes of 1 to 8 tokens, keystrokes, and prompts."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx


class Model(Protocol):
    """One sequence on a model."""

    def start(self, length: int) -> None:
        """A cache of `length` random positions."""
        ...

    def next(self, tokens: Sequence[int]) -> int:
        """Append tokens: the greedy next token."""
        ...

    def decode(self, token: int, count: int) -> None:
        """Append a token, then decode `count` greedily; all of them get to the host."""
        ...


class Stepping:
    """A model whose passes are operations of MLX."""

    def step(self, tokens: mx.array) -> mx.array:
        """Queue a pass of tokens int32 [M]: the greedy next token, int32 [1]. The cache grows by M."""
        raise NotImplementedError

    def next(self, tokens: Sequence[int]) -> int:
        following = self.step(mx.array(list(tokens), dtype=mx.int32)).tolist()
        return int(following[0])  # type: ignore[index, arg-type]

    def decode(self, token: int, count: int) -> None:
        """Each step is queued before the last is read."""
        last = self.step(mx.array([token], dtype=mx.int32))
        for _ in range(count - 1):
            following = self.step(last)
            mx.async_eval(following)  # type: ignore[no-untyped-call]
            last.item()
            last = following
        last.item()


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one thing, measured again and again."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def figures(self) -> dict[str, float]:
        """Milliseconds: median, p95, and the fastest."""
        order = sorted(self.seconds)
        p95 = order[min(len(order) - 1, int(0.95 * len(order)))]
        return {"ms": self.median * 1e3, "p95_ms": p95 * 1e3, "best_ms": order[0] * 1e3}


def tokens(count: int) -> list[int]:
    """Random tokens of any vocabulary."""
    return random.choices(range(256), k=count)


def decode(model: Model, context: int, steps: int = 128, rounds: int = 4) -> dict[str, Any]:
    """Tokens a second of greedy decoding behind `context` tokens."""
    rates = []
    for _ in range(rounds):
        model.start(context)
        (token,) = tokens(1)
        begun = time.perf_counter()
        model.decode(token, steps)
        rates.append(steps / (time.perf_counter() - begun))
    return {"tokens_s": statistics.median(rates[1:]), "all": rates}


def passes(model: Model, context: int, sizes: Sequence[int], rounds: int = 24) -> dict[int, Times]:
    """One pass of M tokens to the next token on the host, on a cache that grows: each length is a new one."""
    found = {}
    for size in sizes:
        model.start(context)
        found[size] = Times(tuple(_timed(model, tokens(size)) for _ in range(rounds))[4:])
    return found


def prompts(model: Model, sizes: Sequence[int], rounds: int = 5) -> dict[int, Times]:
    """A prompt of so many tokens into an empty cache, to the next token on the host; the first round is left out."""
    found = {}
    for size in sizes:
        times = []
        for _ in range(rounds):
            model.start(0)
            times.append(_timed(model, tokens(size)))
        found[size] = Times(tuple(times[1:]))
    return found


def _timed(model: Model, given: Sequence[int]) -> float:
    mx.synchronize()
    begun = time.perf_counter()
    model.next(given)
    return time.perf_counter() - begun
