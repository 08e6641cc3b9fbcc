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
from flash_engine.constraint import remaining
from flash_lsp.remote.dialects import Dialect, Piece
from flash_lsp.remote.errors import broken, explain, refused

_POLL_SECONDS = 0.01
"""How soon a cancel is seen while the server is silent."""

SILENT_SECONDS = 30.0
"""A server that sends nothing for this long has failed."""

_DONE = "[DONE]"


class RemoteStream(Iterator[Token]):
    """Iterates over the tokens of one completion. Dropping it ends the request, and with it the server's work.

    Log-probabilities of tokens of the prefix are 0: they were not the model's choice, and servers tell those of a free
    one. A prefix of spaces leaves the word to the model: its token has the server's log-probability.
    """

    finish: str | None = None
    """stop, length, deadline or cancelled; None while it goes on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: AsyncClient,
        dialect: Dialect,
        request: dict[str, Any],
        whole: Callable[[], dict[str, Any]],
        *,
        prefix: bytes,
        stop: frozenset[int],
        deadline: float | None,
        cancel: Event | None,
        counted: Callable[[int | None, int | None], None],
    ) -> None:
        """whole: the request to make if the answer to `request` does not begin with `prefix`. counted: told the
        prompt's reused and computed tokens as far as the server tells them."""
        self._address = str(client.base_url)
        self._loop, self._client = loop, client
        self._whole = whole
        self._remainder = prefix
        self._dialect = dialect
        self._stop = stop
        self._deadline = deadline
        self._cancel = cancel
        self._counted = counted
        self._ask(request)

    def __next__(self) -> Token:
        """The next token. Raises RemoteError if the server refuses, breaks off, or sends what is no completion."""
        while self.finish is None:
            event = self._wait()
            if event is not None:
                piece = self._read(event)
                self._counted(piece.reused, piece.computed)
                data = piece.text.encode()
                stopped = piece.id in self._stop
                if self._diverges(data, ended=stopped or piece.finish == "stop"):
                    return self._begin_again()
                if stopped:
                    self._end("stop")
                    break
                if piece.finish:
                    self._end(piece.finish)
                if data:
                    forced, self._remainder = bool(self._remainder.strip()), remaining(self._remainder, data)
                    number = hash(piece.text) if piece.id is None else piece.id
                    return Token(number, 0.0 if forced else piece.logprob, data)
            elif self.finish == "stop" and self._remainder:
                return self._begin_again()
        raise StopIteration

    def _diverges(self, data: bytes, *, ended: bool) -> bool:
        """Whether `data`, the last if `ended`, cannot be what the prefix goes on with."""
        wanted = self._remainder
        if ended and len(data) < len(wanted):
            return True
        return not (wanted.startswith(data) or data.startswith(wanted))

    def _begin_again(self) -> Token:
        """The rest of the prefix, as if it had been generated; what follows is asked for anew."""
        rest, self._remainder = self._remainder, b""
        self.close()
        self.finish = None
        self._ask(self._whole())
        return Token(hash(rest), 0.0, rest)

    def _ask(self, request: dict[str, Any]) -> None:
        self._events: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()
        self._task: Future[None] = asyncio.run_coroutine_threadsafe(
            _pump(self._client, self._dialect.path, request, self._events), self._loop
        )

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
