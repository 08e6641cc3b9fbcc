"""What a completion needs of an engine: `flash_engine.Engine` in this process, or a server elsewhere (remote/)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from threading import Event
from typing import Protocol, TypeVar

from flash_engine import Token
from flash_engine.speculation import Tally
from flash_lsp.prompt.encoder import Encoder
from flash_lsp.prompt.templates import ControlTokens

T = TypeVar("T")


class PromptTokenizer(Encoder, ControlTokens, Protocol):
    """Text to the tokens of a prompt, and control tokens by name."""


class TokenStream(Protocol):
    """Generated tokens, each computed, or waited for, when it is asked for."""

    @property
    def finish(self) -> str | None:
        """Why it ended; None while it has not."""
        ...

    def __iter__(self) -> Iterator[Token]: ...


class InferenceSession(Protocol):
    """One document's prompt and what is known of it. See flash_engine.Session."""

    computed: int
    reused: int

    def sync(self, tokens: Sequence[int], *, cancel: Event | None = None) -> int: ...

    def generate(
        self,
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        prefix: bytes = b"",
        deadline: float | None = None,
        cancel: Event | None = None,
        until: bytes = b"",
    ) -> TokenStream: ...

    @property
    def speculation(self) -> Tally:
        """What was drafted and accepted so far."""
        ...


class Computer(Protocol):
    """What computes the model."""

    @property
    def name(self) -> str: ...

    @property
    def capacity(self) -> int:
        """Tokens of context."""
        ...


class Room(Protocol):
    """What the memory was found to hold."""

    @property
    def caches(self) -> int: ...


class InferenceEngine(Protocol):
    """A model and the thread from which it is used."""

    @property
    def name(self) -> str: ...

    @property
    def tokenizer(self) -> PromptTokenizer: ...

    @property
    def backend(self) -> Computer: ...

    @property
    def plan(self) -> Room | None: ...

    def session(self) -> InferenceSession: ...

    def submit(self, work: Callable[[], T], *, urgent: bool = True) -> Future[T]: ...

    def close(self) -> None: ...
