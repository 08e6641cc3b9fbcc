"""The fused decoder as the bench sees it."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from flash_engine.backends.fused import passes
from flash_lsp.bench.gpu import shapes
from flash_lsp.bench.gpu.measure import Stepping
from flash_lsp.bench.gpu.shapes import Shape, decoder, random_rows
from flash_metal.decoder import Decoder, Weights
from flash_metal.nvidia.recorded import Recording, Replay
from flash_metal.registry import MAX_TOKENS, Registry


class Fused(Stepping):
    """Launches as operations of MLX, and one cache; a pass's rows are placed in the graph of the next pass."""

    def __init__(self, decoder: Decoder, shape: Shape, capacity: int) -> None:
        self._decoder, self._shape = decoder, shape
        self._cache = random_rows(shape, capacity)
        self._rows: mx.array | None = None
        self._pass = mx.compile(self._greedy)

    def start(self, length: int) -> None:
        self._position = mx.array([length])
        self._rows = None
        mx.eval(self._position)

    def step(self, tokens: mx.array) -> mx.array:
        if self._rows is not None:
            self._cache, self._position = self._decoder.place(self._cache, self._rows, self._position)
        following, self._rows = self._pass(tokens, self._cache, self._position)
        return following

    def next(self, tokens: Sequence[int]) -> int:
        for start in range(0, len(tokens) - MAX_TOKENS, MAX_TOKENS):
            mx.eval(self.step(mx.array(list(tokens[start : start + MAX_TOKENS]), dtype=mx.int32)))
        return super().next(tokens[(len(tokens) - 1) // MAX_TOKENS * MAX_TOKENS :])

    def _greedy(self, tokens: mx.array, cache: mx.array, position: mx.array) -> tuple[mx.array, mx.array]:
        logits, rows = self._decoder(tokens, cache, position, logits=1)
        return mx.argmax(logits, axis=-1).astype(mx.int32), rows


class Recorded:
    """Passes replayed from CUDA graphs, as the engine's backend has them, on one cache."""

    def __init__(self, make: Recording, shape: Shape, capacity: int) -> None:
        self._shape = shape
        self.replay = Replay(make, random_rows(shape, capacity))
        self._length = 0

    def start(self, length: int) -> None:
        self._length = length

    def next(self, tokens: Sequence[int]) -> int:
        rows, start = np.zeros((0, 0), np.float32), 0
        for size, wanted in passes(len(tokens), 1):
            rows = self.replay.logits(tokens[start : start + size], self._length, wanted)
            start += size
            self._length += size
        return int(rows[-1].argmax())

    def decode(self, token: int, count: int) -> None:
        """The GPU goes on with what it chose, eight tokens at a time."""
        while count:
            some = min(count, MAX_TOKENS)
            chosen = self.replay.choose([token], self._length, self._shape.vocabulary, passes=some)
            self._length += some
            token = chosen[-1][0]
            count -= some


def model(kernels: Registry, shape: Shape, weights: Weights, capacity: int) -> Fused | Recorded:
    """The decoder of random weights, as it runs on the device of `kernels`."""
    tiling = shapes.tiling(shape)
    if kernels.records:
        kernels.prepare(lambda dry: _every_pass(decoder(dry, tiling, shape, weights)))
        return Recorded(Recording(lambda made: decoder(made, tiling, shape, weights)), shape, capacity)
    return Fused(decoder(kernels, tiling, shape, weights), shape, capacity)


def _every_pass(made: Decoder) -> None:
    for count in (1, 2, 4, 8, 16, 32, 64):
        cache, position = made.new_cache(64), mx.array([0], dtype=mx.int32)
        made(mx.zeros((count,), dtype=mx.int32), cache, position, logits=min(count, MAX_TOKENS))
