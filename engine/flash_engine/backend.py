"""The one narrow protocol between the engine and whatever computes the model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from flash_engine.config import ModelConfig

Logits = NDArray[np.float32]


class KVCache(Protocol):
    """Keys and values of one sequence of tokens. Positions 0 .. length-1 are valid."""

    @property
    def length(self) -> int: ...

    def trim(self, length: int) -> None:
        """Keep the first `length` positions; O(1). Raises ValueError if there are fewer."""
        ...

    def fork(self) -> KVCache:
        """An independent copy of the valid positions."""
        ...


@runtime_checkable
class StorableCache(Protocol):
    """A KVCache whose content can be put away and taken back, bit for bit, by the same backend and model."""

    def save(self) -> bytes: ...

    def restore(self, data: bytes, length: int) -> None:
        """Hold the `length` positions of `data`, made by `save`. Raises ValueError, before anything is changed, if the
        size is wrong."""
        ...


class Backend(Protocol):
    """Computes a model. Used from one thread at a time (the engine's model thread).

    Exactness: the logits of a token and its rows in the cache depend only on the tokens up to it, bit for
    bit; not on how they were cut into passes, nor on what the cache held before a trim, nor on forks.
    """

    @property
    def name(self) -> str:
        """For people: `native (AVX-512 VNNI, 2 threads)`."""
        ...

    @property
    def config(self) -> ModelConfig: ...

    @property
    def capacity(self) -> int:
        """Tokens that a cache can hold."""
        ...

    def new_cache(self) -> KVCache: ...

    def forward(
        self, tokens: Sequence[int], cache: KVCache, *, logits: int, cancel: threading.Event | None = None
    ) -> Logits:
        """Append `tokens` (at least one, ids below vocab_size) to `cache` and return the logits of the last
        `logits` of them: float32 [logits, vocab_size]; 0 skips the vocabulary projection.

        Raises CapacityError, before anything is changed, if the cache cannot hold them, and Cancelled, the
        cache then as before, if `cancel` was seen to be set; a backend that cannot look need not.
        """
        ...
