"""Copies that differ from their text: words are replaced, put in or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flash_engine.common import common_tokens

_WORD = 3
"""Tokens of a word at most."""
_AGREE = 2
"""Tokens that agree before a difference for it to be one of words."""
_GAP = 4
"""Tokens since the last agreement, at most, that a copy is resumed after."""
_SKEW = 2
"""By how many tokens a copy may be ahead of its text or behind when it is resumed."""

REACH = 12
"""Tokens since a text was last followed, a draft of it and a gap, after which it may be resumed."""

Words = Mapping[tuple[int, ...], tuple[int, ...]]


def replacements(written: Sequence[int], text: Sequence[int]) -> Words:
    """What `written` has in the place of words of `text`; both end at the same place of the copy.

    A word that was copied as it is since it was replaced is left out.
    """
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    kept: set[int] = set()
    here, there = len(written), len(text)
    while here > 0 and there > 0:
        if written[here - 1] == text[there - 1]:
            here, there = here - 1, there - 1
            kept.add(text[there])
            continue
        lengths = _difference(written[:here], text[:there])
        if lengths is None:
            break
        new, old = tuple(written[here - lengths[0] : here]), tuple(text[there - lengths[1] : there])
        here, there = here - len(new), there - len(old)
        if new and old and kept.isdisjoint(old):
            found.setdefault(old, new)
    return found


def _difference(written: Sequence[int], text: Sequence[int]) -> tuple[int, int] | None:
    """How long the words are that `written` and `text` end with, before which they agree; None if they do not."""
    for total in range(1, 2 * _WORD + 1):
        for new in range(max(total - _WORD, 0), min(total, _WORD) + 1):
            here, there = len(written) - new, len(text) - total + new
            if here >= _AGREE <= there and written[here - _AGREE : here] == text[there - _AGREE : there]:
                return new, total - new
    return None


def replaced(text: Sequence[int], words: Words) -> tuple[list[int], int]:
    """`text` with its words replaced, and how many tokens stand before the first replacement."""
    copy: list[int] = []
    before = None
    place = 0
    while place < len(text):
        old = next((old for old in words if tuple(text[place : place + len(old)]) == old), None)
        if old is None:
            copy.append(text[place])
            place += 1
        else:
            before = len(copy) if before is None else before
            copy.extend(words[old])
            place += len(old)
    return copy, len(copy) if before is None else before


class Resumption(NamedTuple):
    """Where a copy is back in its text after a difference."""

    synced: int
    """Tokens at its end that agree again."""
    place: int
    """Tokens of the text that it has passed."""


def resumption(written: Sequence[int], text: Sequence[int]) -> Resumption | None:
    """Where in `text` the copy `written`, both from the same place on, is now; None if it ends with a difference."""
    common = common_tokens(written, text)
    gap = len(written) - common
    if gap > _GAP:
        return None
    best: Resumption | None = None
    for skew in sorted(range(-_SKEW, _SKEW + 1), key=abs):
        place = len(written) + skew
        if common < place <= len(text):
            most = min(gap, place - common)
            synced = common_tokens(written[: -most - 1 : -1], text[place - most : place][::-1])
            if synced > (best.synced if best else 0):
                best = Resumption(synced, place)
    return best
