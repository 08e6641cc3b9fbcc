"""Text that has fallen into repeating itself."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from flash_lsp.filters.candidate import Candidate, Silence
from flash_lsp.text import LINE_END

_PERIODS = ((10, 1), (30, 10), (45, 20), (60, 30))
"""(n, p): the last n items having a period of at most p are a repetition."""

_ITEM = re.compile(r"\w+|[^\w\s]+|\n")
_MAX_EQUAL_LINES = 3


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


def reject_repetition(candidate: Candidate) -> str | Silence:
    """Silence a suggestion whose words have a short period at its end, or with three equal lines in a row."""
    lines = [line.strip() for line in LINE_END.split(candidate.text) if line.strip()]
    runs = (len(list(run)) for _, run in itertools.groupby(lines))
    if max(runs, default=0) >= _MAX_EQUAL_LINES or repeats(_ITEM.findall(candidate.text)):
        return Silence.REPETITION
    return candidate.text
