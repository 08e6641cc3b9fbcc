"""The shape of an engine (flash_lsp.inference) over a server that the user set."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, TypeVar

from httpx2 import AsyncClient, HTTPError

from flash_engine.speculation import Tally
from flash_engine.worker import Worker
from flash_lsp.inference import PromptTokenizer
from flash_lsp.remote.dialects import Dialect
from flash_lsp.remote.errors import explain, refused
from flash_lsp.remote.stream import RemoteStream

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemoteComputer:
    """What computes the model, as the status shows it."""

    name: str
    capacity: int


class RemoteEngine:
    """A model that a server runs. One completion at a time, from functions given to `submit`."""

    plan = None

    def __init__(
        self,
        name: str,
        dialect: Dialect,
        tokenizer: PromptTokenizer,
        *,
        template: str,
        budget: int,
        link: Link,
        capacity: int,
    ) -> None:
        """template: of the table in prompt/templates.py. budget: tokens of a prompt while typing. capacity: tokens
        of a prompt and its completion."""
        self.name = name
        self.tokenizer = tokenizer
        self.template = template
        self.budget = budget
        self.backend = RemoteComputer(f"remote {link.address} ({dialect.name})", capacity)
        self._dialect = dialect
        self._link = link
        self._worker = Worker(f"remote {name}")

    def session(self) -> RemoteSession:
        """A new session; the server keeps the KV cache."""
        return RemoteSession(self._link, self._dialect, self.tokenizer)

    def submit(self, work: Callable[[], T], *, urgent: bool = True) -> Future[T]:
        """Run `work` on the engine's thread; see flash_engine.Engine.submit."""
        return self._worker.submit(work, urgent=urgent)

    def close(self) -> None:
        """End the thread and the connection. May be called more than once."""
        self._worker.close()
        self._link.close()


class RemoteSession:
    """A prompt, and what the server told of its work on it."""

    def __init__(self, link: Link, dialect: Dialect, tokenizer: PromptTokenizer) -> None:
        self.computed = 0
        self.reused = 0
        self._link = link
        self._dialect = dialect
        self._tokenizer = tokenizer
        self._tokens: list[int] = []

    def sync(self, tokens: Sequence[int], *, cancel: Event | None = None) -> int:
        """Take `tokens` as the prompt of what is generated next; the server compares it with its cache."""
        self._tokens = list(tokens)
        return len(tokens)

    @property
    def speculation(self) -> Tally:
        """Empty: what a server drafts it keeps to itself."""
        return Tally()

    def generate(
        self,
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        prefix: bytes = b"",
        deadline: float | None = None,
        cancel: Event | None = None,
        until: bytes = b"",
    ) -> RemoteStream:
        """Ask the server to go on from the prompt, and, if the answer does not begin with `prefix` (UTF-8), from the
        prompt with it."""
        before = self.computed, self.reused
        self.computed += len(self._tokens)

        def counted(reused: int | None, computed: int | None) -> None:
            if reused is not None and computed is not None:
                self.computed, self.reused = before[0] + computed, before[1] + reused

        return RemoteStream(
            self._link.loop,
            self._link.client,
            self._dialect,
            self._dialect.request(
                self._tokens, max_tokens=max_tokens, stop=stop, prefix=prefix.decode(errors="ignore")
            ),
            lambda: self._dialect.request(
                [*self._tokens, *self._tokenizer.encode(prefix.decode(errors="ignore"))],
                max_tokens=max_tokens,
                stop=stop,
            ),
            prefix=prefix,
            stop=frozenset(stop),
            deadline=deadline,
            cancel=cancel,
            counted=counted,
        )


class Link:
    """A connection to one address, on an event loop of its own, used from any thread."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever, name="flash-lsp remote", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return str(self.client.base_url).rstrip("/")

    def get(self, path: str) -> dict[str, Any] | None:
        """The JSON object at `path`; None if the server has no such thing. Raises RemoteError."""
        return self._ask("GET", path, None, absent=(404, 405, 501))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that the server answers to `body`. Raises RemoteError."""
        answer = self._ask("POST", path, body, absent=())
        assert answer is not None
        return answer

    def close(self) -> None:
        """End the connection and its loop. May be called more than once."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self.client.aclose(), self.loop).result()
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None, absent: Collection[int]
    ) -> dict[str, Any] | None:
        async def ask() -> tuple[int, bytes]:
            response = await self.client.request(method, path, json=body)
            return response.status_code, response.content

        try:
            status, content = asyncio.run_coroutine_threadsafe(ask(), self.loop).result()
            if status in absent:
                return None
            if status >= 400:
                raise refused(self.address, status)
            answer = json.loads(content)
            if not isinstance(answer, dict):
                raise ValueError("not a JSON object")
            return answer
        except (HTTPError, ValueError) as error:
            raise explain(self.address, error) from None
