"""Drafts from texts seen before: open buffers, recent edits, earlier suggestions. They cost no model pass."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from flash_engine.speculation.corpus import Corpus
from flash_engine.speculation.draft import Bounds, Draft

_SHARES = (0.35, 0.65, 0.9)
"""Least share of the support for the grades 1, 2 and 3: places that say something else are a bad sign."""
_EVIDENCE = (4, 6, 8, 11, 16, 24)
"""Least length of a match for the grades 4 to 9, each of up to two other places that agree worth two tokens."""
PRIOR = (0.2, 0.4, 0.6, 0.65, 0.75, 0.8, 0.9, 0.9, 0.93, 0.97)
"""Acceptance by grade: of the bundled model on other texts than those it is measured with."""
_VOICE = 8
"""Tokens that a match may be shorter than the longest for its place to have a say."""


class TextDrafter:
    """What followed the longest earlier occurrence of the last tokens, the latest of equals."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def knows(self, tokens: Sequence[int]) -> bool:
        """Whether the end of `tokens` is anywhere in the corpus."""
        return self._corpus.index.knows(tokens)

    def draft(self, tokens: Sequence[int], bounds: Bounds) -> Draft:
        """What may follow `tokens`; empty if their end is nowhere in the corpus.

        Graded by the length of the match and the support of the other occurrences: of those that agree so far, each
        with weight 2 ** length, the share that goes on like this.
        """
        index = self._corpus.index
        matches = index.matches(tokens)
        for match in sorted(matches, key=lambda match: -match.length):
            if kept := bounds.cut(index.after(match.place, bounds.most)):
                break
        else:
            return Draft()
        voters = [
            (2.0 ** (each.length - match.length), index.after(each.place, bounds.most))
            for each in matches
            if each.length >= match.length - _VOICE
        ]
        voters = [voter for voter in voters if voter[1]]
        grades = []
        for place, token in enumerate(kept):
            total = sum(weight for weight, _ in voters)
            voters = [each for each in voters if len(each[1]) > place and each[1][place] == token]
            share = sum(weight for weight, _ in voters) / total
            grades.append(grade(match.length + place, share, len(voters) - 1))
        return Draft(kept, grades)


def grade(length: int, share: float, others: int) -> int:
    """The grade of a token that follows a match of `length` tokens, with this share of the support and so many other
    occurrences that agree."""
    if share < _SHARES[-1]:
        return bisect_right(_SHARES, share)
    return len(_SHARES) + bisect_right(_EVIDENCE, length + 2 * min(others, 2))
