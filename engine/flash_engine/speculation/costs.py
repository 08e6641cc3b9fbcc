"""What a pass of the model costs, by the number of its tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from flash_engine.backend import Backend
from flash_engine.speculation.draft import LONGEST

_MOST = LONGEST + 1
_CONTEXT = 64
_LEVEL = 0.1
_SHAPE = 0.06
"""How fast the level of all costs, and the cost of one size in relation to it, follow what is measured."""
_DRAFT = 0.08
"""How fast the costs of drafts follow."""
_RATE = 0.04
"""How fast the rate that is reached follows."""
_LEAST = 0.1
"""Of a draft's first token, what a further one costs at least."""
_OUTLIER = 2.0
_ROUNDS = (3, 12)
_MEASURING = 0.25
"""Rounds of measuring at least and at most, and the seconds after which it may end."""


class PassCosts:
    """Seconds of a pass of 1 to 8 tokens, which follow what is measured.

    One level for all sizes, so that a longer context or a busier machine, seen at one size, is known for all; and a
    share of it for each size, which changes little.
    """

    def __init__(self, seconds: Sequence[float]) -> None:
        """`seconds`: of a pass of 1, 2, ... 8 tokens."""
        self._level = seconds[0]
        self._shape = [each / seconds[0] for each in seconds]

    @classmethod
    def measure(cls, run: Callable[[int], float]) -> PassCosts:
        """From the best of several passes each of 1, 2, 4 and 8 tokens by turns, so that a busy moment does not tell
        one size from another, the rest in between. `run(tokens)`: seconds."""
        sizes = (1, 2, 4, 8)
        run(1)
        best: list[float] = []
        spent = 0.0
        for number in range(_ROUNDS[1]):
            if number >= _ROUNDS[0] and spent > _MEASURING:
                break
            seconds = [run(size) for size in sizes]
            best = list(map(min, best, seconds)) if best else seconds
            spent += sum(seconds)
        return cls([float(each) for each in np.interp(range(1, _MOST + 1), sizes, best)])

    def __len__(self) -> int:
        return len(self._shape)

    def seconds(self, tokens: int) -> float:
        """Of a pass of `tokens`, 1 to 8."""
        return self._level * self._shape[tokens - 1]

    def table(self) -> list[float]:
        """Seconds of a pass of 1, 2, ... 8 tokens."""
        return [self._level * share for share in self._shape]

    def measured(self, tokens: int, seconds: float) -> None:
        """Take note that a pass of `tokens`, 1 to 8, took `seconds`; far off, it counts as twice or half of what was
        expected."""
        ratio = min(max(seconds / self.seconds(tokens), 1 / _OUTLIER), _OUTLIER)
        self._level *= ratio**_LEVEL
        self._shape[tokens - 1] *= ratio**_SHAPE


class Rate:
    """Tokens a second that rounds of one kind reach, as a running mean: at least those of plain decoding."""

    def __init__(self, costs: PassCosts) -> None:
        self._costs = costs
        self._tokens = 1.0
        self._seconds = costs.seconds(1)

    def __call__(self) -> float:
        return max(self._tokens / self._seconds, 1 / self._costs.seconds(1))

    def add(self, tokens: int, seconds: float, rounds: int = 1) -> None:
        """Take note of rounds of so many tokens and seconds each."""
        kept = (1 - _RATE) ** rounds
        self._tokens = tokens + kept * (self._tokens - tokens)
        self._seconds = seconds + kept * (self._seconds - seconds)


class DraftCosts:
    """Seconds of a draft of the draft model, which follow what is measured.

    Its first token costs more: the pass of the main model before it has driven its weights out of the caches.
    """

    def __init__(self, first: float, further: float) -> None:
        """Seconds of the first token of a draft and of each further one."""
        self.first = first
        self.further = further

    @classmethod
    def measure(cls, main: Callable[[int], float], draft: Callable[[int], float]) -> DraftCosts:
        """From the best of three passes of a token by the draft model, each after one of the main model, and of three
        after each other. `main(tokens)`, `draft(tokens)`: seconds."""
        best = [min(draft(1) for _ in range(3) if main(1)), min(draft(1) for _ in range(3))]
        return cls(max(best), best[1])

    def seconds(self, tokens: int) -> float:
        """Of a draft of `tokens`."""
        return self.first + (tokens - 1) * self.further if tokens else 0.0

    def measured(self, tokens: int, seconds: float) -> None:
        """Take note that a draft of `tokens` took `seconds`; far off, it counts as twice or half the expected."""
        expected = self.seconds(tokens)
        error = min(max(seconds, expected / _OUTLIER), expected * _OUTLIER) - expected
        if tokens == 1:
            self.first += _DRAFT * error
        else:
            self.further = max(self.further + _DRAFT * error / (tokens - 1), _LEAST * self.first)


def pass_timer(backend: Backend) -> Callable[[int], float]:
    """A function that runs a pass of so many tokens after a short prompt, with all logits: seconds."""
    cache = backend.new_cache()
    length = max(min(_CONTEXT, backend.capacity - _MOST), 1)
    backend.forward([0] * length, cache, logits=0)

    def run(tokens: int) -> float:
        count = min(tokens, backend.capacity - length)
        begin = time.perf_counter()
        backend.forward([0] * count, cache, logits=count)
        seconds = time.perf_counter() - begin
        cache.trim(length)
        return seconds

    return run
