"""Text that has fallen into repeating itself."""

from __future__ import annotations

from collections.abc import Sequence

_PERIODS = ((10, 1), (30, 10), (45, 20), (60, 30))
"""(n, p): the last n items having a period of at most p are a repetition."""


def repeats(items: Sequence[object]) -> bool:
    """Whether the last 10, 30, 45 or 60 items have a short period (prefix function of the reversed sequence,
    Knuth, Morris, Pratt, 1977; the thresholds are those of Copilot's open completion core)."""
    return any(len(items) >= size and _period(items[-size:]) <= period for size, period in _PERIODS)


def _period(items: Sequence[object]) -> int:
    """The smallest p such that items[i] == items[i + p] for all i."""
    border = [0] * len(items)
    matched = 0
    for index in range(1, len(items)):
        while matched and items[index] != items[matched]:
            matched = border[matched - 1]
        if items[index] == items[matched]:
            matched += 1
        border[index] = matched
    return len(items) - border[-1]
