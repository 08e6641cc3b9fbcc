"""Drafts from a smaller model with the same tokenizer, whose KV cache follows the main one's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

from flash_engine import sampling
from flash_engine.backend import Backend, Logits
from flash_engine.speculation.draft import GRADES, Bounds, Draft

_CHUNK = 64
"""Tokens of a prompt that are read in one pass."""


class ModelDrafter:
    """The draft model's most likely tokens.

    Its cache holds `_tokens`, drafts of the last round included; the first `_agreed` of them are known to be the
    session's. What a session takes over from the last draft is thus not computed again.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._cache = backend.new_cache()
        self._tokens: list[int] = []
        self._agreed = 0

    def behind(self, tokens: Sequence[int]) -> int:
        """How many of `tokens` are yet to be read before a draft can begin."""
        self._agree(tokens)
        return len(tokens) - self._agreed

    def read(self, tokens: Sequence[int], most: int) -> None:
        """Read up to `most` of the tokens that the model is behind, all but the last of `tokens`."""
        self._agree(tokens)
        end = min(self._agreed + most, len(tokens) - 1)
        while self._agreed < end:
            part = tokens[self._agreed : min(self._agreed + _CHUNK, end)]
            self._forward(part, logits=0)
            self._agreed += len(part)

    def draft(self, tokens: Sequence[int], bounds: Bounds, goes_on: Callable[[Draft], bool]) -> Draft:
        """What may follow `tokens`, while `goes_on` says so of the draft so far; empty where the context ends."""
        draft = Draft()
        most = min(bounds.most, self._backend.capacity - len(tokens))
        if most <= 0:
            return draft
        self.read(tokens, len(tokens))
        fresh = list(tokens[self._agreed :])
        after: Bounds | None = bounds
        while after is not None and len(draft.tokens) < most and goes_on(draft):
            logits = self._forward(fresh, logits=1)[0, : bounds.tokenizer.vocab_size]
            allowed = bounds.tokenizer.allowed(after.remainder) if after.remainder else None
            token, logprob = sampling.greedy(logits, allowed)
            after = after.after(token)
            if after is not None:
                draft.tokens.append(token)
                draft.grades.append(grade(logprob))
            fresh = [token]
        return draft

    def truncate(self, length: int) -> None:
        self._agreed = min(self._agreed, length)

    def fork(self) -> Self:
        twin = type(self)(self._backend)
        twin._cache = self._cache.fork()
        twin._tokens = self._tokens.copy()
        twin._agreed = self._agreed
        return twin

    def _agree(self, tokens: Sequence[int]) -> None:
        """Keep what the cache has in common with all but the last of `tokens`: that one is asked for its logits."""
        most = min(len(tokens) - 1, len(self._tokens))
        while self._agreed < most and self._tokens[self._agreed] == tokens[self._agreed]:
            self._agreed += 1
        self._agreed = min(self._agreed, most)
        del self._tokens[self._agreed :]
        self._cache.trim(self._agreed)

    def _forward(self, tokens: Sequence[int], *, logits: int) -> Logits:
        rows = self._backend.forward(tokens, self._cache, logits=logits)
        self._tokens.extend(tokens)
        return rows


def grade(logprob: float) -> int:
    """The grade of a token of this log-probability: its probability in tenths."""
    return min(int(GRADES * math.exp(logprob)), GRADES - 1)
