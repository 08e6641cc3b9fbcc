"""How much two sequences have in common at their ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile


def common_tokens(a: Sequence[int], b: Sequence[int]) -> int:
    """Number of leading tokens that are equal in `a` and `b`, which may be of different types."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def common_prefix(a: str, b: str) -> int:
    """Number of leading code points that are equal in `a` and `b`.

    By bisection: comparing slices is much faster than comparing characters.
    """
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(a: str, b: str) -> int:
    """Number of trailing code points that are equal in `a` and `b`."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[len(a) - middle : len(a) - low] == b[len(b) - middle : len(b) - low]:
            low = middle
        else:
            high = middle - 1
    return low
