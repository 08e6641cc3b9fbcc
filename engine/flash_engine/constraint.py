"""Byte-prefix constraint (token healing): the tokens that may come next so that the text starts as given.

A half-typed word is kept out of the prompt and enforced here instead, so that the model reads only whole
pre-tokens (M. Lundberg, "The art of prompt design: token healing", 2023; reference rule for greedy decoding:
a token may extend the remaining bytes or be a prefix of them).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class SortedVocabulary:
    """A vocabulary sorted by bytes, so that the allowed tokens are a few slices found by binary search."""

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        """`token_bytes`: bytes of each id; tokens of no bytes (control tokens) are never allowed."""
        order = sorted((data, token) for token, data in enumerate(token_bytes) if data)
        self._data = [data for data, _ in order]
        self._ids = np.array([token for _, token in order], dtype=np.int32)

    def allowed(self, remainder: bytes) -> NDArray[np.int32]:
        """Ids, ascending, whose bytes start with `remainder` (not empty) or are a non-empty prefix of it."""
        if not remainder:
            raise ValueError("the remainder is empty: nothing constrains the next token")
        size = len(remainder)
        first = bisect_left(self._data, remainder, key=lambda data: data[:size])
        last = bisect_right(self._data, remainder, lo=first, key=lambda data: data[:size])
        slices = [self._ids[first:last], *(self._exactly(remainder[:end]) for end in range(1, size))]
        return np.sort(np.concatenate(slices))

    def _exactly(self, data: bytes) -> NDArray[np.int32]:
        first = bisect_left(self._data, data)
        return self._ids[first : bisect_right(self._data, data, lo=first)]


def remaining(remainder: bytes, data: bytes) -> bytes:
    """What of `remainder` is still to come after a token of bytes `data` that `allowed` permitted."""
    return remainder[len(data) :]
