"""One completion on its way: events of the server as tokens, until it ends, is cancelled or out of time."""

from __future__ import annotations

import asyncio
import json
import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from threading import Event
from typing import Any

from httpx2 import AsyncClient, EventSource, HTTPError

from flash_engine import Token
from flash_lsp.remote.dialects import Dialect, Piece
from flash_lsp.remote.errors import broken, explain, refused

_POLL_SECONDS = 0.01
"""How soon a cancel is seen while the server is silent."""

SILENT_SECONDS = 30.0
"""A server that sends nothing for this long has failed."""

_DONE = "[DONE]"


class RemoteStream(Iterator[Token]):
    """Iterates over the tokens of one completion. Dropping it ends the request, and with it the server's work."""

    finish: str | None = None
    """stop, length, deadline or cancelled; None while it goes on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: AsyncClient,
        dialect: Dialect,
        request: dict[str, Any],
        *,
        stop: frozenset[int],
        deadline: float | None,
        cancel: Event | None,
        counted: Callable[[int | None, int | None], None],
    ) -> None:
        """counted: told the prompt's reused and computed tokens as far as the server tells them."""
        self._address = str(client.base_url)
        self._dialect = dialect
        self._stop = stop
        self._deadline = deadline
        self._cancel = cancel
        self._counted = counted
        self._events: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()
        self._task: Future[None] = asyncio.run_coroutine_threadsafe(
            _pump(client, dialect.path, request, self._events), loop
        )

    def __next__(self) -> Token:
        """The next token. Raises RemoteError if the server refuses, breaks off, or sends what is no completion."""
        while self.finish is None:
            event = self._wait()
            if event is not None:
                piece = self._read(event)
                self._counted(piece.reused, piece.computed)
                if piece.id in self._stop:
                    self._end("stop")
                    break
                if piece.finish:
                    self._end(piece.finish)
                if piece.text:
                    number = hash(piece.text) if piece.id is None else piece.id
                    return Token(number, piece.logprob, piece.text.encode())
        raise StopIteration

    def close(self) -> None:
        """End the request. May be called more than once."""
        self._task.cancel()

    def __del__(self) -> None:
        self.close()

    def _wait(self) -> dict[str, Any] | None:
        """The next event; None once `finish` is set."""
        event: dict[str, Any] | Exception | None = None
        while self.finish is None and event is None:
            if self._cancel is not None and self._cancel.is_set():
                self._end("cancelled")
            elif self._deadline is not None and time.monotonic() >= self._deadline:
                self._end("deadline")
            else:
                with suppress(queue.Empty):
                    event = self._events.get(timeout=_POLL_SECONDS)
                    if event is None:
                        self._end("stop")
        if isinstance(event, Exception):
            self._end("stop")
            raise event
        return event

    def _read(self, event: dict[str, Any]) -> Piece:
        try:
            return self._dialect.read(event)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            self._end("stop")
            raise explain(self._address, error) from None

    def _end(self, finish: str) -> None:
        self.finish = finish
        self.close()


async def _pump(
    client: AsyncClient,
    path: str,
    request: dict[str, Any],
    events: queue.SimpleQueue[dict[str, Any] | Exception | None],
) -> None:
    """Put each event, then None or what went wrong, into `events`."""
    address = str(client.base_url)
    try:
        async with asyncio.timeout(None) as patience:
            _extend(patience)
            async with client.stream("POST", path, json=request) as response:
                if response.status_code >= 400:
                    events.put(refused(address, response.status_code))
                    return
                async for event in EventSource(response):
                    if event.data == _DONE:
                        events.put(None)
                        return
                    _extend(patience)
                    events.put(json.loads(event.data))
        events.put(broken(address))
    except (HTTPError, ValueError, TimeoutError) as error:
        events.put(explain(address, error))


def _extend(patience: asyncio.Timeout) -> None:
    patience.reschedule(asyncio.get_running_loop().time() + SILENT_SECONDS)
