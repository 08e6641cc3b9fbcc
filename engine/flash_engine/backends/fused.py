"""A llama in fused launches (flash_metal.decoder) on MLX's GPU.

What a token gets is the same bits however the tokens were cut into passes, so a prompt is passes of any size.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import Self, TypeVar

import mlx.core as mx
import numpy as np

from flash_engine.backend import KVCache, Logits
from flash_engine.backends.fused_model import choose_tiling, copied, make_decoder, obstacle, weights
from flash_engine.backends.metal import while_wired
from flash_engine.checkpoint import Checkpoint
from flash_engine.config import ModelConfig
from flash_engine.drafting import Chosen, Read
from flash_engine.errors import Cancelled, CapacityError, DeviceError
from flash_metal import tuning
from flash_metal.decoder import Decoder
from flash_metal.launches import Tiling
from flash_metal.nvidia.recorded import Recording, Replay
from flash_metal.registry import MAX_TOKENS, Registry, device_registry

T = TypeVar("T")

logger = logging.getLogger(__name__)

_WIDE = (64, 32, 16)
"""Tokens of the recorded passes beside those of 1 to 8."""


class FusedCache:
    """int8 keys and values: `rows` uint32 [layers, 2, kv_heads, capacity, row], as the launches write them."""

    def __init__(self, rows: mx.array) -> None:
        self.length = 0
        self.rows = rows
        self.replay: Replay | None = None
        """Passes on `rows` from CUDA graphs, once there are some."""
        self._position: mx.array | None = None

    @property
    def position(self) -> mx.array:
        """`length` for the launches; it comes after the last pass's rows were placed. Made when it is asked for:
        replayed passes do without."""
        if self._position is None:
            self._position = mx.array([self.length], dtype=mx.int32)
        return self._position

    @position.setter
    def position(self, following: mx.array) -> None:
        self._position = following

    def settle(self) -> None:
        """Have done what MLX has to do with the rows."""
        if self._position is not None:
            mx.eval(self.rows, self._position)

    def trim(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot trim to {length} positions: the cache holds {self.length}")
        self.settle()
        self.hold(length)

    def hold(self, length: int) -> None:
        """The first `length` positions are valid: nothing is left to be done with the rows."""
        self.length, self._position = length, None

    def fork(self) -> FusedCache:
        self.settle()
        twin = FusedCache(copied(self.rows))
        mx.eval(twin.rows)
        twin.hold(self.length)
        return twin


class FusedBackend:
    """float16 activations, int8 cache, five launches a layer."""

    def __init__(
        self,
        config: ModelConfig,
        capacity: int,
        decoder: Decoder,
        kernels: Registry,
        recording: Recording | None = None,
        wide: Future[None] | None = None,
    ) -> None:
        """recording: of the same decoder, for passes from CUDA graphs; wide: done when its wide passes have kernels."""
        self._recording, self._wide = recording, wide
        self.config = config
        self.capacity = capacity
        self._decoder, self._kernels = decoder, kernels
        self._passes: dict[int, Callable[..., tuple[mx.array, mx.array]]] = {}
        self._choices: dict[int, Callable[..., tuple[mx.array, mx.array, mx.array]]] = {}

    @classmethod
    def load(
        cls,
        checkpoint: Checkpoint,
        *,
        capacity: int,
        kernels: Registry | None = None,
        tiling: Tiling | None = None,
        report: Callable[[str, float], None] = lambda stage, done: None,
    ) -> Self:
        """`kernels`: the device's unless given. `report` is called as long work begins, with the share done before.

        Raises DeviceError, naming what is in the way, if it can't.
        """
        reason = obstacle(checkpoint)
        if reason:
            raise DeviceError(
                f"{checkpoint.folder}: no fused launches for {reason}: use device=mlx or native"
            )
        config = checkpoint.config
        kernels, wide = kernels or device_registry(), None
        its_weights = weights(checkpoint, kernels.tile)
        make = partial(make_decoder, config, its_weights, tiling=tiling or choose_tiling(checkpoint))
        decoder = make(kernels=kernels)
        if kernels.on_device:
            report("compiling the GPU's kernels", 1.0)
            wide = _compile(kernels, make)
        backend = cls(config, capacity, decoder, kernels, record(make) if kernels.records else None, wide)
        backend.rehearse()
        return backend

    def rehearse(self) -> None:
        """Record the graphs of passes of up to eight tokens, each some ten times as long as the pass. Where that fails,
        with a warning, passes are MLX's operations."""
        if self._recording is None:
            return
        try:
            self._record_passes(self.new_cache())
        except RuntimeError as error:
            logger.warning("passes are not replayed from CUDA graphs: %s", error)
            self._recording = None

    def _record_passes(self, cache: FusedCache) -> None:
        vocabulary = self.config.vocab_size
        for size in range(1, min(MAX_TOKENS, self.capacity) + 1):
            self.forward([0] * size, cache, logits=1)
            cache.trim(0)
            self.choose([0] * size, cache, vocabulary=vocabulary)
            cache.trim(0)
        self.choose([0], cache, vocabulary=vocabulary, passes=min(2, self.capacity))

    @property
    def name(self) -> str:
        return f"mlx {version('mlx')} (fused int4 launches)"

    def new_cache(self) -> FusedCache:
        rows = self._decoder.new_cache(-(-self.capacity // 4) * 4)
        mx.eval(rows)
        return FusedCache(rows)

    @while_wired
    def forward(
        self, tokens: Sequence[int], cache: KVCache, *, logits: int, cancel: threading.Event | None = None
    ) -> Logits:
        assert isinstance(cache, FusedCache)
        self._check(len(tokens), cache)
        if self._recording is not None:
            return self._replayed(self._recording, tokens, cache, logits, cancel)
        made = []
        for start in range(0, len(tokens), MAX_TOKENS):
            some = tokens[start : start + MAX_TOKENS]
            wanted = min(len(some), max(0, start + len(some) - (len(tokens) - logits)))
            made.append(self._one(some, cache, wanted))
        mx.eval(made)
        cache.settle()
        if logits == 0:
            return np.zeros((0, self.config.vocab_size), np.float32)
        return np.concatenate([np.array(part) for part in made if part.size])

    def _replayed(
        self,
        recording: Recording,
        tokens: Sequence[int],
        cache: FusedCache,
        logits: int,
        cancel: threading.Event | None,
    ) -> Logits:
        """`forward` from CUDA graphs, the longest passes first."""
        replay, before, found, start = self._replay(recording, cache), cache.length, [], 0
        is_wide = self._wide is not None and self._wide.done() and not self._wide.exception()
        for size, wanted in passes(len(tokens), logits, wide=is_wide):
            if cancel is not None and cancel.is_set():
                cache.hold(before)
                raise Cancelled("the forward was cancelled between passes")
            found.append(replay.logits(tokens[start : start + size], before + start, wanted))
            start += size
        cache.hold(before + start)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def greedy(
        self, tokens: Sequence[int], cache: KVCache, count: int, *, vocabulary: int
    ) -> list[tuple[int, float]]:
        """Append `tokens` to `cache`, then decode `count` tokens, each the most likely of the ids below `vocabulary`,
        the lowest of equals. Their ids and log-probabilities among those.

        All of them but the last are appended, too. Raises CapacityError, before anything is changed, if the cache
        cannot hold them.
        """
        assert isinstance(cache, FusedCache)
        self._check(len(tokens) + count - 1, cache)
        tokens = self._last_pass(tokens, cache)
        found = self.choose(tokens, cache, vocabulary=vocabulary, passes=min(count, MAX_TOKENS))
        found = found[len(tokens) - 1 :]
        while len(found) < count:
            passes = min(count - len(found), MAX_TOKENS)
            found += self.choose([found[-1][0]], cache, vocabulary=vocabulary, passes=passes)
        return found

    @while_wired
    def choose(
        self, tokens: Sequence[int], cache: KVCache, *, vocabulary: int, passes: int = 1
    ) -> list[tuple[int, float]]:
        """Append `tokens`, 1 to 8, in one pass, and up to 7 times, in `passes` - 1 more, the token chosen last.

        What is chosen after each of them on the GPU, as by `greedy`. Raises CapacityError as that does.
        """
        assert isinstance(cache, FusedCache)
        self._check(len(tokens) + passes - 1, cache)
        if self._recording is not None:
            replay = self._replay(self._recording, cache)
            chosen = replay.choose(tokens, cache.length, vocabulary, passes=passes)
            cache.hold(cache.length + len(chosen))
            return chosen
        if vocabulary not in self._choices:
            self._choices[vocabulary] = self._kept(partial(self._most_likely, vocabulary=vocabulary))
        ids, found = mx.array(list(tokens), dtype=mx.int32), []
        for _ in range(passes):
            likely, logprobs, rows = self._choices[vocabulary](ids, cache.rows, cache.position)
            self._place(cache, rows, ids.size, likely, logprobs)
            found.append((likely, logprobs))
            ids = likely[-1:]
        mx.eval(found)
        cache.settle()
        both = (np.concatenate([np.array(x) for x in each]).tolist() for each in zip(*found, strict=True))
        return list(zip(*both, strict=True))

    @contextmanager
    def choosing(
        self, cache: KVCache, *, vocabulary: int, cancel: threading.Event | None = None
    ) -> Iterator[Read]:
        """See ChoosingBackend: from graphs, each pass begins as soon as it is known what the one ahead has chosen."""
        assert isinstance(cache, FusedCache)
        held, end = cache, cache.length
        replay = None if self._recording is None else self._replay(self._recording, cache)

        def read(tokens: Sequence[int], position: int, choices: int) -> Chosen:
            nonlocal end
            if cancel is not None and cancel.is_set():
                raise Cancelled("the draft was cancelled between passes")
            held.hold(position)
            self._check(len(tokens), held)
            end = position + len(tokens)
            if replay is None:
                return self.choose(tokens, held, vocabulary=vocabulary)[-choices:]
            return replay.start(tokens, position, vocabulary)[-choices:]

        try:
            yield read
        finally:
            if replay is not None:
                replay.finish()
            held.hold(end)

    def _last_pass(self, tokens: Sequence[int], cache: FusedCache) -> Sequence[int]:
        """Append all but the last 1 to 8 of `tokens`, and return these."""
        first = len(tokens) - 1 - (len(tokens) - 1) % MAX_TOKENS
        if first:
            self.forward(tokens[:first], cache, logits=0)
        return tokens[first:]

    def _replay(self, recording: Recording, cache: FusedCache) -> Replay:
        cache.settle()
        if cache.replay is None:
            cache.replay = Replay(recording, cache.rows)
        return cache.replay

    def _check(self, count: int, cache: FusedCache) -> None:
        if cache.length + count > self.capacity:
            raise CapacityError(f"{count} tokens after {cache.length} exceed the context of {self.capacity}")

    def _one(self, tokens: Sequence[int], cache: FusedCache, wanted: int) -> mx.array:
        if wanted not in self._passes:
            self._passes[wanted] = self._kept(partial(self._decoder, logits=wanted))
        ids = mx.array(list(tokens), dtype=mx.int32)
        logits, rows = self._passes[wanted](ids, cache.rows, cache.position)
        self._place(cache, rows, len(tokens), logits)
        return logits

    def _most_likely(
        self, ids: mx.array, cache: mx.array, position: mx.array, *, vocabulary: int
    ) -> tuple[mx.array, mx.array, mx.array]:
        """A pass: the most likely token after each of ids, int32 [M], its log-probability, float32 [M], and the new
        rows."""
        logits, rows = self._decoder(ids, cache, position, logits=ids.size)
        logits = logits[:, :vocabulary]
        token = mx.argmax(logits, axis=-1).astype(mx.int32)
        return token, mx.max(logits, axis=-1) - mx.logsumexp(logits, axis=-1), rows

    def _kept(self, one_pass: Callable[..., T]) -> Callable[..., T]:
        """`one_pass` with its graph kept, where its launches are MLX's."""
        return mx.compile(one_pass) if self._kernels.on_device else one_pass

    def _place(self, cache: FusedCache, rows: mx.array, count: int, *results: mx.array) -> None:
        """Let the cache hold the rows of a pass of `count` tokens, whose other results are given."""
        if not self._kernels.in_order:
            mx.eval(rows, *results)
        cache.rows, cache.position = self._decoder.place(cache.rows, rows, cache.position)
        cache.length += count


def passes(tokens: int, logits: int, *, wide: bool = True) -> Iterator[tuple[int, int]]:
    """So many tokens, of the last of which `logits` are wanted, cut into recorded passes: the tokens of each, and the
    logits, at most 8. Few sizes, since each is recorded when first met; of more than 8 tokens if they are `wide`."""
    while tokens:
        fitting = (size for size in _WIDE if size <= tokens and logits - (tokens - size) <= MAX_TOKENS)
        size = next(fitting if wide else iter(()), min(tokens, MAX_TOKENS))
        tokens -= size
        yield size, max(0, min(size, logits - tokens))
        logits = min(logits, tokens)


def record(make: Callable[..., Decoder]) -> Recording | None:
    """Passes of the decoder that `make(kernels=...)` gives as CUDA graphs; None, with a warning, where CUDA refuses."""
    try:
        return Recording(lambda kernels: make(kernels=kernels))
    except (OSError, RuntimeError) as error:
        logger.warning("passes are not replayed from CUDA graphs: %s", error)
        return None


def pass_seconds(make: Callable[..., Decoder], kernels: Registry) -> float:
    """How long passes of the decoder that `make(kernels=...)` gives take: see flash_metal.tuning."""
    decoder = make(kernels=kernels)
    if not kernels.records:
        return tuning.pass_seconds(tuning.passes(decoder, compiled=kernels.on_device))
    cache = decoder.new_cache(tuning.CONTEXT + 16)
    mx.eval(cache)
    replay = Replay(Recording(lambda recorder: make(kernels=recorder)), cache)
    return tuning.pass_seconds(lambda count: replay.logits([0] * count, tuning.CONTEXT, 1))


def _compile(kernels: Registry, make: Callable[..., Decoder]) -> Future[None] | None:
    """Have the kernels of passes of up to eight tokens, so that none is compiled while somebody types; those of wider
    passes are being compiled on return, if there are such."""

    def run(kernels: Registry, sizes: Sequence[int] = (1, 2, 4, MAX_TOKENS)) -> None:
        decoder = make(kernels=kernels)
        cache = decoder.new_cache(max(sizes))
        for count in sizes:
            ids, position = mx.zeros((count,), dtype=mx.int32), mx.array([0], dtype=mx.int32)
            made = decoder(ids, cache, position, logits=min(count, MAX_TOKENS))
            if kernels.on_device:
                mx.eval(made)

    kernels.prepare(run)
    if kernels.records:
        pool = ThreadPoolExecutor(1, thread_name_prefix="flash-compile")
        wide = pool.submit(kernels.prepare, partial(run, sizes=_WIDE))
        pool.shutdown(wait=False)
        return wide
    run(kernels)
    return None
