"""How many drafted tokens are accepted: by grade, which decides, and by position, which is for people."""

from __future__ import annotations

from collections.abc import Sequence

from flash_engine.speculation.draft import LONGEST

_PRIOR = 10.0
_MEMORY = 300.0
_RECENT = 100.0
"""Verdicts that count: of the prior, at most of what was seen of a grade, and in the mean."""


class Acceptance:
    """Of one source of drafts. A token is judged only if all before it in its draft were accepted, and then whether it
    was verified or only proposed: what it says is seen to be right or wrong all the same."""

    def __init__(self, prior: Sequence[float]) -> None:
        """prior: `chances` before anything is known."""
        self.chances = list(prior)
        """By grade: the probability that a token of it is accepted if those before it are."""
        self._weights = [_PRIOR] * len(prior)
        self.mean = 0.5
        """Of the verdicts, the late ones counting most."""
        self.judged = [0] * LONGEST
        self.accepted = [0] * LONGEST

    def verified(self, position: int, accepted: bool) -> None:
        """Count a verified token at `position` (0 is the first) of a draft."""
        self.judged[position] += 1
        self.accepted[position] += accepted

    def judge(self, grade: int, accepted: bool) -> None:
        """Take note of a verdict on a token of `grade`."""
        self.mean += (accepted - self.mean) / _RECENT
        weight = self._weights[grade] = min(self._weights[grade] + 1, _MEMORY)
        self.chances[grade] += (accepted - self.chances[grade]) / weight

    def by_position(self) -> list[float | None]:
        """Share accepted at each position of a draft, of those that were verified; None where none was."""
        pairs = zip(self.accepted, self.judged, strict=True)
        return [accepted / judged if judged else None for accepted, judged in pairs]
