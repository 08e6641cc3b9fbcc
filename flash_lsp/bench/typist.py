"""Someone who types a recording in an editor, asks for suggestions as editors do, and sees what comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lsprotocol.types import InlineCompletionTriggerKind

from flash_lsp.bench.editor import Editor
from flash_lsp.bench.metrics import Request, rest_of_line
from flash_lsp.bench.typing import Key, Recording


@dataclass(frozen=True, slots=True)
class Shown:
    """The suggestion on the screen, right of a cursor at `offset`."""

    text: str
    offset: int

    def after(self, start: int, removed: int, inserted: str) -> Shown | None:
        """What an edit leaves of it: its rest if its beginning was typed, else None."""
        if removed or start != self.offset or not self.text.startswith(inserted):
            return None
        rest = self.text[len(inserted) :]
        return Shown(rest, start + len(inserted)) if rest else None


class Typist:
    """Types in one document; `requests` keeps what became of every request for a suggestion."""

    def __init__(
        self,
        editor: Editor,
        recording: Recording,
        *,
        debounce_ms: float,
        speed: float = 1.0,
        accepts: Callable[[Typist, str], bool] = lambda typist, rest: False,
        watch: Callable[[Typist], None] = lambda typist: None,
    ) -> None:
        """`debounce_ms`: pause in the typing after which a request is sent. `speed` divides the gaps.

        `accepts` says, given the rest of the file's line, whether to take the suggestion on the screen; `watch`
        is called after every change of document or suggestion.
        """
        self.document = editor.open(recording.path, recording.opening)
        self.recording = recording
        self.requests: list[Request] = []
        self.shown: Shown | None = None
        self.cursor = 0
        self.keys = 0
        self.accepted = 0
        """Characters that came from accepted suggestions."""
        self._editor = editor
        self._debounce = debounce_ms / 1000
        self._speed = speed
        self._accepts = accepts
        self._watch = watch
        self._due = time.perf_counter()
        self._at: int | None = None
        """The cursor's place in the finished file; None while the document holds something else."""
        self._edited: dict[int, float] = {}
        """When each version of the document came to be."""
        self._asking: set[asyncio.Task[None]] = set()

    async def type(self, keys: Iterable[Key]) -> None:
        """Type `keys` at their gaps; requests may still be open afterwards."""
        accepted_to = 0
        for key in keys:
            if key.start < accepted_to:
                continue
            self._due += key.gap_ms / 1000 / self._speed
            await asyncio.sleep(self._due - time.perf_counter())
            self._raise_failed()
            rest = "" if self._at is None else rest_of_line(self.recording.finished[self._at :])
            if self._at is not None and key.start == self.cursor and self._accepts(self, rest):
                self._press(self.cursor, 0, rest, self._at + len(rest))
                self.accepted += len(rest)
                accepted_to = self.cursor
            else:
                self._press(key.start, key.removed, key.inserted, key.at)

    async def look(self, offset: int) -> None:
        """Put the cursor at `offset` and ask by hand, as one who looks before typing; not among `requests`."""
        self.cursor, self._at = offset, None
        reply = await self._editor.suggest(self.document, offset, InlineCompletionTriggerKind.Invoked)
        self.shown = Shown(reply.text, offset) if reply.text else None
        self._watch(self)

    def come(self) -> None:
        """Turn to the document: the gap before the next key counts from now."""
        self._due = time.perf_counter()

    async def settle(self) -> None:
        """Wait until every request is answered."""
        if self._asking:
            await asyncio.wait(self._asking)
        self._raise_failed()

    def _raise_failed(self) -> None:
        """Forget the requests that are done; if one failed, give up the others and raise its error."""
        done = {task for task in self._asking if task.done()}
        self._asking -= done
        failed = [task for task in done if task.exception()]
        if failed:
            for task in self._asking:
                task.cancel()
            failed[0].result()

    def _press(self, start: int, removed: int, inserted: str, at: int | None) -> None:
        self._editor.edit(self.document, start, removed, inserted)
        self._edited[self.document.version] = time.perf_counter()
        self.keys += 1
        self.cursor = start + len(inserted)
        self.shown = self.shown.after(start, removed, inserted) if self.shown else None
        self._at = at
        self._asking.add(asyncio.create_task(self._ask()))
        self._watch(self)

    async def _ask(self) -> None:
        """Request a suggestion once the typing pauses."""
        version = self.document.version
        await asyncio.sleep(self._debounce)
        if self.document.version != version:
            return
        at, type_through = self._at, self.shown is not None
        sent = time.perf_counter()
        reply = await self._editor.suggest(self.document, self.cursor)
        superseded = self.document.version != version
        record = reply.record
        flicker = not superseded and self.shown is not None and not reply.text.startswith(self.shown.text)
        self.requests.append(
            Request(
                ms=(self._edited[version + 1] - sent) * 1000 if superseded else reply.ms,
                superseded=superseded,
                text="" if superseded else reply.text,
                source=record["source"] if record else "unknown",
                complete_line=record is not None and record["complete_line"],
                held=record is not None and record["held"],
                ahead=None if at is None else self.recording.finished[at:],
                type_through=type_through,
                server_ms=record["ms"] if record else None,
                silence=record["silence"] if record else None,
                sent=sent,
                cut=record is not None and record["cut"],
                verified=record["verified"] if record else True,
                flicker=flicker,
            )
        )
        if not superseded:
            self.shown = Shown(reply.text, self.cursor) if reply.text else None
            self._watch(self)
