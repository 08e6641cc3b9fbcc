"""A clock that the test moves, a decoder that the test scripts, and an editor that drives one session."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lsprotocol import types

from flash_lsp.flight import Guess, Job
from flash_lsp.pending import Reply
from flash_lsp.session import DocumentSession
from flash_lsp.settings import Settings
from flash_lsp.suggestion import Suggestion
from flash_lsp.text import Document


@dataclass(eq=False)
class _Alarm:
    due: float
    callback: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0
        self._alarms: list[_Alarm] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> _Alarm:
        alarm = _Alarm(self.now + delay, lambda: callback(*args))
        self._alarms.append(alarm)
        return alarm

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [alarm for alarm in self._alarms if not alarm.cancelled and alarm.due <= end + 1e-9]:
            alarm = min(due, key=lambda each: each.due)
            self._alarms.remove(alarm)
            self.now = max(self.now, alarm.due)
            alarm.callback()
        self.now = end


def suggestion(
    text: str,
    finish: str = "line",
    *,
    logprob: float = -0.1,
    silence: str | None = None,
    likely: str = "",
    others: Sequence[Suggestion] = (),
) -> Suggestion:
    return Suggestion(
        text=text, finish=finish, tokens=3, logprob=logprob, first_ms=1.0, total_ms=2.0, reused=10, computed=5,
        silence=silence, likely=likely, others=tuple(others),
    )  # fmt: skip


@dataclass(eq=False)
class Decode:
    """One decode that was asked for; the test says what it produces."""

    job: Job
    progress: Callable[[str], None]
    done: Callable[[Suggestion], None]
    guessed: Callable[[Guess], None]
    cancelled: bool = False
    ended: bool = False

    def say(self, text: str) -> None:
        if not self.cancelled:
            self.progress(text)

    def guess(self, text: str, *, logprob: float = -0.1, complete: bool = False) -> None:
        if not self.cancelled:
            self.guessed(Guess(text, logprob, complete))

    def end(self, text: str, finish: str = "line", **fields: Any) -> None:
        self.ended = True
        if not self.cancelled:
            self.done(suggestion(text, finish, **fields))


class ScriptedDecoder:
    def __init__(self) -> None:
        self.decodes: list[Decode] = []

    def start(
        self,
        job: Job,
        progress: Callable[[str], None],
        done: Callable[[Suggestion], None],
        guessed: Callable[[Guess], None],
    ) -> Callable[[], None]:
        decode = Decode(job, progress, done, guessed)
        self.decodes.append(decode)

        def cancel() -> None:
            decode.cancelled = True

        return cancel

    @property
    def last(self) -> Decode:
        return self.decodes[-1]

    @property
    def running(self) -> list[Decode]:
        return [decode for decode in self.decodes if not (decode.cancelled or decode.ended)]


@dataclass(eq=False)
class Asked:
    """One request; `replies` must come to hold exactly one."""

    withdraw: Callable[[], None] = lambda: None
    replies: list[Reply] = field(default_factory=list)

    @property
    def reply(self) -> Reply:
        (only,) = self.replies
        return only


class Editor:
    """Types into one document and asks its session. The cursor is at `cursor`."""

    def __init__(
        self,
        text: str = "",
        cursor: int | None = None,
        *,
        language: str = "python",
        loaded: bool = True,
        **settings: Any,
    ) -> None:
        self.clock = FakeClock()
        self.decoder = ScriptedDecoder()
        self.ready: list[int] = []
        self.asked: list[Asked] = []
        self.document = Document("file:///w/a.py", language, 1, text)
        self.session = DocumentSession(
            self.document,
            Settings(**settings),
            self.clock,
            path="a.py",
            decoder=self.decoder if loaded else None,
            ready=self.ready.append,
        )
        self.cursor = len(text) if cursor is None else cursor
        self._versions = itertools.count(2)

    def edit(self, start: int, removed: int, inserted: str) -> None:
        span = types.Range(
            types.Position(*self.document.position(start, "utf-32")),
            types.Position(*self.document.position(start + removed, "utf-32")),
        )
        edits = self.document.apply([types.TextDocumentContentChangePartial(span, inserted)], "utf-32")
        self.document.version = next(self._versions)
        self.session.changed(edits)
        self.cursor = start + len(inserted)

    def type(self, text: str) -> None:
        for character in text:
            self.edit(self.cursor, 0, character)

    def delete(self, count: int = 1) -> None:
        self.edit(self.cursor - count, count, "")

    def ask(
        self, *, chosen: str = "", start: int | None = None, invoked: bool = False, candidates: int = 1
    ) -> Asked:
        asked = Asked()
        self.asked.append(asked)
        asked.withdraw = self.session.request(
            self.cursor if start is None else start,
            self.cursor,
            asked.replies.append,
            chosen=chosen,
            invoked=invoked,
            candidates=candidates,
        )
        return asked
