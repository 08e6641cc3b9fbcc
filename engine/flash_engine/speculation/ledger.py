"""The floor under speculation: what it may lose against plain decoding is bounded, whatever text comes."""

from __future__ import annotations

from flash_engine.speculation.costs import PassCosts

TOLERANCE = 0.015
"""Share of the time of plain decoding that drafts which did not pay may cost in all."""
MOST_AHEAD = 6
"""Plain passes: what was gained long ago is not to be lost now."""


class Ledger:
    """How many seconds decoding is ahead of plain decoding at 1 / (1 + TOLERANCE) of its speed.

    It begins at 0, every token earns its plain pass and the tolerance, every round costs what it took. A draft whose
    price in the worst case, that none of it is accepted, is more than this is not made. So from the beginning on, and
    but for MOST_AHEAD passes from any moment on, decoding takes at most 1 + TOLERANCE of the time of plain decoding.
    """

    def __init__(self, costs: PassCosts) -> None:
        self._costs = costs
        self.ahead = 0.0

    def affords(self, drafting: float, drafts: int) -> bool:
        """Whether a round may spend `drafting` seconds and then verify `drafts` tokens."""
        plain = self._costs.seconds(1)
        price = drafting + self._costs.seconds(1 + drafts) - plain
        return price <= self.ahead + TOLERANCE * plain

    def settle(self, committed: int, seconds: float) -> None:
        """Take note of a round that committed tokens in `seconds`."""
        plain = self._costs.seconds(1)
        ahead = self.ahead + (1 + TOLERANCE) * committed * plain - seconds
        self.ahead = min(ahead, MOST_AHEAD * plain)
