"""What is measured of a decoder: steps, passes of 1 to 8 tokens, keystrokes, and memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx


class Model(Protocol):
    """One sequence on a model: what the fused decoder and the stock path are measured through."""

    def start(self, length: int) -> None:
        """A cache of `length` random positions."""
        ...

    def step(self, tokens: mx.array) -> mx.array:
        """Queue a pass of tokens int32 [M]: the greedy next token, int32 [1]. The cache grows by M."""
        ...


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


def tokens(count: int) -> mx.array:
    """Random tokens of any vocabulary, int32 [count]."""
    made = mx.random.randint(0, 256, (count,), mx.int32)
    mx.eval(made)
    return made


def decode(model: Model, context: int, steps: int = 128, rounds: int = 4) -> dict[str, Any]:
    """Tokens a second of greedy decoding behind `context` tokens; each step is queued before the last is read."""
    rates = []
    for _ in range(rounds):
        model.start(context)
        token = model.step(tokens(1))
        mx.eval(token)
        begun = time.perf_counter()
        for _ in range(steps):
            following = model.step(token)
            mx.async_eval(following)  # type: ignore[no-untyped-call]
            token.item()
            token = following
        token.item()
        rates.append(steps / (time.perf_counter() - begun))
    return {"tokens_s": statistics.median(rates[1:]), "all": rates}


def passes(model: Model, context: int, sizes: Sequence[int], rounds: int = 24) -> dict[int, Times]:
    """One pass of M tokens to the next token on the host, on a cache that grows: each length is a new one."""
    found = {}
    for size in sizes:
        model.start(context)
        given = [tokens(size) for _ in range(rounds)]
        found[size] = Times(tuple(_timed(model, x) for x in given)[4:])
    return found


def _timed(model: Model, given: mx.array) -> float:
    mx.synchronize()
    begun = time.perf_counter()
    model.step(given).item()
    return time.perf_counter() - begun
