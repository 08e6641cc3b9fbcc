"""Drafts from texts seen before: open buffers, recent edits, earlier suggestions. They cost no model pass."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from flash_engine.speculation.corpus import Corpus
from flash_engine.speculation.draft import Bounds, Draft

_GRADE_LENGTHS = (4, 5, 6, 8, 11, 15, 20, 26, 32)
"""Least length of a match for the grades 1 to 9."""


class TextDrafter:
    """What followed the longest earlier occurrence of the last tokens, the latest of equals."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def draft(self, tokens: Sequence[int], bounds: Bounds) -> Draft:
        """What may follow `tokens`; empty if their end is nowhere in the corpus."""
        best, length = Draft(), 0
        for match in self._corpus.index.matches(tokens, bounds.most):
            if match.length > length and (kept := bounds.cut(match.following)):
                length = match.length
                best = Draft(kept, [grade(length + place) for place in range(len(kept))])
        return best


def grade(length: int) -> int:
    """The grade of a token that follows a match of `length` tokens."""
    return bisect_right(_GRADE_LENGTHS, length)
