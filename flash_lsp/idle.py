"""Notices that nothing was done for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Idleness:
    """Calls `rest` once the user has been idle. Use it on the event loop."""

    def __init__(self, rest: Callable[[], None]) -> None:
        self._rest = rest
        self._timer: asyncio.TimerHandle | None = None

    def stir(self, minutes: float) -> None:
        """The user is at work: the idle time, `minutes` long, begins anew. 0: no idle time."""
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(60 * minutes, self._rest) if minutes else None
