"""Show late, compute early: new suggestions wait until the typing has paused (setting `show_after_ms`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from flash_lsp.pending import Reply


class ShowLate:
    """Holds replies back. The rest of a suggestion that is on the screen is never held: it would flicker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._edited: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._visible: set[str] = set()

    def edited(self, uri: str) -> None:
        """The document has changed."""
        self._edited[uri] = self._clock()
        self.interrupt(uri)

    def interrupt(self, uri: str) -> None:
        """Whatever waits for this document is out of date."""
        if waiting := self._waiting.pop(uri, None):
            waiting.set()

    def forget(self, uri: str) -> None:
        """The document was closed."""
        self.interrupt(uri)
        self._edited.pop(uri, None)
        self._visible.discard(uri)

    async def allows(self, uri: str, reply: Reply, seconds: float) -> bool:
        """Wait until `reply` may be shown, `seconds` after the last edit; False if it is out of date before."""
        on_screen = uri in self._visible
        self._visible.discard(uri)
        if not reply.text:
            return True
        if not (on_screen and reply.source == "shown") and not await self._pause(uri, seconds):
            return False
        self._visible.add(uri)
        return True

    async def _pause(self, uri: str, seconds: float) -> bool:
        left = self._edited.get(uri, 0.0) + seconds - self._clock()
        if left <= 0:
            return True
        interrupted = self._waiting[uri] = asyncio.Event()
        try:
            await asyncio.wait_for(interrupted.wait(), left)
        except TimeoutError:
            return True
        finally:
            if self._waiting.get(uri) is interrupted:
                del self._waiting[uri]
        return False
