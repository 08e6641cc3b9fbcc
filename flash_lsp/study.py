"""What the model thread does while nobody waits: texts are read for drafts, the draft model reads prompts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from flash_engine import Engine, Session
from flash_lsp.answers import Place

_PAUSE = 0.5
"""Seconds without an edit after which what was edited is read."""


class Study:
    """Feeds an engine's drafters in small steps, between which urgent work gets its turn."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def place(self, name: str, place: Place, session: Session, suggested: int) -> None:
        """After a decode at `place`: what has changed in the text `name`, the last `suggested` tokens of the session
        as a suggestion, and the rest of its prompt. Call it on the model thread."""
        if self._engine.speculation is None:
            return
        self._engine.corpus.update(name, without_line(place))
        if suggested:
            self._engine.corpus.add(session.tokens[-suggested - _LEAD :])
        self._continue(session)

    def text(self, name: str, text: str) -> None:
        """The text `name` is open and now `text`. Call it on the model thread."""
        if self._engine.speculation is None:
            return
        self._engine.corpus.update(name, text)
        self._continue()

    def forget(self, name: str) -> None:
        """The text `name` is closed. Call it on the model thread."""
        self._engine.corpus.forget(name)

    def _continue(self, session: Session | None = None) -> None:
        def step() -> None:
            reading = self._engine.corpus.step()
            if (session and session.read_ahead()) or reading:
                self._continue(session)

        with contextlib.suppress(RuntimeError):  # the engine is closed
            self._engine.submit(step, urgent=False)


class Changes:
    """Documents that were opened or edited, told once none has changed for a moment. Use it on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[str, str], None]) -> None:
        """tell: called with a document's name and its text."""
        self._loop = loop
        self._tell = tell
        self._changed: dict[str, Callable[[], str | None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def note(self, name: str, text: Callable[[], str | None]) -> None:
        """The document `name` has changed. text: asked for its text later; None: it is not to be read."""
        self._changed.pop(name, None)
        self._changed[name] = text
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(_PAUSE, self._flush)

    def forget(self, name: str) -> None:
        """The document `name` is closed."""
        self._changed.pop(name, None)

    def _flush(self) -> None:
        changed, self._changed, self._timer = self._changed, {}, None
        for name, find in changed.items():
            text = find()
            if text is not None:
                self._tell(name, text)


def read_for_drafts(engine: Engine, name: str, place: Place) -> None:
    """Read the text around `place` at once, where drafts may be taken from it. Call it on the model thread."""
    if engine.speculation is None:
        return
    engine.corpus.update(name, without_line(place))
    while engine.corpus.step():
        pass


_LEAD = 4
"""Tokens before a suggestion that are remembered with it, by which it is found."""


def without_line(place: Place) -> str:
    """The text around `place` without the line that is being written, which changes with every key."""
    return place.prefix[: place.prefix.rfind("\n") + 1] + place.suffix[place.suffix.find("\n") + 1 :]
