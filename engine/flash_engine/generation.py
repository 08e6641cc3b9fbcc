"""Token after token from a session, lazily, until something ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from flash_engine import sampling
from flash_engine.constraint import remaining
from flash_engine.errors import Cancelled
from flash_engine.speculation import Bounds
from flash_engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from flash_engine.session import Session

Finish = Literal["stop", "length", "deadline", "cancelled", "capacity", "unlikely"]


@dataclass(frozen=True, slots=True)
class Token:
    """A generated token."""

    id: int
    logprob: float
    """Natural log of its probability at temperature 1: among the tokens that the byte prefix allowed while
    there was some of it left, else among the whole vocabulary."""
    data: bytes
    """Its bytes; may begin or end within a UTF-8 character."""


class Generation(Iterator[Token]):
    """Iterates over generated tokens; made by Session.generate.

    A token's own forward is done only when the next one is asked for, so a generation can be dropped at any
    time: what it yielded is in the session. At each step, in this order: the token limit and the context's
    end, the cancel event, then, if a forward is due, the deadline. A control token or, once the prefix is out,
    a stop token ends it and is not yielded.
    """

    finish: Finish | None
    """Why it ended; None while it has not."""

    def __init__(
        self,
        session: Session,
        tokenizer: Tokenizer,
        *,
        max_tokens: int,
        stop: frozenset[int],
        prefix: bytes,
        temperature: float,
        seed: int | None,
        deadline: float | None,
        cancel: threading.Event | None,
        until: bytes,
    ) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._left = max_tokens
        self._stop = stop
        self._remainder = prefix
        self._temperature = temperature
        self._rng = np.random.default_rng(seed)
        self._deadline = deadline
        self._cancel = cancel
        self._until = until
        self._epoch = session.epoch
        self.finish = None

    def __next__(self) -> Token:
        """The next token. Raises RuntimeError if the session was used for something else in between."""
        if self.finish is None:
            self.finish = self._interruption()
        if self.finish is not None:
            raise StopIteration
        try:
            token, logprob = self._choose()
        except Cancelled:
            self.finish = "cancelled"
            raise StopIteration from None
        data = self._tokenizer.token_bytes(token)
        if not data or (token in self._stop and not self._remainder):
            self.finish = "stop"
            raise StopIteration
        self._remainder = remaining(self._remainder, data)
        self._left -= 1
        self._session.append(token)
        return Token(token, logprob, data)

    def _interruption(self) -> Finish | None:
        if self._session.epoch != self._epoch:
            raise RuntimeError(
                "the session was synced, trimmed or generated from since this generation began"
            )
        if self._left <= 0:
            return "length"
        if self._session.is_full:
            return "capacity"
        if self._cancel is not None and self._cancel.is_set():
            return "cancelled"
        if self._deadline is not None and not self._session.is_ready and time.monotonic() >= self._deadline:
            return "deadline"
        return None

    def _choose(self) -> tuple[int, float]:
        if not self._session.is_ready:
            self._session.verify(self._bounds, self._cancel)
        logits = self._session.logits(self._cancel)[: self._tokenizer.vocab_size]
        allowed = self._tokenizer.allowed(self._remainder) if self._remainder else None
        if self._temperature > 0:
            return sampling.sample(logits, allowed, self._temperature, self._rng)
        return sampling.greedy(logits, allowed)

    def _bounds(self) -> Bounds:
        """What may be drafted: the token chosen after the last draft is one of those wanted, too."""
        return Bounds(self._tokenizer, self._left - 1, self._remainder, self._stop, self._until)


class Guessing(Iterator[Token]):
    """Iterates over the tokens of a draft model's own answer; made by Session.guess."""

    finish: Finish | None
    """Why it ended: "unlikely" where the main model may well say something else; None while it has not."""

    def __init__(self, tokenizer: Tokenizer, tokens: Generator[tuple[int, float], None, Finish]) -> None:
        """`tokens`: ids with log-probabilities."""
        self._tokenizer = tokenizer
        self._tokens = tokens
        self.finish = None

    def __next__(self) -> Token:
        try:
            token, logprob = next(self._tokens)
        except StopIteration as end:
            self.finish = self.finish or end.value
            raise
        except Cancelled:
            self.finish = "cancelled"
            raise StopIteration from None
        return Token(token, logprob, self._tokenizer.token_bytes(token))
