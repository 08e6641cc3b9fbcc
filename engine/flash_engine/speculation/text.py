"""Drafts from texts seen before: open buffers, recent edits, earlier suggestions. They cost no model pass."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Self

from flash_engine.speculation.copies import REACH, Words, replaced, replacements, resumption
from flash_engine.speculation.corpus import Corpus
from flash_engine.speculation.draft import LONGEST, Bounds, Draft

_SHARES = (0.35, 0.65, 0.9)
"""Least share of the support for the grades 1, 2 and 3: places that say something else are a bad sign."""
_EVIDENCE = (4, 6, 8, 11, 16, 24)
"""Least length of a match for the grades 4 to 9, each of up to two other places that agree worth two tokens."""
_REPLACED = 10
"""Grade of tokens from the first replaced word on."""
_RESUMED = (11, 12, 13, 14)
"""Grades of tokens of a copy that is resumed, by how many before them agree again: 1, 2, 3, more."""
PRIOR = (0.2, 0.4, 0.6, 0.65, 0.75, 0.8, 0.9, 0.9, 0.93, 0.97, 0.8, 0.65, 0.8, 0.85, 0.85)
"""Acceptance by grade, of the bundled model: the first ten on other texts than those it is measured with."""
_VOICE = 8
"""Tokens that a match may be shorter than the longest for its place to have a say."""
_BEFORE = 48
"""Tokens of a copy in which replaced words are looked for."""


class TextDrafter:
    """What followed the longest earlier occurrence of the last tokens, the latest of equals; where there is none, what
    follows in the text that was followed a few tokens ago. Words that were replaced in this copy are again.

    For one session, whose texts it may share.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._followed = (-REACH, 0)
        """Length of the tokens when a text was last followed, and the place in the index."""
        self._words: Words = {}
        """Replaced in this copy."""
        self._differed = True
        """Since they were looked for."""

    def knows(self, tokens: Sequence[int]) -> bool:
        """Whether there may be something to draft."""
        return 0 < len(tokens) - self._followed[0] <= REACH or self._corpus.index.knows(tokens)

    def draft(self, tokens: Sequence[int], bounds: Bounds) -> Draft:
        """What may follow `tokens`; empty if their end is nowhere in the corpus.

        Graded by the length of the match and the support of the other occurrences: of those that agree so far, each
        with weight 2 ** length, the share that goes on like this. Resumed and renamed copies have grades of their own.
        """
        index = self._corpus.index
        matches = index.matches(tokens)
        ranked = sorted(matches, key=lambda match: -match.length)
        for match in ranked:
            if kept := bounds.cut(index.after(match.place, bounds.most)):
                break
        else:
            return self._resumed(tokens, bounds)
        if self._differed or match.place - len(tokens) != self._followed[1] - self._followed[0]:
            self._find_words(tokens, match.place)
        self._followed = len(tokens), match.place
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
        return self._renamed(match.place, Draft(kept, grades), bounds) if self._words else Draft(kept, grades)

    def fork(self) -> Self:
        twin = type(self)(self._corpus)
        twin._followed = self._followed
        return twin

    def _resumed(self, tokens: Sequence[int], bounds: Bounds) -> Draft:
        length, place = self._followed
        if not 0 < len(tokens) - length <= REACH:
            return Draft()
        self._differed = True
        index = self._corpus.index
        found = resumption(tokens[length:], index.after(place, REACH + LONGEST))
        if found is None:
            return Draft()
        place += found.place
        kept = bounds.cut(index.after(place, bounds.most))
        last = len(_RESUMED) - 1
        grades = [_RESUMED[min(found.synced - 1 + ahead, last)] for ahead in range(len(kept))]
        self._find_words(tokens, place)
        return self._renamed(place, Draft(kept, grades), bounds)

    def _find_words(self, tokens: Sequence[int], place: int) -> None:
        """Look for words replaced in the copy of what stands before `place`."""
        found = replacements(tokens[-_BEFORE:], self._corpus.index.before(place, _BEFORE))
        self._words = {old: new for old, new in found.items() if self._is_word(old) and self._is_word(new)}
        self._differed = False

    def _renamed(self, place: int, draft: Draft, bounds: Bounds) -> Draft:
        """The draft, which stands at `place`, with words replaced as they were before."""
        copy, before = replaced(self._corpus.index.after(place, bounds.most), self._words)
        if before >= len(draft.tokens):
            return draft
        kept = bounds.cut(copy)
        return Draft(kept, draft.grades[:before] + [_REPLACED] * (len(kept) - before))

    def _is_word(self, tokens: Sequence[int]) -> bool:
        return self._corpus.tokenizer.decode(tokens).strip().isalnum()


def grade(length: int, share: float, others: int) -> int:
    """The grade of a token that follows a match of `length` tokens, with this share of the support and so many other
    occurrences that agree."""
    if share < _SHARES[-1]:
        return bisect_right(_SHARES, share)
    return len(_SHARES) + bisect_right(_EVIDENCE, length + 2 * min(others, 2))
