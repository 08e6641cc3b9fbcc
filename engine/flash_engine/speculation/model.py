"""Drafts from a smaller model with the same tokenizer, whose KV cache follows the main one's."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Literal, Self

from flash_engine import drafting, sampling
from flash_engine.backend import Backend, Logits
from flash_engine.drafting import NOTHING, DraftRule, ReadAlong
from flash_engine.speculation.draft import GRADES, Bounds, Draft
from flash_engine.speculation.guess import LIKELY, Guess
from flash_engine.speculation.lookup import Lookup

Finish = Literal["stop", "length", "unlikely"]
_CHUNK = 64
"""Tokens of a prompt that are read in one pass."""
UNREAD = 4
"""Tokens that the first pass of a draft reads at most: two where all of the last one was accepted."""


class ModelDrafter:
    """The draft model's most likely tokens.

    Its cache holds `_tokens`, drafts of the last round included; the first `_agreed` of them are known to be the
    session's. What a session takes over from the last draft is thus not computed again.
    """

    def __init__(self, backend: Backend, lookup: Lookup | None = None) -> None:
        """lookup: what is read along, of all drafters of `backend`."""
        self._backend = backend
        self._lookup = lookup
        self._cache = backend.new_cache()
        self._tokens: list[int] = []
        self._agreed = 0
        self._known, self._known_since = 0, 0
        """The session's tokens that the lookup knows, since it began anew so many times."""
        self._guess = Guess()

    def behind(self, tokens: Sequence[int]) -> int:
        """How many of `tokens` are yet to be read before a draft can begin."""
        self._agree(tokens)
        return len(tokens) - self._agreed

    def read(self, tokens: Sequence[int], most: int, cancel: threading.Event | None = None) -> None:
        """Read up to `most` of the tokens that the model is behind, all but the last of `tokens`. Raises Cancelled."""
        self._agree(tokens)
        end = min(self._agreed + most, len(tokens) - 1)
        while self._agreed < end:
            part = tokens[self._agreed : min(self._agreed + _CHUNK, end)]
            self._forward(part, logits=0, cancel=cancel)
            self._agreed += len(part)
        self._learn(tokens, self._agreed)

    def catch_up(self, tokens: Sequence[int], cancel: threading.Event | None = None) -> None:
        """Read what the first pass of a draft does not. Raises Cancelled."""
        self.read(tokens, self.behind(tokens) - UNREAD, cancel)

    def draft(
        self,
        tokens: Sequence[int],
        bounds: Bounds,
        bars: Sequence[float],
        chances: Sequence[float],
        cancel: threading.Event | None = None,
    ) -> Draft:
        """What may follow `tokens`, as far as `bars` and `chances` say (DraftRule); empty where the context ends.

        Raises Cancelled.
        """
        drafted = self._extend(tokens, bounds, bars, chances, cancel)
        return Draft([token for token, _ in drafted], [grade(logprob) for _, logprob in drafted])

    def guess(
        self,
        tokens: Sequence[int],
        bounds: Bounds,
        chances: Sequence[float],
        step: int,
        cancel: threading.Event | None = None,
    ) -> Generator[tuple[int, float], None, Finish]:
        """What may follow `tokens`, with log-probabilities, while it is LIKELY; `guessed` then tells it again.

        step: tokens drafted at a time. Raises Cancelled.
        """
        guess = self._guess = Guess(list(tokens), len(tokens))
        after: Bounds | None = bounds
        chance = 1.0
        while after is not None and after.most > 0:
            size = min(step, after.most)
            part = self._extend(guess.tokens, after, [LIKELY / chance] * size, chances, cancel)
            for token, logprob in part:
                chance *= chances[grade(logprob)]
                after = after and after.after(token)
                if chance <= LIKELY:
                    return "unlikely"
                guess.add(token, grade(logprob))
                yield token, logprob
            if len(part) < size:
                return "stop"
        return "length"

    def guessed(self, tokens: Sequence[int], bounds: Bounds) -> Draft:
        """What the last guess says about what follows `tokens`: a draft at no price."""
        return self._guess.after(tokens, bounds)

    def has_guess(self, length: int) -> bool:
        """Whether the last guess may say something about what follows `length` tokens."""
        return self._guess.reaches(length)

    def truncate(self, length: int) -> None:
        self._agreed = min(self._agreed, length)
        self._known = min(self._known, length)

    def fork(self) -> Self:
        twin = type(self)(self._backend, self._lookup)
        twin._cache = self._cache.fork()
        twin._tokens = self._tokens.copy()
        twin._agreed = self._agreed
        twin._known, twin._known_since = self._known, self._known_since
        twin._guess = self._guess
        return twin

    def _agree(self, tokens: Sequence[int]) -> None:
        """Keep what the cache has in common with all but the last of `tokens`: that one is asked for its logits."""
        most = min(len(tokens) - 1, len(self._tokens))
        while self._agreed < most and self._tokens[self._agreed] == tokens[self._agreed]:
            self._agreed += 1
        self._agreed = min(self._agreed, most)
        del self._tokens[self._agreed :]
        self._cache.trim(self._agreed)

    def _extend(
        self,
        tokens: Sequence[int],
        bounds: Bounds,
        bars: Sequence[float],
        chances: Sequence[float],
        cancel: threading.Event | None,
    ) -> list[tuple[int, float]]:
        """The tokens of a draft with their log-probabilities."""
        most = min(bounds.most, len(bars), self._backend.capacity - len(tokens))
        if most <= 0:
            return []
        self.catch_up(tokens, cancel)
        rule = DraftRule(bars[:most], chances, bounds.tokenizer.ending(bounds.stop, bounds.until))
        held, after = self._held(tokens, bounds, rule, cancel) if bounds.remainder else ([], bounds)
        if after is None or after.remainder:
            return held
        chance = max(math.prod(rule.chance(logprob) for _, logprob in held), 1e-9)
        free = replace(rule, bars=[bar / chance for bar in rule.bars[len(held) :]])
        known = [*tokens, *(token for token, _ in held)]
        drafted = drafting.draft(
            self._backend,
            known[len(self._tokens) :],
            self._cache,
            free,
            along=self._along(tokens, known),
            cancel=cancel,
        )
        self._tokens = [*known, *(token for token, _ in drafted)][: self._cache.length]
        return held + drafted

    def _along(self, tokens: Sequence[int], known: Sequence[int]) -> ReadAlong:
        """What may follow `known`, of which `tokens` are the session's."""
        self._learn(tokens, len(tokens))
        return self._lookup.behind(known) if self._lookup else NOTHING

    def _learn(self, tokens: Sequence[int], count: int) -> None:
        """Let the lookup know the first `count` of the session's tokens."""
        if self._lookup is None:
            return
        ngrams = self._lookup.ngrams
        if self._known_since != ngrams.begun:
            self._known = 0
        if self._known < count:
            ngrams.add(tokens, self._known, count)
            self._known, self._known_since = count, ngrams.begun

    def _held(
        self, tokens: Sequence[int], bounds: Bounds, rule: DraftRule, cancel: threading.Event | None
    ) -> tuple[list[tuple[int, float]], Bounds | None]:
        """A draft of the bytes that have to come next, and the bounds of what follows it."""
        drafted: list[tuple[int, float]] = []
        after: Bounds | None = bounds
        chance = 1.0
        fresh = tokens[len(self._tokens) :]
        for bar in rule.bars:
            if after is None or not after.remainder or chance <= bar:
                break
            logits = self._forward(fresh, logits=1, cancel=cancel)[0, : bounds.tokenizer.vocab_size]
            token, logprob = sampling.greedy(logits, bounds.tokenizer.allowed(after.remainder))
            after = after.after(token)
            if after is not None:
                drafted.append((token, logprob))
                chance *= rule.chance(logprob)
            fresh = [token]
        return drafted, after

    def _forward(self, tokens: Sequence[int], *, logits: int, cancel: threading.Event | None) -> Logits:
        rows = self._backend.forward(tokens, self._cache, logits=logits, cancel=cancel)
        self._tokens.extend(tokens)
        return rows


def grade(logprob: float) -> int:
    """The grade of a token of this log-probability: its probability in tenths."""
    return min(int(GRADES * math.exp(logprob)), GRADES - 1)
