"""What a drafter proposes, and within which bounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice, takewhile
from typing import Self

from flash_engine.constraint import remaining
from flash_engine.tokenizer import Tokenizer

LONGEST = 7
"""Tokens of a draft: with the one before them they make a pass of 8, up to which a pass is cheap."""

GRADES = 10
"""Classes of confidence that a drafter sorts its tokens into: 0 is the least."""


class Source(StrEnum):
    """Where a draft comes from: the draft model, or texts seen before."""

    MODEL = "model"
    TEXT = "text"


@dataclass(slots=True)
class Draft:
    """Tokens that may come next, each with its grade."""

    tokens: list[int] = field(default_factory=list)
    grades: list[int] = field(default_factory=list)

    def first(self, count: int) -> Draft:
        """Its first `count` tokens."""
        return Draft(self.tokens[:count], self.grades[:count])


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a draft has to keep to so that its tokens can be chosen at all."""

    tokenizer: Tokenizer
    most: int
    """Most tokens of the draft."""
    remainder: bytes
    """Bytes that have to come next (constraint.py)."""
    stop: frozenset[int]
    until: bytes
    """Nothing is wanted from the first token on that has these bytes; b"": all is wanted."""

    def after(self, token: int) -> Self | None:
        """The bounds of what follows `token`; None if a draft has to end before it."""
        data = self.tokenizer.token_bytes(token)
        if not data or not self.most:
            return None
        if self.remainder:
            if not (data.startswith(self.remainder) or self.remainder.startswith(data)):
                return None
        elif token in self.stop or (self.until and self.until in data):
            return None
        return replace(self, most=self.most - 1, remainder=remaining(self.remainder, data))

    def cut(self, tokens: Iterable[int]) -> list[int]:
        """`tokens` up to where a draft has to end."""
        if not self.remainder:
            ends = self.tokenizer.ending(self.stop, self.until)
            return list(takewhile(lambda token: not ends[token], islice(tokens, self.most)))
        kept: list[int] = []
        bounds = self
        for token in tokens:
            after = bounds.after(token)
            if after is None:
                break
            kept.append(token)
            bounds = after
        return kept
