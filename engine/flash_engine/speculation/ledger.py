"""The floor under speculation: what it may lose against plain decoding is bounded, whatever text comes."""

from __future__ import annotations

import math

from flash_engine.speculation.costs import PassCosts

TOLERANCE = 0.01
"""Share of the time of plain decoding that drafts which did not pay may cost in all."""
MOST_AHEAD = 6
"""Plain passes: what may be lost before any draft has paid; more was gained long ago and is not to be lost now."""


class Ledger:
    """How many seconds decoding is ahead of plain decoding at 1 / (1 + TOLERANCE) of its speed.

    It begins with MOST_AHEAD passes, for drafts to show what they are worth. Every token earns its plain pass and the
    tolerance, every round costs what it took, and a draft is not made if its price in the worst case, that
    none of it is accepted, is more than what is left. So decoding takes at most
    1 + TOLERANCE of the time of plain decoding but for MOST_AHEAD passes, from the beginning on and from any
    moment on.
    """

    def __init__(self, costs: PassCosts) -> None:
        self._costs = costs
        self.ahead = MOST_AHEAD * costs.seconds(1)

    @property
    def most(self) -> float:
        """Seconds that a round may take if one token may be all that comes of it."""
        return self.ahead + (1 + TOLERANCE) * self._costs.seconds(1)

    def affords(self, drafting: float, drafts: int) -> bool:
        """Whether a round may spend `drafting` seconds and then verify `drafts` tokens."""
        return drafting + self._costs.seconds(1 + drafts) <= self.most

    def passes_until(self, drafting: float, drafts: int) -> int:
        """Plain passes after which `affords` says yes; 0: it does now."""
        missing = drafting + self._costs.seconds(1 + drafts) - self.most
        return max(math.ceil(missing / (TOLERANCE * self._costs.seconds(1))), 0)

    def settle(self, committed: int, seconds: float) -> None:
        """Take note of a round that committed tokens in `seconds`."""
        plain = self._costs.seconds(1)
        ahead = self.ahead + (1 + TOLERANCE) * committed * plain - seconds
        self.ahead = min(ahead, MOST_AHEAD * plain)
