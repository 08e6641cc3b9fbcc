"""Drafting for the draft model: tokens that may come next, looked up in what it has read, are read along with the last.

What the draft model drafts is the same, in fewer of its passes: where a token read along is the one it chooses, the
pass has chosen the one after it, too (cascade drafting: Z. Chen et al. 2023, "Cascade speculative drafting for even
faster LLM inference"; the looking up is A. Saxena's prompt lookup, 2023).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from flash_engine.speculation.costs import PassCosts

_PRIOR = {5: 0.8, 3: 0.65, 2: 0.5, 1: 0.4}
"""How often what followed a sequence of so many tokens is what the draft model chooses; the longest first."""
_FOLLOW = 0.03
_CAPACITY = 1 << 14
"""Tokens after which NGrams begins anew: some 10 MB."""

Found = list[tuple[int, int]]
"""Tokens that may come one after the other, each with the length of the sequence that it was found behind."""


class NGrams:
    """What followed the last 1, 2, 3 and 5 tokens when they were last seen."""

    def __init__(self) -> None:
        self._following: dict[int, dict[tuple[int, ...], int]] = {length: {} for length in _PRIOR}
        self._count = 0
        self.begun = 1
        """How often it has begun anew, the first time included."""

    def add(self, tokens: Sequence[int], start: int, end: int) -> None:
        """Take in tokens[start:end], those ahead of them having been taken in before."""
        if self._count > _CAPACITY:
            self._count, self.begun = 0, self.begun + 1
            for following in self._following.values():
                following.clear()
        self._count += end - start
        for length, following in self._following.items():
            part = tokens[max(start - length, 0) : end]
            keys = zip(*(part[place:] for place in range(length)), strict=False)
            following.update(zip(keys, part[length:], strict=False))

    def after(self, tokens: Sequence[int], most: int) -> Found:
        """Up to `most` tokens that may follow `tokens`."""
        last, found = list(tokens[-max(_PRIOR) :]), Found()
        while len(found) < most:
            for length, following in self._following.items():
                token = following.get(tuple(last[-length:]))
                if token is not None:
                    break
            else:
                break
            found.append((token, length))
            last.append(token)
        return found


class Lookup:
    """How many tokens are worth being read along, by what passes of the draft model cost on this machine and by how
    often such tokens were right. One for all drafts of a draft model."""

    def __init__(self, costs: PassCosts, clock: Callable[[], float] = time.perf_counter) -> None:
        """costs: of passes of the draft model. clock: in seconds."""
        self.ngrams = NGrams()
        self.costs = costs
        self.clock = clock
        self._right = dict(_PRIOR)

    def behind(self, tokens: Sequence[int]) -> Ahead:
        """For a draft of what follows `tokens`."""
        last = tokens[-max(_PRIOR) :]
        return Ahead(self, lambda drafted, most: self.ngrams.after([*last, *drafted], most))

    def worth(self, found: Found, unread: int) -> int:
        """How many of the tokens found to read along with `unread` others, so that a second gives most tokens."""
        costs = self.costs.table()
        best, most, expected, chance = 0, 1.0 / costs[unread - 1], 1.0, 1.0
        for count, (_, length) in enumerate(found, 1):
            chance *= self._right[length]
            expected += chance
            if expected / costs[unread + count - 1] > most:
                best, most = count, expected / costs[unread + count - 1]
        return best

    def judge(self, found: Found, right: int) -> None:
        """Of these, read along, the first `right` were right."""
        for place, (_, length) in enumerate(found[: right + 1]):
            self._right[length] += _FOLLOW * ((place < right) - self._right[length])

    @property
    def right(self) -> dict[int, float]:
        """How often tokens are right, by the length of the sequence that they were found behind."""
        return self._right.copy()


class Ahead:
    """What may come next in one draft: see flash_engine.drafting.ReadAlong."""

    def __init__(self, lookup: Lookup, find: Callable[[Sequence[int], int], Found]) -> None:
        """find(drafted, most): up to `most` tokens that may follow those drafted."""
        self._lookup, self._find = lookup, find
        self._found = Found()
        self._tokens, self._begin = 0, 0.0

    def after(self, drafted: Sequence[int], unread: int, most: int) -> list[int]:
        found = self._find(drafted, most)
        self._found = found[: self._lookup.worth(found, unread)]
        self._tokens = 0 if not drafted else unread + len(self._found)
        self._begin = self._lookup.clock()
        return [token for token, _ in self._found]

    def judge(self, right: int) -> None:
        """The first pass of a draft tells nothing of costs: the main model's has driven it out of the caches."""
        self._lookup.judge(self._found, right)
        if self._tokens:
            self._lookup.costs.measured(self._tokens, self._lookup.clock() - self._begin)
