"""A request that waits for its one answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from flash_lsp.answers import Place

if TYPE_CHECKING:
    from flash_lsp.suggestion import Suggestion


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """The part of an asyncio event loop that tells the time. Seconds."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request; `silence` names the reason for an empty text."""

    text: str
    silence: str | None
    source: str
    """"shown", "answers", "inflight", "model", or "none" when nothing was looked up."""
    version: int
    """Of the document that it was given for."""
    seconds: float
    """Since the request's arrival."""
    held: bool
    """The deadline passed with nothing ready."""
    complete_line: bool
    """The first line of the text is known to its end, or as far as it is likely enough."""
    cut: bool = False
    """The text is the likely beginning of what the model wrote."""
    others: tuple[str, ...] = ()
    """More texts to choose from, where several were asked for."""
    suggestion: Suggestion | None = None
    """The decode that ended with this reply."""
    verified: bool | None = True
    """See Answer.verified."""


class Pending:
    """A request at `place`, where the cursor is at `offset` of a version of the document."""

    def __init__(
        self,
        place: Place,
        offset: int,
        version: int,
        clock: Clock,
        reply: Callable[[Reply], None],
        candidates: int,
    ) -> None:
        self.place = place
        self.offset = offset
        self.candidates = candidates
        self.source = "none"
        self.held = False
        self.seconds: float | None = None
        """Within which an answer is wanted; None: there is time."""
        self._version = version
        self._clock = clock
        self._arrived = clock.time()
        self._send = reply
        self._timers: list[Timer] = []

    def after(self, seconds: float, callback: Callable[[Pending], None]) -> None:
        """Call back if there is no answer `seconds` from now."""
        self._timers.append(self._clock.call_later(seconds, callback, self))

    def answer(
        self,
        text: str,
        *,
        others: Sequence[str] = (),
        silence: str | None = None,
        complete_line: bool = False,
        cut: bool = False,
        suggestion: Suggestion | None = None,
        verified: bool | None = True,
    ) -> None:
        """Send the answer. Call it once."""
        for timer in self._timers:
            timer.cancel()
        seconds = self._clock.time() - self._arrived
        self._send(
            Reply(
                text,
                silence,
                self.source,
                self._version,
                seconds,
                self.held,
                complete_line,
                cut,
                tuple(others),
                suggestion,
                verified,
            )
        )
