"""What the model thread does while nobody waits: texts are read for drafts, the draft model reads prompts."""

from __future__ import annotations

import contextlib

from flash_engine import Engine, Session
from flash_lsp.answers import Place

_STEP = 64
"""Tokens that the draft model reads in one go: about a millisecond with the bundled one."""


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

    def forget(self, name: str) -> None:
        """The text `name` is closed. Call it on the model thread."""
        self._engine.corpus.forget(name)

    def _continue(self, session: Session) -> None:
        def step() -> None:
            reading = self._engine.corpus.step()
            if session.read_ahead(_STEP) or reading:
                self._continue(session)

        with contextlib.suppress(RuntimeError):  # the engine is closed
            self._engine.submit(step, urgent=False)


_LEAD = 4
"""Tokens before a suggestion that are remembered with it, by which it is found."""


def without_line(place: Place) -> str:
    """The text around `place` without the line that is being written, which changes with every key."""
    return place.prefix[: place.prefix.rfind("\n") + 1] + place.suffix[place.suffix.find("\n") + 1 :]
