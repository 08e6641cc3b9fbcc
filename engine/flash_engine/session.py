"""One KV lineage: the tokens in a cache, brought to a wanted prompt with as little work as possible."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from flash_engine.backend import Backend, Logits, StorableCache
from flash_engine.common import common_tokens
from flash_engine.errors import Cancelled, CapacityError
from flash_engine.generation import Generation, Guessing
from flash_engine.pace import Pace
from flash_engine.speculation import LONGEST, Bounds, Speculator, Tally
from flash_engine.tokenizer import Tokenizer


class Session:
    """Tokens and their KV cache. Call it on the engine's model thread only.

    The cache holds all of `tokens`, or all but the last, whose forward is put off until its logits are needed
    (a token just generated, or the last one after a trim). Behind all of them it may hold drafts: tokens that may
    come next, whose logits are known already. They become tokens when `append` says so, and are dropped otherwise.
    """

    computed: int
    """Tokens put through the model so far, cancelled work included, drafts only as they become tokens."""
    reused: int
    """Tokens that a sync found in the cache instead, summed over all syncs."""
    epoch: int
    """Counts the syncs, trims and generations; a generation is over when a newer epoch begins."""

    def __init__(
        self, backend: Backend, tokenizer: Tokenizer, pace: Pace, speculator: Speculator | None = None
    ) -> None:
        """speculator: drafts tokens while generating; None: plain decoding. The tokens are the same."""
        self._backend = backend
        self._tokenizer = tokenizer
        self._pace = pace
        self._speculator = speculator
        self._cache = backend.new_cache()
        self._tokens: list[int] = []
        self._logits: Logits | None = None
        self._drafts: list[int] = []
        self._draft_logits: list[Logits] = []
        self.computed = 0
        self.reused = 0
        self.epoch = 0

    @property
    def tokens(self) -> Sequence[int]:
        """The tokens of this lineage (a copy)."""
        return tuple(self._tokens)

    @property
    def is_full(self) -> bool:
        """Whether the context has no room for another token."""
        return len(self._tokens) == self._backend.capacity

    @property
    def is_ready(self) -> bool:
        """Whether `logits` needs no forward."""
        return self._logits is not None

    @property
    def speculation(self) -> Tally:
        """What was drafted and accepted so far (a copy)."""
        return self._speculator.tally.copy() if self._speculator else Tally()

    def sync(self, tokens: Sequence[int], *, cancel: threading.Event | None = None) -> int:
        """Make the cache hold exactly `tokens`, their last logits ready; return how many were computed.

        The longest common prefix is kept, the rest computed in chunks of about 20 ms, `cancel` looked at
        before each, and by some backends within. Raises Cancelled (the session then holds a shorter prefix of
        `tokens`, still valid), and, before anything is changed, CapacityError or ValueError (no tokens, or an id
        outside the vocabulary).
        """
        self._check(tokens)
        self.epoch += 1
        missing = self._missing(tokens)
        if not missing:
            self.reused += len(tokens)
            return 0
        self._truncate(len(tokens) - missing)
        kept = len(self._tokens)
        self.reused += kept
        while len(self._tokens) < len(tokens):
            if cancel is not None and cancel.is_set():
                raise Cancelled
            end = min(len(self._tokens) + self._pace.chunk, len(tokens))
            self._forward(tokens[len(self._tokens) : end], logits=int(end == len(tokens)), cancel=cancel)
        return len(tokens) - kept

    def generate(
        self,
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        prefix: bytes = b"",
        temperature: float = 0.0,
        seed: int | None = None,
        deadline: float | None = None,
        cancel: threading.Event | None = None,
        until: bytes = b"",
    ) -> Generation:
        """Generate from the end of `tokens`: an iterator of tokens, each computed when it is asked for.

        max_tokens: most tokens to yield. stop: ids that end the generation, as every control token does.
        prefix: bytes that the generated text has to start with (constraint.py). temperature: 0 is greedy;
        else the draws depend on `seed` (None: on chance). deadline: a time.monotonic() value after which no
        forward starts. until: bytes after which no more will be asked for, so that none are drafted. Raises
        ValueError if the session is empty or `prefix` has a byte that no token can spell.
        """
        if not self._tokens:
            raise ValueError("the session is empty: sync a prompt before generating")
        if missing := self._tokenizer.unspellable(prefix):
            raise ValueError(f"no token of the vocabulary spells {missing[:1]!r} of the prefix {prefix!r}")
        self.epoch += 1
        return Generation(
            self,
            self._tokenizer,
            max_tokens=max_tokens,
            stop=frozenset(stop),
            prefix=prefix,
            temperature=temperature,
            seed=seed,
            deadline=deadline,
            cancel=cancel,
            until=until,
        )

    def draft_answers_first(self, tokens: Sequence[int], seconds: float) -> bool:
        """Whether, by measured speeds, the model cannot read `tokens` and write a few within `seconds`, and the draft
        model can much sooner."""
        if self._speculator is None:
            return False
        missing = self._missing(tokens)
        return self._speculator.answers_first(tokens, missing, self._pace.seconds(missing), seconds)

    def guess(
        self,
        tokens: Sequence[int],
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        prefix: bytes = b"",
        cancel: threading.Event | None = None,
    ) -> Guessing:
        """The draft model's answer after `tokens`, as far as it is likely that the model says the same (guess.py); the
        session stays as it is. A generation after the same tokens then verifies it, at no price of drafting.

        For the parameters see `generate`. Raises ValueError without a draft model, and as `sync` does.
        """
        self._check(tokens)
        if self._speculator is None:
            raise ValueError("the session decodes plainly: it has no draft model")
        bounds = Bounds(self._tokenizer, max_tokens, prefix, frozenset(stop), b"")
        return Guessing(self._tokenizer, self._speculator.guess(tokens, bounds, cancel))

    def logits(self, cancel: threading.Event | None = None) -> Logits:
        """Logits after the last token, float32 [vocab_size]; does the forward that was put off, if any.

        Raises Cancelled; the forward is then still put off.
        """
        if self._logits is None:
            self._put_off([], cancel)
        assert self._logits is not None
        return self._logits

    def verify(self, within: Callable[[], Bounds], cancel: threading.Event | None = None) -> None:
        """Do the forward that was put off, if any, and with it those of drafts within the bounds, if it pays.

        Raises Cancelled; the forward is then still put off.
        """
        if self._speculator is None or self._logits is not None or self._speculator.rests(self._tokens):
            return
        bounds = within()
        room = self._backend.capacity - len(self._tokens)
        bounds = replace(bounds, most=min(bounds.most, room, LONGEST))
        drafts = self._speculator.propose(self._tokens, bounds, cancel)
        begin = time.perf_counter()
        self._put_off(drafts, cancel)
        self._speculator.verified(time.perf_counter() - begin)

    def append(self, token: int) -> None:
        """Add `token`; its forward is put off, or done already if it was drafted. That of the one before is done."""
        self.logits()
        if self._speculator:
            self._speculator.chosen(token)
        self._tokens.append(token)
        if self._drafts and self._drafts[0] == token:
            del self._drafts[0]
            self._logits = self._draft_logits.pop(0)
            self.computed += 1
        else:
            self._drop_drafts(len(self._tokens) - 1)
            self._logits = None

    def read_ahead(self) -> bool:
        """Have the draft model read some of the tokens that it is behind, in about 5 ms, for idle times; whether more
        are left."""
        return bool(self._speculator and self._tokens and self._speculator.read(self._tokens))

    def trim(self, length: int) -> None:
        """Keep the first `length` tokens. Raises ValueError if there are fewer."""
        if not 0 <= length <= len(self._tokens):
            raise ValueError(f"cannot trim to {length} tokens: the session holds {len(self._tokens)}")
        self.epoch += 1
        if length < len(self._tokens):
            self._truncate(length)

    def fork(self) -> Session:
        """An independent session with the same tokens and cache; its totals start at 0."""
        twin = Session(
            self._backend, self._tokenizer, self._pace, self._speculator and self._speculator.fork()
        )
        twin._cache = self._cache.fork()
        twin._tokens = self._tokens.copy()
        twin._logits = self._logits
        twin._drafts = self._drafts.copy()
        twin._draft_logits = self._draft_logits.copy()
        return twin

    def save(self) -> tuple[list[int], bytes] | None:
        """The tokens in the cache and its content, for `load`; None on a device whose caches cannot be put away."""
        if not isinstance(self._cache, StorableCache):
            return None
        length = min(len(self._tokens), self._cache.length)
        self._drop_drafts(length)
        return self._tokens[:length], self._cache.save()

    def load(self, tokens: Sequence[int], data: bytes) -> None:
        """Hold `tokens` with the cache content `data`, as `save` gave them for the same model and device: everything
        after is as if they had just been computed.

        Raises CapacityError, or ValueError (the device's caches cannot be put away; `data` of another size; an id
        outside the vocabulary), before anything is changed.
        """
        if not isinstance(self._cache, StorableCache):
            raise ValueError(f"{self._backend.name} cannot take a KV cache back")
        self._check(tokens)
        self._cache.restore(data, len(tokens))
        self.epoch += 1
        self._drafts, self._draft_logits, self._logits = [], [], None
        self._tokens = list(tokens)
        if self._speculator:
            self._speculator.truncate(0)

    def _missing(self, tokens: Sequence[int]) -> int:
        """How many of `tokens` a sync has to compute."""
        common = common_tokens(tokens, self._tokens)
        if common == len(tokens) == len(self._tokens) and self.is_ready:
            return 0
        return len(tokens) - min(common, len(tokens) - 1, self._cache.length)

    def _check(self, tokens: Sequence[int]) -> None:
        if not tokens:
            raise ValueError("no tokens to sync: a prompt has at least one")
        if len(tokens) > self._backend.capacity:
            raise CapacityError(
                f"the prompt has {len(tokens)} tokens, the context holds {self._backend.capacity}"
            )
        size = self._backend.config.vocab_size
        if not 0 <= min(tokens) <= max(tokens) < size:
            raise ValueError(
                f"token ids run from {min(tokens)} to {max(tokens)}, the vocabulary from 0 to {size - 1}"
            )

    def _truncate(self, length: int) -> None:
        self._drop_drafts(min(length, self._cache.length))
        del self._tokens[length:]
        self._logits = None
        if self._speculator:
            self._speculator.truncate(length)

    def _drop_drafts(self, length: int) -> None:
        """Let the cache hold `length` tokens."""
        self._cache.trim(length)
        self._drafts, self._draft_logits = [], []

    def _put_off(self, drafts: list[int], cancel: threading.Event | None) -> None:
        """Do the forward of the last token, which was put off, and of the drafts behind it."""
        tokens = [self._tokens[-1], *drafts]
        self._cache.trim(len(self._tokens) - 1)
        rows = self._compute(tokens, logits=len(tokens), cancel=cancel)
        self._logits, *self._draft_logits = rows
        self._drafts = drafts.copy()
        self.computed -= len(drafts)

    def _forward(self, tokens: Sequence[int], *, logits: int, cancel: threading.Event | None) -> None:
        rows = self._compute(tokens, logits=logits, cancel=cancel)
        self._tokens.extend(tokens)
        self._logits = rows[-1] if logits else None

    def _compute(self, tokens: Sequence[int], *, logits: int, cancel: threading.Event | None) -> Logits:
        begin = time.perf_counter()
        rows = self._backend.forward(tokens, self._cache, logits=logits, cancel=cancel)
        self._pace.measured(len(tokens), time.perf_counter() - begin)
        self.computed += len(tokens)
        return rows
