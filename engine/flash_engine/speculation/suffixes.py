"""Where the end of a token sequence occurred before: an index of texts that only grows.

Chains of earlier places with the same last three tokens, the latest first, as deflate (RFC 1951, section 4) keeps them;
a query follows a chain and compares backwards. It finds the same longest match as a suffix automaton where that
has three tokens or more and is among the latest places, and unlike one it takes a microsecond a token and about
100 bytes in plain Python, with no copies of states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_KEY = 3
_CHAIN = 24
"""Places of a chain that a query looks at."""
LONGEST_MATCH = 32
_GAP = -1


class Match(NamedTuple):
    """An earlier occurrence of a sequence's end."""

    length: int
    """Tokens in common, 3 to LONGEST_MATCH."""
    following: list[int]
    """What came next there."""


class SuffixIndex:
    """Texts as tokens, and where their trigrams are."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._latest: dict[tuple[int, int, int], int] = {}
        self._earlier: list[int] = []

    def __len__(self) -> int:
        """Tokens held."""
        return len(self._tokens)

    def add(self, tokens: Sequence[int]) -> None:
        """Append a text; matches do not reach across texts."""
        known, earlier, latest = self._tokens, self._earlier, self._latest
        known.append(_GAP)
        known.extend(tokens)
        start = len(earlier)
        earlier.extend([_GAP] * (len(tokens) + 1))
        keys = zip(tokens, tokens[1:], tokens[2:-1], strict=False)
        for end, key in enumerate(keys, start + 1 + _KEY):
            earlier[end] = latest.get(key, _GAP)
            latest[key] = end

    def knows(self, tokens: Sequence[int]) -> bool:
        """Whether `matches` finds anything."""
        return tuple(tokens[-_KEY:]) in self._latest

    def matches(self, tokens: Sequence[int], count: int) -> Iterator[Match]:
        """Earlier occurrences of the end of `tokens`, the latest first, each with up to `count` tokens after it."""
        if len(tokens) < _KEY:
            return
        place = self._latest.get((tokens[-3], tokens[-2], tokens[-1]), _GAP)
        for _ in range(_CHAIN):
            if place == _GAP:
                return
            yield Match(self._common(tokens, place), self._after(place, count))
            place = self._earlier[place]

    def _common(self, tokens: Sequence[int], place: int) -> int:
        known = self._tokens
        length = _KEY
        most = min(len(tokens), LONGEST_MATCH)
        while length < most and known[place - 1 - length] == tokens[-1 - length]:
            length += 1
        return length

    def _after(self, place: int, count: int) -> list[int]:
        following = self._tokens[place : place + count]
        return following[: following.index(_GAP)] if _GAP in following else following
